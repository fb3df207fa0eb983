"""The only hands that write entries: triggers of captured tables, and audit_record().

All belong to audit_owner, which alone may add to the trail. What shapes text is pinned
beside the search path: with extra_float_digits = -15 a session could make a threshold's
change look like none.
"""

from django.db import migrations

PINNED = """
    SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
    SET extra_float_digits = 1 SET bytea_output = 'hex'
"""

# Who acts and why comes from the transaction's settings (tenants.context).
# app.actor: kind:id, kind:id:token or kind:label; nothing in it can make a write fail.
APPEND = """
CREATE FUNCTION audit_append(
    p_organization_id uuid, p_project_id uuid, p_action text, p_outcome text,
    p_object_type text, p_object_id uuid, p_object_label text,
    p_before jsonb, p_after jsonb
) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
    moment timestamptz := clock_timestamp();
    entry uuid := public.uuid7_at(moment);
    actor text[] := string_to_array(
        coalesce(nullif(current_setting('app.actor', true), ''),
                 'system:unattributed'), ':');
    -- app.request: id, address, and method with route.
    request text[] := string_to_array(
        coalesce(current_setting('app.request', true), ''), E'\\t');
    is_named boolean := coalesce(
        actor[2] ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$', false);
BEGIN
    INSERT INTO public.audit_logs (
        id, organization_id, project_id, created_at, transaction_id,
        actor_kind, actor_id, actor_label, token_public_id,
        request_id, address, route, action, outcome, object_type, object_id, object_label,
        before, after, reason, db_role, application_name, backend_pid)
    VALUES (
        entry, p_organization_id, p_project_id, moment,
        pg_current_xact_id()::text::bigint,
        left(actor[1], 16),
        CASE WHEN is_named THEN actor[2]::uuid END,
        CASE WHEN is_named THEN ''
             ELSE left(array_to_string(actor[2:], ':'), 200) END,
        CASE WHEN is_named THEN left(coalesce(actor[3], ''), 12) ELSE '' END,
        left(coalesce(request[1], ''), 64), left(coalesce(request[2], ''), 45),
        left(coalesce(request[3], ''), 200),
        p_action, p_outcome, p_object_type, p_object_id,
        left(coalesce(p_object_label, ''), 200), p_before, p_after,
        left(coalesce(current_setting('app.reason', true), ''), 500),
        session_user, left(current_setting('application_name'), 63),
        pg_backend_pid());
    RETURN entry;
END $$;
"""

# A secret leaves eight digits by which two can be told apart; what tells of a person
# leaves none, since a digest of a name can be guessed and an entry cannot be erased.
HIDE = """
CREATE FUNCTION audit_hide(p_row jsonb, p_secret text[], p_personal text[])
RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY p_secret LOOP
        IF p_row ->> name IS NOT NULL THEN
            p_row := jsonb_set(p_row, ARRAY[name], jsonb_build_object(
                'redacted', true, 'sha256_8', left(encode(sha256(
                    convert_to(p_row ->> name, 'UTF8')), 'hex'), 8)));
        END IF;
    END LOOP;
    FOREACH name IN ARRAY p_personal LOOP
        IF p_row ->> name IS NOT NULL THEN
            p_row := jsonb_set(p_row, ARRAY[name], '{"redacted": true}');
        END IF;
    END LOOP;
    IF pg_column_size(p_row) > 4096 THEN
        FOR name IN SELECT key FROM jsonb_each_text(p_row)
                    WHERE octet_length(value) > 4096 LOOP
            p_row := jsonb_set(p_row, ARRAY[name], jsonb_build_object(
                'shortened', true, 'size_bytes', octet_length(p_row ->> name),
                'sha256', encode(sha256(
                    convert_to(p_row ->> name, 'UTF8')), 'hex')));
        END LOOP;
    END IF;
    RETURN p_row;
END $$;
"""

# Arguments: what the row is, then columns: secret, personal, not captured.
CAPTURE = f"""
CREATE FUNCTION audit_capture() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER {PINNED} AS $$
DECLARE
    secret text[] := TG_ARGV[1];
    personal text[] := TG_ARGV[2];
    ignored text[] := TG_ARGV[3];
    old_row jsonb;
    new_row jsonb;
    begun jsonb;
    subject jsonb;
    named jsonb;
    verb text;
BEGIN
    IF TG_OP <> 'INSERT' THEN
        old_row := to_jsonb(OLD) - ignored;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        new_row := to_jsonb(NEW) - ignored;
    END IF;
    IF TG_OP = 'UPDATE' THEN
        IF old_row = new_row THEN
            RETURN NULL;
        END IF;
        -- Under another id it is another object: one ends, one begins.
        IF OLD.id <> NEW.id THEN
            begun := new_row;
            new_row := NULL;
        END IF;
    END IF;

    LOOP
        -- An update belongs to the organization that had the row: it may lose it by
        -- this.
        subject := coalesce(old_row, new_row);
        named := coalesce(new_row, old_row);
        IF old_row IS NULL THEN
            verb := 'created';
        ELSIF new_row IS NULL THEN
            verb := 'deleted';
        ELSE
            verb := CASE WHEN (old_row ->> 'deleted_at' IS NULL)
                            = (new_row ->> 'deleted_at' IS NULL) THEN 'updated'
                         WHEN old_row ->> 'deleted_at' IS NULL THEN 'soft_deleted'
                         ELSE 'restored' END;
            -- What has a number for an id says it here: object_id has no room for it.
            SELECT jsonb_object_agg(key, value), jsonb_object_agg(key, new_row -> key)
            INTO old_row, new_row
            FROM jsonb_each(old_row)
            WHERE value <> new_row -> key
               OR key = 'id' AND jsonb_typeof(value) = 'number';
        END IF;

        IF secret <> '{{}}' OR personal <> '{{}}'
           OR pg_column_size(old_row) > 4096 OR pg_column_size(new_row) > 4096 THEN
            old_row := public.audit_hide(old_row, secret, personal);
            new_row := public.audit_hide(new_row, secret, personal);
            named := named - secret - personal;
        END IF;
        PERFORM public.audit_append(
            CASE TG_TABLE_NAME WHEN 'organizations' THEN (subject ->> 'id')::uuid
                               ELSE (subject ->> 'organization_id')::uuid END,
            CASE TG_TABLE_NAME WHEN 'projects' THEN (subject ->> 'id')::uuid
                               ELSE (subject ->> 'project_id')::uuid END,
            TG_ARGV[0] || '.' || verb, 'ok', TG_TABLE_NAME,
            -- Django numbers groups and permissions; all else has a UUID.
            CASE WHEN length(subject ->> 'id') = 36 THEN (subject ->> 'id')::uuid END,
            coalesce(named ->> 'name', named ->> 'slug', named ->> 'key'),
            old_row, new_row);
        EXIT WHEN begun IS NULL;
        old_row := NULL;
        new_row := begun;
        begun := NULL;
    END LOOP;
    RETURN NULL;
END $$;
"""

# Arguments: what the rows are; the parent's column and table; the column of names, that
# of their span (or nothing); the columns that the digest covers.
CAPTURE_BATCH = f"""
CREATE FUNCTION audit_capture_batch() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER {PINNED} AS $$
DECLARE
    organization uuid;
    parent uuid;
    summary jsonb;
    of_ids boolean;
    line text;
BEGIN
    FOR organization IN
        -- One look-up by key per organization: neither one per row, nor a join whose
        -- plan depends on what was analyzed.
        WITH touched AS MATERIALIZED (SELECT DISTINCT organization_id FROM batch)
        SELECT touched.organization_id FROM touched
        WHERE (SELECT o.audit_data_events FROM public.organizations o
               WHERE o.id = touched.organization_id)
    LOOP
        -- One id as text sorts as the id does, which costs half of sorting rows as text.
        of_ids := TG_ARGV[5] = '{{id}}';
        line := CASE WHEN of_ids THEN '''('' || id || '')''' ELSE
            (SELECT 'ROW(' || string_agg(quote_ident(name), ', ')
                    || ')::text COLLATE "C"' FROM unnest(TG_ARGV[5]::text[]) AS name) END;
        -- Few names have many rows: DISTINCT over groups, not over rows.
        EXECUTE format(
            $sql$
            SELECT CASE WHEN count(DISTINCT parent) = 1 THEN min(parent::text)::uuid END,
                   jsonb_strip_nulls(jsonb_build_object(
                       'count', sum(rows),
                       'parents', nullif(count(DISTINCT parent), 1),
                       'names', (array_agg(DISTINCT name))[:20],
                       'name_count', count(DISTINCT name),
                       'first', min(first), 'last', max(last),
                       'sha256', (
                           SELECT encode(sha256(convert_to(string_agg(
                               %4$s, chr(10) ORDER BY %5$s), 'UTF8')), 'hex')
                           FROM batch WHERE organization_id = $1)))
            FROM (SELECT %1$I AS parent, %2$I::text COLLATE "C" AS name,
                         count(*) AS rows, min(%3$s) AS first, max(%3$s) AS last
                  FROM batch WHERE organization_id = $1 GROUP BY 1, 2) AS groups
            $sql$,
            TG_ARGV[1], TG_ARGV[3], coalesce(quote_ident(nullif(TG_ARGV[4], '')), 'NULL'),
            line, CASE WHEN of_ids THEN 'id' ELSE line END)
        INTO parent, summary USING organization;
        PERFORM public.audit_append(
            organization, NULL,
            TG_ARGV[0] || '.' || CASE TG_OP WHEN 'INSERT' THEN 'created'
                                            WHEN 'UPDATE' THEN 'updated'
                                            ELSE 'deleted' END,
            'ok', TG_ARGV[2], parent, '',
            CASE TG_OP WHEN 'DELETE' THEN summary END,
            CASE WHEN TG_OP <> 'DELETE' THEN summary END);
    END LOOP;
    RETURN NULL;
END $$;
"""

# Two words, so that no caller can make up an entry of a captured row, which has three.
RECORD = f"""
CREATE FUNCTION audit_record(
    p_action text, p_outcome text, p_object_type text, p_object_id uuid,
    p_details jsonb
) RETURNS uuid LANGUAGE plpgsql SECURITY DEFINER {PINNED} AS $$
BEGIN
    IF p_action !~ '^[a-z][a-z_]*[.][a-z][a-z_]*$' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('action=%L is not noun.verb, such as export.finished',
                             p_action);
    END IF;
    RETURN public.audit_append(
        -- Staff is bound to none: what they do to an organization is for it to see.
        coalesce(nullif(current_setting('app.organization_id', true), '')::uuid,
                 CASE p_object_type WHEN 'organizations' THEN p_object_id END),
        CASE p_object_type WHEN 'projects' THEN p_object_id END,
        p_action, p_outcome, p_object_type, p_object_id, '', NULL,
        nullif(public.audit_hide(p_details, '{{}}', '{{}}'), '{{}}'));
END $$;
"""

# Trigger functions are called by whoever writes; who makes a trigger needs EXECUTE.
CREATE = f"""
SET LOCAL ROLE audit_owner;
{APPEND}
{HIDE}
{CAPTURE}
{CAPTURE_BATCH}
{RECORD}
REVOKE ALL ON FUNCTION audit_append, audit_hide, audit_capture, audit_capture_batch,
    audit_record FROM PUBLIC;
GRANT EXECUTE ON FUNCTION audit_capture, audit_capture_batch TO app_owner;
GRANT EXECUTE ON FUNCTION audit_record TO app_rw, app_maint;
RESET ROLE;
"""
DROP = """
SET LOCAL ROLE audit_owner;
DROP FUNCTION audit_record, audit_capture_batch, audit_capture, audit_hide, audit_append;
RESET ROLE;
"""

# Whether an organization wants its data events stands in its row, which FORCE hides.
SEE_SWITCHES = """
GRANT SELECT (id, audit_data_events) ON organizations TO audit_owner;
CREATE POLICY organizations_audit ON organizations FOR SELECT TO audit_owner
    USING (true);
"""
HIDE_SWITCHES = """
DROP POLICY organizations_audit ON organizations;
REVOKE SELECT (id, audit_data_events) ON organizations FROM audit_owner;
"""


class Migration(migrations.Migration):
    dependencies = [("audit", "0002_append_only"), ("tenants", "0015_keeping")]

    operations = [
        migrations.RunSQL(CREATE, DROP),
        migrations.RunSQL(SEE_SWITCHES, HIDE_SWITCHES),
    ]

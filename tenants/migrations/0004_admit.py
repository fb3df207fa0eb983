"""tenants_admit: who calls, where, and may they; one statement before any other work."""

from django.db import migrations

# SECURITY DEFINER: the web role sees no token or membership before it is bound to an
# organization, and it cannot be bound before somebody has read them. The owner reads
# them by policies of its own (ProtectTenantTable(..., admitting=True)).
#
# verdict: ok | unauthenticated | not_found | conflict | ambiguous | role_lacks |
#          token_lacks. Only "ok" binds the transaction.
ADMIT = """
CREATE FUNCTION tenants_admit(
    p_public_id text, p_digest bytea, p_user uuid, p_username text,
    p_organization text, p_project text, p_workspace text,
    p_permission text, p_roles text[], p_needs_project boolean, p_opt_in boolean,
    p_request text,
    OUT verdict text, OUT organization_id uuid, OUT organization text,
    OUT project_id uuid, OUT project text, OUT project_ids uuid[],
    OUT actor_kind text, OUT actor_id uuid, OUT actor_label text,
    OUT roles text[], OUT permissions text[]
) LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    token record;
    place record;
    in_organization text;
    in_project text;
    may_download boolean := true;
    by_previous boolean := false;
    wanted text := coalesce(p_project, p_workspace);
    family text := split_part(p_permission, ':', 1);
    feature text := CASE family WHEN 'artifacts' THEN 'tracking'
                                WHEN 'webhooks' THEN 'registry' ELSE family END;
BEGIN
    verdict := 'unauthenticated';
    IF p_public_id IS NOT NULL THEN
        SELECT t.organization_id, t.user_id, t.service_account_id, t.project_ids,
               t.permissions, coalesce(u.username, s.name) AS holder,
               t.digest <> p_digest AS by_previous
        INTO token
        FROM api_tokens t
        LEFT JOIN users u ON u.id = t.user_id
        LEFT JOIN service_accounts s ON s.id = t.service_account_id
        WHERE t.public_id = p_public_id
          AND (t.digest = p_digest
               OR t.previous_digest = p_digest AND t.previous_valid_until > now())
          AND t.revoked_at IS NULL AND t.expires_at > now()
          AND (u.id IS NULL OR u.is_active) AND s.deleted_at IS NULL;
        IF NOT FOUND OR p_username <> token.holder THEN
            RETURN;
        END IF;
        organization_id := token.organization_id;
        project_ids := token.project_ids;
        permissions := token.permissions;
        actor_kind := CASE WHEN token.user_id IS NULL THEN 'service' ELSE 'user' END;
        actor_id := coalesce(token.user_id, token.service_account_id);
        actor_label := token.holder;
        by_previous := token.by_previous;
    ELSE
        SELECT u.username INTO actor_label
        FROM users u WHERE u.id = p_user AND u.is_active;
        IF NOT FOUND THEN
            RETURN;
        END IF;
        SELECT o.id INTO organization_id FROM organizations o
        WHERE o.slug = p_organization AND o.deleted_at IS NULL;
        project_ids := '{}';
        permissions := '{*}';
        actor_kind := 'user';
        actor_id := p_user;
    END IF;

    SELECT o.slug INTO organization FROM organizations o
    WHERE o.id = tenants_admit.organization_id AND o.deleted_at IS NULL;
    IF actor_kind = 'user' THEN
        SELECT m.role INTO in_organization FROM organization_memberships m
        WHERE m.organization_id = tenants_admit.organization_id
          AND m.user_id = actor_id AND m.deleted_at IS NULL;
    ELSE
        in_organization := 'service';
    END IF;
    IF organization IS NULL OR in_organization IS NULL THEN
        -- A token without a living holder is no credential; a person may simply not
        -- be a member of what the address names, which is then not theirs to leave
        -- an entry in.
        verdict := CASE WHEN p_public_id IS NULL THEN 'not_found'
                        ELSE 'unauthenticated' END;
        organization_id := NULL;
        RETURN;
    END IF;
    IF p_organization <> organization THEN
        verdict := 'not_found';
        RETURN;
    END IF;
    IF p_project <> p_workspace THEN
        verdict := 'conflict';
        RETURN;
    END IF;

    IF wanted IS NOT NULL OR cardinality(project_ids) = 1 AND p_needs_project THEN
        SELECT p.id, p.slug, p.default_role, p.switched_off, p.viewers_download
        INTO place FROM projects p
        WHERE p.organization_id = tenants_admit.organization_id
          AND p.deleted_at IS NULL
          AND CASE WHEN wanted IS NULL THEN p.id = tenants_admit.project_ids[1]
                   ELSE p.slug = wanted END
          AND (cardinality(tenants_admit.project_ids) = 0
               OR p.id = ANY (tenants_admit.project_ids));
        IF FOUND THEN
            in_project := tenants_project_role(
                tenants_admit.organization_id, place.id, place.default_role,
                in_organization, actor_kind, actor_id);
        END IF;
        IF in_project IS NULL
           OR feature = ANY (place.switched_off) THEN
            verdict := 'not_found';
            RETURN;
        END IF;
        may_download := in_project <> 'viewer' OR place.viewers_download;
        project_id := place.id;
        project := place.slug;
    ELSIF p_needs_project THEN
        verdict := 'ambiguous';
        RETURN;
    END IF;

    -- A token bound to projects rules over them, not over the organization.
    IF cardinality(project_ids) > 0
       AND in_organization IN ('owner', 'admin', 'service') THEN
        in_organization := 'member';
    END IF;
    -- The header only narrows: on a route of the organization it lends no role.
    IF p_project IS NULL AND NOT p_needs_project THEN
        in_project := NULL;
    END IF;
    roles := array_remove(ARRAY[in_organization, in_project], NULL);
    IF NOT roles && p_roles
       OR p_permission = 'artifacts:read' AND NOT may_download THEN
        verdict := 'role_lacks';
    ELSIF NOT permissions && ARRAY[p_permission]
          AND (NOT '*' = ANY (permissions) OR actor_kind = 'service' AND p_opt_in) THEN
        verdict := 'token_lacks';
    ELSE
        verdict := 'ok';
        PERFORM set_config('app.organization_id', organization_id::text, true),
                set_config('app.actor', concat_ws(':', actor_kind, actor_id,
                                                  p_public_id), true),
                set_config('app.request', p_request, true),
                -- Who still has the old secret is for the trail to show.
                set_config('app.reason', CASE WHEN by_previous
                    THEN 'by the previous secret of the token' ELSE '' END, true);
    END IF;
END $$;
REVOKE ALL ON FUNCTION tenants_admit FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenants_admit TO app_rw, app_maint;
"""

# The greater of a member's own role and the floor that the organization gives.
PROJECT_ROLE = """
CREATE FUNCTION tenants_project_role(
    p_organization_id uuid, p_project_id uuid, p_default_role text,
    p_in_organization text, p_actor_kind text, p_actor_id uuid
) RETURNS text LANGUAGE plpgsql STABLE SET search_path = public, pg_temp AS $$
DECLARE
    own text;
BEGIN
    IF p_in_organization IN ('owner', 'admin') THEN
        RETURN 'maintainer';
    END IF;
    IF p_actor_kind = 'user' THEN
        SELECT m.role INTO own FROM project_members m
        WHERE m.organization_id = p_organization_id AND m.project_id = p_project_id
          AND m.user_id = p_actor_id AND m.deleted_at IS NULL;
    ELSE
        SELECT m.role INTO own FROM project_members m
        WHERE m.organization_id = p_organization_id AND m.project_id = p_project_id
          AND m.service_account_id = p_actor_id AND m.deleted_at IS NULL;
        RETURN own;
    END IF;
    RETURN CASE
        WHEN own IN ('maintainer', 'editor') THEN own
        WHEN p_default_role = 'editor' THEN 'editor'
        WHEN own = 'viewer' OR p_default_role = 'viewer' THEN 'viewer'
    END;
END $$;
REVOKE ALL ON FUNCTION tenants_project_role FROM PUBLIC;
"""

# What a person may enter, before any organization is bound: sign-in asks it.
MEMBERSHIPS = """
CREATE FUNCTION tenants_memberships(p_user uuid)
RETURNS TABLE (id uuid, slug varchar, name varchar, role varchar)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT o.id, o.slug, o.name, m.role
    FROM organization_memberships m JOIN organizations o ON o.id = m.organization_id
    WHERE m.user_id = p_user AND m.deleted_at IS NULL AND o.deleted_at IS NULL
    ORDER BY o.slug
$$;
REVOKE ALL ON FUNCTION tenants_memberships FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenants_memberships TO app_rw, app_maint;
"""


class Migration(migrations.Migration):
    dependencies = [("tenants", "0003_grant_django_tables")]

    operations = [
        migrations.RunSQL(PROJECT_ROLE, "DROP FUNCTION tenants_project_role"),
        migrations.RunSQL(ADMIT, "DROP FUNCTION tenants_admit"),
        migrations.RunSQL(MEMBERSHIPS, "DROP FUNCTION tenants_memberships"),
    ]

"""Throttles that all processes share, and what the database does about tokens in use.

A bucket holds `burst` requests and fills at `per_second`. Its row says only when it is
full again (generic cell rate algorithm), so nothing has to run for it to fill up.
"""

from django.db import migrations

# Unlogged: a crash of PostgreSQL forgets who was throttled, which costs nobody a thing.
CREATE = """
CREATE UNLOGGED TABLE throttles (
    key bytea PRIMARY KEY,
    full_at timestamptz NOT NULL,
    -- What the latest taker got; it travels in the row so that one upsert does it all.
    granted integer NOT NULL
) WITH (fillfactor = 70);
"""

# Takes up to p_cost requests after paying p_owed, which were spent on credit already.
# Past two bursts a level is not believed: the clock was set back, or the rate was
# changed. A hundredth is for what is lost to microseconds.
TAKE = """
CREATE FUNCTION throttle_take(
    p_key bytea, p_cost integer, p_per_second float8, p_burst float8,
    p_owed integer DEFAULT 0, p_now timestamptz DEFAULT clock_timestamp(),
    OUT granted integer, OUT wait_seconds float8
) LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    -- What one request takes off a bucket, as the time in which it fills up again.
    unit interval := make_interval(secs => 1 / p_per_second);
    owed float8 := least(p_owed, 2 * p_burst);
    of_full integer := greatest(0, least(p_cost, floor(p_burst - owed)));
    next_full timestamptz;
BEGIN
    INSERT INTO throttles AS t (key, full_at, granted)
    VALUES (p_key, p_now + (owed + of_full) * unit, of_full)
    ON CONFLICT (key) DO UPDATE SET (full_at, granted) = (
        SELECT owing.level + got.count * unit, got.count
        FROM (SELECT least(greatest(t.full_at, p_now) + p_owed * unit,
                           p_now + 2 * p_burst * unit) AS level) AS owing,
             LATERAL (SELECT greatest(0, least(p_cost, floor(0.01 + p_burst
                 - extract(epoch FROM owing.level - p_now) * p_per_second))
             )::integer AS count) AS got)
    RETURNING t.granted, t.full_at INTO granted, next_full;
    wait_seconds := CASE WHEN granted > 0 THEN 0 ELSE greatest(
        0, extract(epoch FROM next_full - p_now) - (p_burst - 1) / p_per_second) END;
END $$;
REVOKE ALL ON FUNCTION throttle_take FROM PUBLIC;
GRANT EXECUTE ON FUNCTION throttle_take TO app_rw, app_maint;
"""

# Asks without taking, and gives all back: for locks that a person may open again.
LOOK = """
CREATE FUNCTION throttle_wait(p_key bytea, p_per_second float8, p_burst float8)
RETURNS float8 LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT coalesce(max(greatest(0, least(
        extract(epoch FROM full_at - clock_timestamp()), 2 * p_burst / p_per_second)
        - (p_burst - 1) / p_per_second - 0.01 / p_per_second)), 0)
    FROM throttles WHERE key = p_key
$$;
CREATE FUNCTION throttle_forget(p_key bytea) RETURNS boolean
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH gone AS (DELETE FROM throttles WHERE key = p_key RETURNING 1)
    SELECT EXISTS (SELECT FROM gone)
$$;
CREATE FUNCTION throttle_sweep() RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH gone AS (
        DELETE FROM throttles WHERE full_at < clock_timestamp() RETURNING 1
    ) SELECT count(*) FROM gone
$$;
REVOKE ALL ON FUNCTION throttle_wait, throttle_forget, throttle_sweep FROM PUBLIC;
GRANT EXECUTE ON FUNCTION throttle_wait, throttle_forget TO app_rw, app_maint;
GRANT EXECUTE ON FUNCTION throttle_sweep TO app_maint;
"""

# The owner, whom FORCE binds as well, changes tokens in the two functions below alone.
# Rows shorter than their page: noting a use then touches no index (HOT).
NOTE = """
CREATE POLICY api_tokens_noting ON api_tokens FOR UPDATE TO app_owner
    USING (true) WITH CHECK (true);
ALTER TABLE api_tokens SET (fillfactor = 70);

CREATE FUNCTION tenants_note_token_uses(
    p_public_ids text[], p_digests bytea[], p_prefixes text[], p_ages float8[]
) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH noted AS (
        UPDATE api_tokens t
        SET last_used_at = now() - make_interval(secs => used.age),
            last_used_ip_prefix = used.prefix
        FROM unnest(p_public_ids, p_digests, p_prefixes, p_ages)
             AS used (public_id, digest, prefix, age)
        WHERE t.public_id = used.public_id
          AND used.digest IN (t.digest, t.previous_digest)
          AND (t.last_used_at IS NULL OR t.last_used_at < now() - interval '5 min')
        RETURNING 1
    ) SELECT count(*) FROM noted
$$;

CREATE FUNCTION tenants_revoke_leaked(
    p_public_id text, p_digest bytea, p_request text
) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    leaked record;
BEGIN
    SELECT t.id, t.organization_id INTO leaked FROM api_tokens t
    WHERE t.public_id = p_public_id AND t.revoked_at IS NULL
      AND (t.digest = p_digest
           OR t.previous_digest = p_digest AND t.previous_valid_until > now())
    FOR UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM set_config('app.organization_id', leaked.organization_id::text, true),
            set_config('app.actor', 'anonymous:leak report', true),
            set_config('app.request', p_request, true),
            set_config('app.reason', 'leaked', true);
    UPDATE api_tokens
    SET revoked_at = now(), revoked_reason = 'leaked', updated_at = now()
    WHERE id = leaked.id;
    RETURN true;
END $$;
REVOKE ALL ON FUNCTION tenants_note_token_uses, tenants_revoke_leaked FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenants_note_token_uses, tenants_revoke_leaked
    TO app_rw, app_maint;
"""
UNNOTE = """
DROP FUNCTION tenants_note_token_uses, tenants_revoke_leaked;
ALTER TABLE api_tokens RESET (fillfactor);
DROP POLICY api_tokens_noting ON api_tokens;
"""

# Asked before any organization is bound: whose allowance a token spends, and whether
# what failed is a secret that was rotated away, whose overlap is over.
RECOGNIZE = """
CREATE FUNCTION tenants_token_organization(p_public_id text, p_digest bytea)
RETURNS uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT organization_id FROM api_tokens
    WHERE public_id = p_public_id AND p_digest IN (digest, previous_digest)
$$;
CREATE FUNCTION tenants_rotated_away(
    p_public_id text, p_digest bytea, OUT id uuid, OUT organization_id uuid
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT t.id, t.organization_id FROM api_tokens t
    WHERE t.public_id = p_public_id AND t.previous_digest = p_digest
      AND t.previous_valid_until <= now()
$$;
REVOKE ALL ON FUNCTION tenants_token_organization, tenants_rotated_away FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenants_token_organization, tenants_rotated_away
    TO app_rw, app_maint;
"""
FORGET = "DROP FUNCTION tenants_token_organization, tenants_rotated_away"


class Migration(migrations.Migration):
    dependencies = [("tenants", "0005_find_deleted")]

    operations = [
        migrations.RunSQL(CREATE, "DROP TABLE throttles"),
        migrations.RunSQL(TAKE, "DROP FUNCTION throttle_take"),
        migrations.RunSQL(
            LOOK, "DROP FUNCTION throttle_wait, throttle_forget, throttle_sweep"
        ),
        migrations.RunSQL(NOTE, UNNOTE),
        migrations.RunSQL(RECOGNIZE, FORGET),
    ]

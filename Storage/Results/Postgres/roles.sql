-- Run after every migration: makes the roles where that is allowed, and gives each what it needs and no more.
DO $$
DECLARE missing text;
BEGIN
  FOREACH missing IN ARRAY ARRAY['fleet_writer', 'fleet_analyst'] LOOP
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = missing) THEN
      BEGIN
        EXECUTE format('CREATE ROLE %I NOLOGIN', missing);
        EXECUTE format('GRANT %I TO CURRENT_USER', missing);
      EXCEPTION WHEN insufficient_privilege OR duplicate_object OR unique_violation THEN
        NULL; -- Without the right to make roles, the owner does everything; queries stay read-only by transaction.
      END;
    END IF;
  END LOOP;
  REVOKE ALL ON ALL FUNCTIONS IN SCHEMA fleet FROM PUBLIC;
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'fleet_writer') THEN
    GRANT USAGE ON SCHEMA fleet TO fleet_writer;
    GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA fleet TO fleet_writer;
    GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA fleet TO fleet_writer;
    -- The partitions of later runs.
    ALTER DEFAULT PRIVILEGES IN SCHEMA fleet GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO fleet_writer;
  END IF;
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'fleet_analyst') THEN
    GRANT USAGE ON SCHEMA fleet TO fleet_analyst;
    GRANT SELECT ON ALL TABLES IN SCHEMA fleet TO fleet_analyst;
    GRANT EXECUTE ON FUNCTION fleet.current_run(), fleet.pages_of(bigint) TO fleet_analyst;
    ALTER DEFAULT PRIVILEGES IN SCHEMA fleet GRANT SELECT ON TABLES TO fleet_analyst;
  END IF;
END $$;

-- Incarnations move forward through their functions only, whoever connects as the writer.
DO $$
BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'fleet_writer') THEN
    REVOKE INSERT, UPDATE, DELETE ON fleet.incarnations FROM fleet_writer;
    REVOKE UPDATE, DELETE ON fleet.transitions FROM fleet_writer;
  END IF;
END $$;

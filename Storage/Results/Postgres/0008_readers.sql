-- A session chooses its run before it asks, and every query of a view is planned anew: the planner may take the number as a
-- constant. Then it knows the one partition and its statistics, compares no setting with every row, and may use workers.
CREATE OR REPLACE FUNCTION current_run() RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN nullif(current_setting('fleet.run_id', true), '')::integer;

-- The pages of an allocation of more than one, counted from its first.
CREATE FUNCTION pages_of(more bigint) RETURNS bigint[] LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN ARRAY(SELECT generate_series(0::bigint, more));

-- Runs come and go beside readers. A partition that is made and then attached locks its parent against no reader and no
-- writer; one that is made in place locks all of them out, in an order that may not be theirs.
CREATE OR REPLACE FUNCTION create_run_partitions(which integer) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
SET search_path = fleet, pg_temp AS $$
DECLARE parent text;
BEGIN
  FOREACH parent IN ARRAY ARRAY['objects', 'texts', 'clients', 'operations', 'events', 'event_after'] LOOP
    EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL)', parent || '_' || which, parent);
    EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES IN (%s)', parent, parent || '_' || which, which);
  END LOOP;
  FOREACH parent IN ARRAY ARRAY['operations', 'events', 'event_after'] LOOP
    EXECUTE format('ALTER TABLE %I SET (autovacuum_enabled = false)', parent || '_' || which);
  END LOOP;
END $$;

-- Dropping a partition does lock its parent: all locks at once or none, so that nobody waits for this function while it
-- waits for them.
CREATE OR REPLACE FUNCTION drop_run(which integer) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
SET search_path = fleet, pg_temp AS $$
DECLARE
  parents CONSTANT text[] := ARRAY['objects', 'texts', 'clients', 'operations', 'events', 'event_after'];
  parts text[] := (SELECT array_agg(p || '_' || which) FROM unnest(parents) AS p
    WHERE to_regclass(quote_ident(p || '_' || which)) IS NOT NULL);
  part text;
  tries integer := 0;
BEGIN
  LOOP
    BEGIN
      FOREACH part IN ARRAY parents || parts LOOP
        EXECUTE format('LOCK TABLE ONLY %I IN ACCESS EXCLUSIVE MODE NOWAIT', part);
      END LOOP;
      EXIT;
    EXCEPTION WHEN lock_not_available THEN
      tries := tries + 1;
      IF tries = 1200 THEN -- A minute.
        RAISE EXCEPTION 'runs are being read or written all the time' USING ERRCODE = 'lock_not_available';
      END IF;
      PERFORM pg_sleep(0.05);
    END;
  END LOOP;
  FOREACH part IN ARRAY coalesce(parts, ARRAY[]::text[]) LOOP
    EXECUTE format('DROP TABLE %I', part);
  END LOOP;
  DELETE FROM runs WHERE run_id = which;
END $$;

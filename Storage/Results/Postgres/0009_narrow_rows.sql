-- Narrower rows of operations: 88 bytes where they took 96 or 104. The number and the code share a column, pages of an
-- address and page frames have 4 bytes where that is enough, and so has the lateness; life 1 is not written.
DO $$
DECLARE part text;
BEGIN
  ALTER TABLE operations RENAME TO operations_before;
  FOR part IN SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'operations_before'::regclass LOOP
    EXECUTE format('ALTER TABLE %s RENAME TO %I', part, replace(part, 'operations_', 'operations_before_'));
  END LOOP;
END $$;

CREATE TABLE operations (
  number_code bigint NOT NULL, sent_ns bigint NOT NULL, address bigint, pfn_large bigint, tag bigint, of_number bigint,
  late_large bigint, took_large bigint, size_large bigint, seq_large bigint, alloc_large bigint,
  late_ns integer, took_ns integer, size_bytes integer, seq integer, alloc_number integer, client integer NOT NULL,
  obj integer, gen integer, life integer, owner integer, map integer, device integer, session integer,
  alloc_gen integer, pages integer, page integer, pfn integer, run_id integer NOT NULL, proc smallint, err smallint)
  PARTITION BY LIST (run_id);

-- What the views read: the columns as they were, and the packed one after them.
CREATE OR REPLACE VIEW run_operations AS SELECT number_code >> 10 AS number, sent_ns,
  coalesce(address, CAST(page AS bigint) << 12) AS address, coalesce(pfn, pfn_large) AS pfn, tag, of_number,
  coalesce(late_ns, late_large) AS late_ns, took_large, size_large, seq_large, alloc_large, took_ns, size_bytes, seq,
  alloc_number, client, obj, gen, CASE WHEN obj IS NOT NULL THEN coalesce(life, 1) END AS life, owner, map, device, session,
  alloc_gen, pages, run_id, proc, CAST(number_code & 1023 AS smallint) AS code, err, number_code
  FROM operations WHERE run_id = current_run();

-- Loading is heap-only; what reading needs is built once, here.
CREATE OR REPLACE FUNCTION seal_run(which integer) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
SET search_path = fleet, pg_temp AS $$
DECLARE parent text;
BEGIN
  EXECUTE format('CREATE INDEX IF NOT EXISTS %I ON %I (obj, seq)', 'operations_obj_' || which, 'operations_' || which);
  EXECUTE format('CREATE INDEX IF NOT EXISTS %I ON %I USING brin (number_code, sent_ns)',
    'operations_brin_' || which, 'operations_' || which);
  EXECUTE format('CREATE INDEX IF NOT EXISTS %I ON %I (obj, gen, seq)', 'events_obj_' || which, 'events_' || which);
  EXECUTE format('CREATE INDEX IF NOT EXISTS %I ON %I (obj, gen, seq)', 'event_after_obj_' || which, 'event_after_' || which);
  FOREACH parent IN ARRAY ARRAY['objects', 'texts', 'clients', 'operations', 'events', 'event_after'] LOOP
    EXECUTE format('ALTER TABLE %I RESET (autovacuum_enabled)', parent || '_' || which);
    EXECUTE format('ANALYZE %I', parent || '_' || which);
  END LOOP;
END $$;

-- Runs that are stored already.
DO $$
DECLARE which integer;
BEGIN
  FOR which IN SELECT run_id FROM runs LOOP
    EXECUTE format('CREATE TABLE %I PARTITION OF operations FOR VALUES IN (%s)', 'operations_' || which, which);
    EXECUTE format($move$
      INSERT INTO %I SELECT number << 10 | code, sent_ns, CASE WHEN page IS NULL THEN address END,
        CASE WHEN small_pfn IS NULL THEN pfn END, tag, of_number, CASE WHEN small_late IS NULL THEN late_ns END,
        took_large, size_large, seq_large, alloc_large, small_late, took_ns, size_bytes, seq, alloc_number, client, obj,
        gen, nullif(CASE WHEN obj IS NOT NULL THEN coalesce(life, 0) END, 1), owner, map, device, session, alloc_gen, pages,
        page, small_pfn, run_id, proc, err
      FROM (SELECT *, CASE WHEN address & 4095 = 0 AND address >> 12 BETWEEN 0 AND 2147483647 THEN address >> 12 END::integer AS page,
          CASE WHEN pfn BETWEEN -2147483648 AND 2147483647 THEN pfn END::integer AS small_pfn,
          CASE WHEN late_ns BETWEEN -2147483648 AND 2147483647 THEN late_ns END::integer AS small_late FROM %I) AS b
      $move$, 'operations_' || which, 'operations_before_' || which);
    EXECUTE format('DROP TABLE %I', 'operations_before_' || which); -- Its indexes have the names of the new ones.
    IF (SELECT state FROM runs WHERE run_id = which) = 'sealed' THEN
      PERFORM seal_run(which);
    END IF;
  END LOOP;
  UPDATE runs SET schema_version = 2;
  DROP TABLE operations_before;
END $$;

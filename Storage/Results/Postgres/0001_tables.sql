-- The history of runs. Large tables are partitioned by run: dropping a run is dropping its partitions.
-- Columns stand widest first, so that no row loses bytes to alignment.
CREATE TABLE runs (
  run_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, run text NOT NULL UNIQUE,
  scenario text NOT NULL, profile text NOT NULL, seed bigint NOT NULL, source text NOT NULL, ordering text NOT NULL,
  clock text NOT NULL, clock_bound_ns bigint NOT NULL, epoch_ns bigint NOT NULL, started_utc timestamp NOT NULL,
  command_line text NOT NULL, settings text NOT NULL, state text NOT NULL, verdict text, exit_code integer,
  complete boolean, quiescent boolean, ended_utc timestamp, operations bigint, events bigint, findings bigint,
  summary text, schema_version integer NOT NULL);

CREATE TABLE processes (
  run_id integer NOT NULL REFERENCES runs ON DELETE CASCADE, proc integer NOT NULL, name text NOT NULL,
  clock text NOT NULL, host text NOT NULL, pid integer NOT NULL, PRIMARY KEY (run_id, proc));
CREATE TABLE findings (
  run_id integer NOT NULL REFERENCES runs ON DELETE CASCADE, id integer NOT NULL, checker text NOT NULL,
  rule text NOT NULL, class text NOT NULL, object text NOT NULL, signature text NOT NULL, text text NOT NULL,
  evidence text NOT NULL, count bigint NOT NULL, remedy text, PRIMARY KEY (run_id, id));
CREATE TABLE evidence (
  run_id integer NOT NULL REFERENCES runs ON DELETE CASCADE, checker text NOT NULL, rule text NOT NULL,
  ok bigint NOT NULL, violated bigint NOT NULL, undecided bigint NOT NULL);
CREATE INDEX ON evidence (run_id);
CREATE TABLE probes (
  run_id integer NOT NULL REFERENCES runs ON DELETE CASCADE, name text NOT NULL, count bigint NOT NULL,
  required boolean NOT NULL);
CREATE INDEX ON probes (run_id);
CREATE TABLE latency (
  run_id integer NOT NULL REFERENCES runs ON DELETE CASCADE, metric text NOT NULL, phase text NOT NULL,
  low_ns bigint NOT NULL, high_ns bigint NOT NULL, count bigint NOT NULL);
CREATE INDEX ON latency (run_id);
CREATE TABLE metrics (
  run_id integer NOT NULL REFERENCES runs ON DELETE CASCADE, time_ns bigint NOT NULL, name text NOT NULL,
  value double precision NOT NULL);
CREATE INDEX ON metrics (run_id);
CREATE TABLE faults (
  run_id integer NOT NULL REFERENCES runs ON DELETE CASCADE, time_ns bigint NOT NULL, kind text NOT NULL,
  target text NOT NULL, expects text NOT NULL, text text NOT NULL);
CREATE INDEX ON faults (run_id);
-- The key refuses a stretch of a spool that is stored already, whoever sends it again.
CREATE TABLE batches (
  run_id integer NOT NULL REFERENCES runs ON DELETE CASCADE, proc integer NOT NULL, stripe integer NOT NULL,
  segment bigint NOT NULL, from_offset integer NOT NULL, to_offset integer NOT NULL,
  PRIMARY KEY (run_id, proc, stripe, segment, from_offset));

CREATE TABLE objects (
  sort_key bigint NOT NULL, run_id integer NOT NULL, id integer NOT NULL, device integer NOT NULL,
  kind smallint NOT NULL, name text NOT NULL, PRIMARY KEY (run_id, id), UNIQUE (run_id, name)) PARTITION BY LIST (run_id);
CREATE TABLE texts (
  run_id integer NOT NULL, id integer NOT NULL, value text NOT NULL, PRIMARY KEY (run_id, id))
  PARTITION BY LIST (run_id);
CREATE TABLE clients (
  run_id integer NOT NULL, client integer NOT NULL, session integer NOT NULL, proc integer NOT NULL,
  PRIMARY KEY (run_id, client)) PARTITION BY LIST (run_id);
CREATE TABLE operations (
  number bigint NOT NULL, sent_ns bigint NOT NULL, address bigint, pfn bigint, tag bigint, of_number bigint,
  late_ns bigint, took_large bigint, size_large bigint, seq_large bigint, alloc_large bigint,
  took_ns integer, size_bytes integer, seq integer, alloc_number integer, client integer NOT NULL, obj integer,
  gen integer, life integer, owner integer, map integer, device integer, session integer, alloc_gen integer,
  pages integer, run_id integer NOT NULL, proc smallint, code smallint NOT NULL, err smallint)
  PARTITION BY LIST (run_id);
CREATE TABLE events (
  seq bigint NOT NULL, time_ns bigint NOT NULL, start_addr bigint, size_bytes bigint, pfn bigint, amount bigint,
  alloc_number bigint, obj integer NOT NULL, gen integer NOT NULL, life integer NOT NULL, actor integer, other integer,
  node integer, fn integer, text integer, alloc_device integer, alloc_gen integer, run_id integer NOT NULL,
  proc smallint NOT NULL, from_proc smallint, kind smallint NOT NULL, err smallint, after_count smallint)
  PARTITION BY LIST (run_id);
CREATE TABLE event_after (
  seq bigint NOT NULL, after_seq bigint NOT NULL, obj integer NOT NULL, gen integer NOT NULL, after_obj integer NOT NULL,
  after_gen integer NOT NULL, after_life integer NOT NULL, run_id integer NOT NULL, n smallint NOT NULL)
  PARTITION BY LIST (run_id);

-- A writer may make and drop runs without owning the tables.
CREATE FUNCTION create_run_partitions(which integer) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
SET search_path = fleet, pg_temp AS $$
DECLARE parent text;
BEGIN
  FOREACH parent IN ARRAY ARRAY['objects', 'texts', 'clients', 'operations', 'events', 'event_after'] LOOP
    EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES IN (%s)', parent || '_' || which, parent, which);
  END LOOP;
  FOREACH parent IN ARRAY ARRAY['operations', 'events', 'event_after'] LOOP
    EXECUTE format('ALTER TABLE %I SET (autovacuum_enabled = false)', parent || '_' || which);
  END LOOP;
END $$;

CREATE FUNCTION drop_run(which integer) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
SET search_path = fleet, pg_temp AS $$
DECLARE parent text;
BEGIN
  FOREACH parent IN ARRAY ARRAY['objects', 'texts', 'clients', 'operations', 'events', 'event_after'] LOOP
    EXECUTE format('DROP TABLE IF EXISTS %I', parent || '_' || which);
  END LOOP;
  DELETE FROM runs WHERE run_id = which;
END $$;

-- Loading is heap-only; what reading needs is built once, here.
CREATE FUNCTION seal_run(which integer) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
SET search_path = fleet, pg_temp AS $$
DECLARE parent text;
BEGIN
  EXECUTE format('CREATE INDEX IF NOT EXISTS %I ON %I (obj, seq)', 'operations_obj_' || which, 'operations_' || which);
  EXECUTE format('CREATE INDEX IF NOT EXISTS %I ON %I USING brin (number, sent_ns)', 'operations_brin_' || which, 'operations_' || which);
  EXECUTE format('CREATE INDEX IF NOT EXISTS %I ON %I (obj, gen, seq)', 'events_obj_' || which, 'events_' || which);
  EXECUTE format('CREATE INDEX IF NOT EXISTS %I ON %I (obj, gen, seq)', 'event_after_obj_' || which, 'event_after_' || which);
  FOREACH parent IN ARRAY ARRAY['objects', 'texts', 'clients', 'operations', 'events', 'event_after'] LOOP
    EXECUTE format('ALTER TABLE %I RESET (autovacuum_enabled)', parent || '_' || which);
    EXECUTE format('ANALYZE %I', parent || '_' || which);
  END LOOP;
END $$;

-- The run that a session looks at; `SET fleet.run_id` chooses it.
CREATE FUNCTION current_run() RETURNS integer LANGUAGE sql STABLE
RETURN nullif(current_setting('fleet.run_id', true), '')::integer;

CREATE VIEW run_runs AS SELECT * FROM runs WHERE run_id = current_run();
CREATE VIEW run_processes AS SELECT * FROM processes WHERE run_id = current_run();
CREATE VIEW run_objects AS SELECT * FROM objects WHERE run_id = current_run();
CREATE VIEW run_texts AS SELECT * FROM texts WHERE run_id = current_run();
CREATE VIEW run_clients AS SELECT * FROM clients WHERE run_id = current_run();
CREATE VIEW run_operations AS SELECT * FROM operations WHERE run_id = current_run();
CREATE VIEW run_events AS SELECT * FROM events WHERE run_id = current_run();
CREATE VIEW run_event_after AS SELECT * FROM event_after WHERE run_id = current_run();
CREATE VIEW run_findings AS SELECT * FROM findings WHERE run_id = current_run();
CREATE VIEW run_evidence AS SELECT * FROM evidence WHERE run_id = current_run();
CREATE VIEW run_probes AS SELECT * FROM probes WHERE run_id = current_run();
CREATE VIEW run_latency AS SELECT * FROM latency WHERE run_id = current_run();
CREATE VIEW run_metrics AS SELECT * FROM metrics WHERE run_id = current_run();
CREATE VIEW run_faults AS SELECT * FROM faults WHERE run_id = current_run();

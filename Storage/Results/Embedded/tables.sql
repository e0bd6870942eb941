CREATE TABLE runs (
  run VARCHAR NOT NULL, scenario VARCHAR NOT NULL, profile VARCHAR NOT NULL, seed BIGINT NOT NULL,
  source VARCHAR NOT NULL, ordering VARCHAR NOT NULL, clock VARCHAR NOT NULL, clock_bound_ns BIGINT NOT NULL,
  epoch_ns BIGINT NOT NULL, started_utc TIMESTAMP NOT NULL, command_line VARCHAR NOT NULL, settings VARCHAR NOT NULL,
  state VARCHAR NOT NULL, verdict VARCHAR, exit_code INTEGER, complete BOOLEAN, quiescent BOOLEAN,
  ended_utc TIMESTAMP, operations BIGINT, events BIGINT, findings BIGINT, summary VARCHAR, schema_version INTEGER NOT NULL);
CREATE TABLE processes (
  proc INTEGER NOT NULL, name VARCHAR NOT NULL, clock VARCHAR NOT NULL, host VARCHAR NOT NULL, pid INTEGER NOT NULL);
CREATE TABLE objects (
  id INTEGER NOT NULL, name VARCHAR NOT NULL, kind SMALLINT NOT NULL, device INTEGER NOT NULL, sort_key BIGINT NOT NULL);
CREATE TABLE texts (id INTEGER NOT NULL, value VARCHAR NOT NULL);
CREATE TABLE clients (client INTEGER NOT NULL, session INTEGER NOT NULL, proc INTEGER NOT NULL);
CREATE TABLE operations_wide (
  number_code BIGINT NOT NULL, sent_ns BIGINT NOT NULL, address BIGINT, pfn_large BIGINT, tag BIGINT, of_number BIGINT,
  late_large BIGINT, took_large BIGINT, size_large BIGINT, seq_large BIGINT, alloc_large BIGINT,
  late_ns INTEGER, took_ns INTEGER, size_bytes INTEGER, seq INTEGER, alloc_number INTEGER, client INTEGER NOT NULL,
  obj INTEGER, gen INTEGER, life INTEGER, owner INTEGER, map INTEGER, device INTEGER, session INTEGER,
  alloc_gen INTEGER, pages INTEGER, page INTEGER, pfn INTEGER, proc SMALLINT, err SMALLINT);
-- Most operations have nothing in most columns, and an empty column costs as much to store as a full one. Those
-- lie here; 0 is what is null in the wide table.
CREATE TABLE operations_narrow (
  number_code BIGINT NOT NULL, sent_ns BIGINT NOT NULL, tag BIGINT NOT NULL, late_ns INTEGER NOT NULL,
  took_ns INTEGER NOT NULL, size_bytes INTEGER NOT NULL, seq INTEGER NOT NULL, alloc_number INTEGER NOT NULL,
  client INTEGER NOT NULL, obj INTEGER NOT NULL, owner INTEGER NOT NULL, page INTEGER NOT NULL, pfn INTEGER NOT NULL,
  life INTEGER NOT NULL, pages INTEGER NOT NULL, err SMALLINT NOT NULL);
CREATE VIEW operations AS SELECT * FROM operations_wide UNION ALL BY NAME
  SELECT number_code, sent_ns, nullif(tag, 0) AS tag, nullif(late_ns, 0) AS late_ns, took_ns,
    nullif(size_bytes, 0) AS size_bytes, nullif(seq, 0) AS seq, nullif(alloc_number, 0) AS alloc_number, client,
    nullif(obj, 0) AS obj, nullif(owner, 0) AS owner, nullif(page, 0) AS page, nullif(pfn, 0) AS pfn,
    nullif(life, 0) AS life, nullif(pages, 0) AS pages, nullif(err, 0) AS err
  FROM operations_narrow;
CREATE TABLE events (
  seq BIGINT NOT NULL, time_ns BIGINT NOT NULL, start_addr BIGINT, size_bytes BIGINT, pfn BIGINT, amount BIGINT,
  alloc_number BIGINT, obj INTEGER NOT NULL, gen INTEGER NOT NULL, life INTEGER NOT NULL, actor INTEGER, other INTEGER,
  node INTEGER, fn INTEGER, text INTEGER, alloc_device INTEGER, alloc_gen INTEGER, proc SMALLINT NOT NULL,
  from_proc SMALLINT, kind SMALLINT NOT NULL, err SMALLINT, after_count SMALLINT);
CREATE TABLE event_after (
  seq BIGINT NOT NULL, after_seq BIGINT NOT NULL, obj INTEGER NOT NULL, gen INTEGER NOT NULL, after_obj INTEGER NOT NULL,
  after_gen INTEGER NOT NULL, after_life INTEGER NOT NULL, n SMALLINT NOT NULL);
CREATE TABLE findings (
  id INTEGER NOT NULL, checker VARCHAR NOT NULL, rule VARCHAR NOT NULL, class VARCHAR NOT NULL, object VARCHAR NOT NULL,
  signature VARCHAR NOT NULL, text VARCHAR NOT NULL, evidence VARCHAR NOT NULL, count BIGINT NOT NULL, remedy VARCHAR);
CREATE TABLE evidence (
  checker VARCHAR NOT NULL, rule VARCHAR NOT NULL, ok BIGINT NOT NULL, violated BIGINT NOT NULL, undecided BIGINT NOT NULL);
CREATE TABLE probes (name VARCHAR NOT NULL, count BIGINT NOT NULL, required BOOLEAN NOT NULL);
CREATE TABLE latency (
  metric VARCHAR NOT NULL, phase VARCHAR NOT NULL, low_ns BIGINT NOT NULL, high_ns BIGINT NOT NULL, count BIGINT NOT NULL);
CREATE TABLE metrics (time_ns BIGINT NOT NULL, name VARCHAR NOT NULL, value DOUBLE NOT NULL);
CREATE TABLE faults (
  time_ns BIGINT NOT NULL, kind VARCHAR NOT NULL, target VARCHAR NOT NULL, expects VARCHAR NOT NULL, text VARCHAR NOT NULL);
CREATE TABLE batches (
  proc INTEGER NOT NULL, stripe INTEGER NOT NULL, segment BIGINT NOT NULL, from_offset INTEGER NOT NULL,
  to_offset INTEGER NOT NULL, PRIMARY KEY (proc, stripe, segment, from_offset));
CREATE VIEW run_objects AS SELECT * FROM objects;
CREATE VIEW run_texts AS SELECT * FROM texts;
CREATE VIEW run_clients AS SELECT * FROM clients;
CREATE VIEW run_processes AS SELECT * FROM processes;
CREATE VIEW run_operations AS SELECT number_code >> 10 AS number, sent_ns,
  coalesce(address, CAST(page AS BIGINT) << 12) AS address, coalesce(pfn, pfn_large) AS pfn, tag, of_number,
  coalesce(late_ns, late_large) AS late_ns, took_large, size_large, seq_large, alloc_large, took_ns, size_bytes, seq,
  alloc_number, client, obj, gen, CASE WHEN obj IS NOT NULL THEN coalesce(life, 1) END AS life, owner, map, device, session,
  alloc_gen, pages, proc, CAST(number_code & 1023 AS SMALLINT) AS code, err, number_code
  FROM operations;
CREATE VIEW run_events AS SELECT * FROM events;
CREATE VIEW run_event_after AS SELECT * FROM event_after;
CREATE VIEW run_findings AS SELECT * FROM findings;
CREATE VIEW run_evidence AS SELECT * FROM evidence;
CREATE VIEW run_probes AS SELECT * FROM probes;
CREATE VIEW run_latency AS SELECT * FROM latency;
CREATE VIEW run_metrics AS SELECT * FROM metrics;
CREATE VIEW run_faults AS SELECT * FROM faults;
CREATE VIEW run_runs AS SELECT * FROM runs;

-- Which run a cluster serves: written by who drives the run, read by silos that start or that wait for one.
CREATE TABLE cluster_runs (
  cluster text PRIMARY KEY, run_id integer NOT NULL REFERENCES runs ON DELETE CASCADE,
  renewed timestamptz NOT NULL DEFAULT clock_timestamp());

-- The run is over: its cluster has no members and its objects no incarnations any more. What still writes is refused.
CREATE FUNCTION end_cluster_run(ended text, in_scope text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = fleet, pg_temp AS $$
  DELETE FROM cluster_runs r WHERE r.cluster = ended;
  DELETE FROM clusters c WHERE c.cluster = ended;
  DELETE FROM grain_states g WHERE g.service = ended;
  DELETE FROM incarnations i WHERE i.scope = in_scope;
$$;

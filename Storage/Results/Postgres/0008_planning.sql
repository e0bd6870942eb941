-- A session chooses its run before it asks, and every query of a view is planned anew: the planner may take the number as a
-- constant. Then it knows the one partition and its statistics, compares no setting with every row, and may use workers.
CREATE OR REPLACE FUNCTION current_run() RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN nullif(current_setting('fleet.run_id', true), '')::integer;

-- The pages of an allocation of more than one, counted from its first.
CREATE FUNCTION pages_of(more bigint) RETURNS bigint[] LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN ARRAY(SELECT generate_series(0::bigint, more));

-- What a cluster keeps: who is a member, the state of grains, and which incarnation of an object is the newest.

CREATE TABLE incarnations (
  scope text NOT NULL, name text NOT NULL, gen integer NOT NULL CHECK (gen > 0), seq bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (scope, name));

-- Numbers incarnations: 1 at first, larger each time. Locks the names in one order, whoever asks.
CREATE FUNCTION next_incarnations(in_scope text, names text[]) RETURNS TABLE (name text, gen integer)
LANGUAGE sql SECURITY DEFINER SET search_path = fleet, pg_temp AS $$
  INSERT INTO incarnations AS known (scope, name, gen)
  SELECT in_scope, n, 1 FROM (SELECT DISTINCT unnest(names) AS n) AS asked ORDER BY n
  ON CONFLICT (scope, name) DO UPDATE SET gen = known.gen + 1, seq = 0
  RETURNING known.name, known.gen
$$;

-- The only way to record a transition: refused unless it is the newest incarnation's, and later than its last one.
CREATE VIEW transitions AS SELECT scope, name, gen, seq FROM incarnations;

CREATE FUNCTION record_transition() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = fleet, pg_temp AS $$
BEGIN
  UPDATE incarnations i SET seq = NEW.seq
    WHERE i.scope = NEW.scope AND i.name = NEW.name AND i.gen = NEW.gen AND i.seq < NEW.seq;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'incarnation % of % is stale, or its position % is not new', NEW.gen, NEW.name, NEW.seq
      USING ERRCODE = 'FL001', DETAIL = NEW.name;
  END IF;
  RETURN NEW;
END $$;

CREATE TRIGGER record_transition INSTEAD OF INSERT ON transitions FOR EACH ROW EXECUTE FUNCTION record_transition();

CREATE TABLE clusters (
  cluster text PRIMARY KEY, version integer NOT NULL, etag bigint NOT NULL);

CREATE TABLE members (
  cluster text NOT NULL REFERENCES clusters ON DELETE CASCADE, address text NOT NULL, port integer NOT NULL,
  generation integer NOT NULL, silo_name text NOT NULL, host_name text NOT NULL, status integer NOT NULL,
  proxy_port integer NOT NULL, suspects text NOT NULL, started timestamptz NOT NULL, alive timestamptz NOT NULL,
  etag bigint NOT NULL, PRIMARY KEY (cluster, address, port, generation));

CREATE TABLE grain_states (
  service text NOT NULL, state text NOT NULL, grain text NOT NULL, etag bigint NOT NULL, payload bytea,
  PRIMARY KEY (service, state, grain));

-- What a failover needs: the state that a lost process left, plans to begin again with, and who serves until when.
-- docs/decisions/0021 has the argument.

ALTER TABLE incarnations ADD COLUMN life integer NOT NULL DEFAULT 0, ADD COLUMN is_bound boolean NOT NULL DEFAULT false,
  ADD COLUMN proc integer NOT NULL DEFAULT 0, ADD COLUMN before_proc integer NOT NULL DEFAULT 0;

CREATE TABLE kept_plans (
  scope text NOT NULL, name text NOT NULL, plan text NOT NULL, PRIMARY KEY (scope, name));

-- A process answers for its objects without asking, until this instant of the database's clock.
CREATE TABLE serving_terms (
  scope text NOT NULL, proc integer NOT NULL, until timestamptz NOT NULL, PRIMARY KEY (scope, proc));

-- Objects that were taken from a process which may still serve them.
CREATE TABLE takeovers (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, scope text NOT NULL, proc integer NOT NULL, name text NOT NULL,
  gen integer NOT NULL);

CREATE INDEX takeovers_of_process ON takeovers (scope, proc, id);

CREATE OR REPLACE VIEW transitions AS SELECT scope, name, gen, seq, life, is_bound FROM incarnations;

CREATE OR REPLACE FUNCTION record_transition() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = fleet, pg_temp AS $$
BEGIN
  UPDATE incarnations i SET seq = NEW.seq, life = coalesce(NEW.life, i.life), is_bound = coalesce(NEW.is_bound, i.is_bound)
    WHERE i.scope = NEW.scope AND i.name = NEW.name AND i.gen = NEW.gen AND i.seq < NEW.seq;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'incarnation % of % is stale, or its position % is not new', NEW.gen, NEW.name, NEW.seq
      USING ERRCODE = 'FL001', DETAIL = NEW.name;
  END IF;
  RETURN NEW;
END $$;

-- For control runs: what a stale incarnation says is believed.
CREATE FUNCTION record_unfenced(in_scope text, names text[], lives integer[], bounds boolean[]) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = fleet, pg_temp AS $$
  UPDATE incarnations i SET life = coalesce(t.l, i.life), is_bound = coalesce(t.b, i.is_bound)
    FROM unnest(names, lives, bounds) AS t(n, l, b) WHERE i.scope = in_scope AND i.name = t.n
$$;

-- Begins incarnations and says what the ones before left. Whoever asks has to wait before it serves: the process that
-- served before learns of it when it renews its term, or lets it lapse. The term's row is locked until this commits, so
-- a renewal comes wholly before (and is waited for) or wholly after (and is told).
CREATE FUNCTION begin_incarnations(in_scope text, in_proc integer, names text[], in_plans text[])
RETURNS TABLE (name text, gen integer, life integer, is_bound boolean, wait_ms double precision)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = fleet, pg_temp AS $$
#variable_conflict use_column
DECLARE made record;
BEGIN
  INSERT INTO kept_plans AS kept (scope, name, plan)
    SELECT in_scope, t.n, t.p FROM unnest(names, in_plans) AS t(n, p) WHERE t.p IS NOT NULL ORDER BY t.n
    ON CONFLICT (scope, name) DO UPDATE SET plan = excluded.plan;
  FOR made IN
    INSERT INTO incarnations AS known (scope, name, gen, proc)
      SELECT in_scope, n, 1, in_proc FROM (SELECT DISTINCT unnest(names) AS n) AS asked ORDER BY n
      ON CONFLICT (scope, name) DO UPDATE
        SET gen = known.gen + 1, seq = 0, before_proc = known.proc, proc = excluded.proc
      RETURNING known.name, known.gen, known.life, known.is_bound, known.before_proc
  LOOP
    wait_ms := 0;
    IF made.gen > 1 AND made.before_proc NOT IN (0, in_proc) THEN
      SELECT greatest(0, extract(epoch FROM t.until - clock_timestamp()) * 1000) INTO wait_ms
        FROM serving_terms t WHERE t.scope = in_scope AND t.proc = made.before_proc FOR SHARE;
      wait_ms := coalesce(wait_ms, 0);
      IF wait_ms > 0 THEN
        INSERT INTO takeovers (scope, proc, name, gen) VALUES (in_scope, made.before_proc, made.name, made.gen);
      END IF;
    END IF;
    name := made.name; gen := made.gen; life := made.life; is_bound := made.is_bound;
    RETURN NEXT;
  END LOOP;
END $$;

-- Prolongs the term of a process, and says which of its objects were taken since it asked last.
CREATE FUNCTION renew_serving_term(in_scope text, in_proc integer, for_ms double precision, seen bigint)
RETURNS TABLE (id bigint, name text, gen integer)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = fleet, pg_temp AS $$
#variable_conflict use_column
BEGIN
  INSERT INTO serving_terms AS known (scope, proc, until)
    VALUES (in_scope, in_proc, clock_timestamp() + for_ms * interval '1 millisecond')
    ON CONFLICT (scope, proc) DO UPDATE SET until = excluded.until;
  RETURN QUERY SELECT t.id, t.name, t.gen FROM takeovers t
    WHERE t.scope = in_scope AND t.proc = in_proc AND t.id > seen ORDER BY t.id;
END $$;

-- Incarnations that stopped of their own will: nobody waits for them.
CREATE FUNCTION leave_incarnations(in_scope text, names text[], gens integer[]) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = fleet, pg_temp AS $$
  UPDATE incarnations i SET proc = 0 FROM unnest(names, gens) AS t(n, g)
    WHERE i.scope = in_scope AND i.name = t.n AND i.gen = t.g
$$;

CREATE OR REPLACE FUNCTION end_cluster_run(ended text, in_scope text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = fleet, pg_temp AS $$
  DELETE FROM cluster_runs r WHERE r.cluster = ended;
  DELETE FROM clusters c WHERE c.cluster = ended;
  DELETE FROM grain_states g WHERE g.service = ended;
  DELETE FROM incarnations i WHERE i.scope = in_scope;
  DELETE FROM kept_plans k WHERE k.scope = in_scope;
  DELETE FROM serving_terms t WHERE t.scope = in_scope;
  DELETE FROM takeovers t WHERE t.scope = in_scope;
$$;

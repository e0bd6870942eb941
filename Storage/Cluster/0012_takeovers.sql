-- What is kept with an object, changed by its newest incarnation and by none that was replaced. The incarnation's row
-- is locked until this commits: a takeover comes wholly before, and refuses it, or wholly after, and reads it.
CREATE FUNCTION keep_plan(in_scope text, in_name text, in_gen integer, in_plan text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = fleet, pg_temp AS $$
BEGIN
  PERFORM FROM incarnations i WHERE i.scope = in_scope AND i.name = in_name AND i.gen = in_gen FOR UPDATE;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  INSERT INTO kept_plans AS kept (scope, name, plan) VALUES (in_scope, in_name, in_plan)
    ON CONFLICT (scope, name) DO UPDATE SET plan = excluded.plan;
  RETURN true;
END $$;

-- As before, and every takeover is noted: a process whose term ran out because it could not ask lives on, and has to be
-- told when it asks again.
CREATE OR REPLACE FUNCTION begin_incarnations(in_scope text, in_proc integer, names text[], in_plans text[])
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
      INSERT INTO takeovers (scope, proc, name, gen) VALUES (in_scope, made.before_proc, made.name, made.gen);
    END IF;
    name := made.name; gen := made.gen; life := made.life; is_bound := made.is_bound;
    RETURN NEXT;
  END LOOP;
END $$;

-- Lives that ended by a fence: of the incarnation that was fenced, or the one that the incarnations before left behind.
-- The latter is fenced by the first of a later incarnation, before anything is bound in it.
CREATE OR REPLACE VIEW k_fenced AS
  WITH fences AS (SELECT DISTINCT obj, gen, seq, life FROM k_events WHERE what = 'fenced'),
  binds AS (SELECT obj, gen, seq, life FROM k_events WHERE what = 'bind_begin'),
  left_behind AS (
    SELECT f.obj, f.gen AS by_gen, max(b.gen) AS gen FROM fences f JOIN binds b ON b.obj = f.obj AND b.gen < f.gen
    WHERE NOT EXISTS (SELECT 1 FROM binds o WHERE o.obj = f.obj AND o.gen = f.gen AND o.seq < f.seq)
    GROUP BY f.obj, f.gen)
  SELECT obj, gen, life FROM fences
  UNION
  SELECT b.obj, b.gen, max(b.life) FROM left_behind l JOIN binds b ON b.obj = l.obj AND b.gen = l.gen
  GROUP BY l.by_gen, b.obj, b.gen;

-- What became of an allocation, with a free that a later incarnation answered with "gone" as a doubt.
CREATE OR REPLACE VIEW k_fates AS
  SELECT device, alloc_gen, alloc_number, min(seq) AS end_seq, max(doubt) AS doubt FROM (
  SELECT device, alloc_gen, alloc_number, CASE WHEN outcome = 1 AND obj = device THEN seq END AS seq,
    CASE WHEN outcome <> 1 THEN 1 ELSE 0 END AS doubt
    FROM n_steps WHERE kind = 2 AND alloc_number IS NOT NULL
      AND (outcome <> 2 OR (err = 19 AND obj IS NULL))
  UNION ALL
  SELECT device, alloc_gen, alloc_number, seq, 0 FROM k_resolved
    WHERE kind = 2 AND obj = device AND alloc_number IS NOT NULL
  UNION ALL
  SELECT alloc_device, alloc_gen, alloc_number, seq, 0 FROM k_events
    WHERE what = 'reap' AND alloc_device IS NOT NULL) AS steps
  GROUP BY alloc_number, device, alloc_gen;

-- REAP-BEFORE-REMOVE for pins: the page map's own order decides, so only a fence that stands before the removal counts.
CREATE OR REPLACE VIEW c_removed_while_pinned AS
  SELECT r.obj, r.gen, r.life, r.seq, p.alloc_number, p.seq AS pin_seq, p.put_seq, 'violated' AS verdict
  FROM k_events r JOIN k_pins p ON p.obj = r.obj AND p.gen = r.gen AND p.seq < r.seq
    AND (p.put_seq IS NULL OR p.put_seq > r.seq)
  WHERE r.what = 'memory_remove' AND NOT EXISTS (
    SELECT 1 FROM k_events f WHERE f.what = 'fenced' AND f.obj = r.obj AND f.gen = r.gen AND f.life = r.life
      AND f.seq < r.seq);

-- ONE-INCARNATION without queries: they have the position of what they found, which an earlier incarnation gave.
CREATE OR REPLACE VIEW c_two_incarnations AS
  WITH several AS (
    SELECT obj FROM run_operations WHERE obj IS NOT NULL GROUP BY obj
    HAVING min(coalesce(gen, 1)) < max(coalesce(gen, 1))),
  answers AS (
    SELECT obj, gen, seq, number, client, sent_ns, max(gen) OVER (PARTITION BY client, obj ORDER BY sent_ns, number
      ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS seen_gen
    FROM n_steps WHERE obj IN (SELECT obj FROM several) AND outcome <> 0 AND kind <> 8)
  SELECT a.obj, a.gen, a.seq, a.number, a.client, a.seen_gen AS newer_gen, 'client' AS how, 'violated' AS verdict
  FROM answers a WHERE a.seen_gen > a.gen AND EXISTS (
    SELECT 1 FROM n_steps s WHERE s.client = a.client AND s.obj = a.obj AND s.gen = a.seen_gen AND s.done_ns < a.sent_ns
      AND s.outcome <> 0 AND s.kind <> 8)
  UNION ALL
  SELECT n.obj, n.gen, n.seq, n.number, n.client, i.gen, 'clock', 'violated'
  FROM k_events i JOIN n_operations n ON n.obj = i.obj AND n.gen < i.gen
  CROSS JOIN run_runs r
  LEFT JOIN run_processes p ON p.proc = i.proc LEFT JOIN run_processes c ON c.proc = n.proc
  WHERE i.what = 'incarnation' AND i.gen > 1 AND n.outcome <> 0 AND n.kind <> 8
    AND n.sent_ns > i.time_ns + CASE WHEN p.clock = c.clock THEN 0 ELSE r.clock_bound_ns END
    AND (p.clock = c.clock OR r.clock_bound_ns > 0);

-- The main rules once more, in plain SQL, written from the history format and not from the checker's code.
-- A row of a c_ view is one instance: verdict violated, or excused where an unanswered operation could explain it.
CREATE VIEW k_events AS SELECT e.obj, e.gen, e.seq, e.life, e.proc, e.time_ns, k.name AS what, e.other, e.start_addr,
  e.size_bytes, e.amount, e.node, e.text AS text_id, e.fn AS fn_id, e.err, e.alloc_device, e.alloc_gen, e.alloc_number
  FROM run_events e JOIN d_event_kinds k ON k.id = e.kind;

-- A query that found out what an unanswered operation did stands for that operation, at the query's position.
CREATE VIEW k_resolved AS SELECT u.number, u.kind, u.client, u.sent_ns, u.done_ns, q.device, q.obj, q.gen, q.seq, q.life,
  coalesce(u.alloc_gen, q.alloc_gen) AS alloc_gen, coalesce(u.alloc_number, q.alloc_number) AS alloc_number,
  coalesce(u.address, q.address) AS address, greatest(u.size_bytes, q.size_bytes) AS size_bytes,
  coalesce(u.owner, q.owner) AS owner
  FROM n_operations q JOIN n_operations u ON u.number = q.of_number
  WHERE q.kind = 8 AND q.outcome = 1 AND q.obj IS NOT NULL AND u.outcome = 0;

CREATE VIEW k_allocs AS
  SELECT number, client, sent_ns, done_ns, device, gen, seq, life, alloc_gen, alloc_number, address, size_bytes, owner
  FROM n_operations WHERE kind = 1 AND outcome = 1 AND obj = device AND alloc_number IS NOT NULL
  UNION ALL
  SELECT number, client, sent_ns, done_ns, device, gen, seq, life, alloc_gen, alloc_number, address, size_bytes, owner
  FROM k_resolved WHERE kind = 1 AND obj = device AND alloc_number IS NOT NULL;

-- Where an allocation ended: a free that was executed, or a reap.
CREATE VIEW k_ends AS SELECT device, alloc_gen, alloc_number, min(seq) AS seq FROM (
  SELECT device, alloc_gen, alloc_number, seq FROM n_operations
    WHERE kind = 2 AND outcome = 1 AND obj = device AND alloc_number IS NOT NULL
  UNION ALL
  SELECT device, alloc_gen, alloc_number, seq FROM k_resolved WHERE kind = 2 AND obj = device AND alloc_number IS NOT NULL
  UNION ALL
  SELECT alloc_device, alloc_gen, alloc_number, seq FROM k_events WHERE what = 'reap' AND alloc_device IS NOT NULL) AS ends
  GROUP BY device, alloc_gen, alloc_number;

-- Allocations whose free nobody answered: it may have taken effect, anywhere later.
CREATE VIEW k_doubts AS SELECT DISTINCT device, alloc_gen, alloc_number FROM n_operations
  WHERE kind = 2 AND outcome = 0 AND alloc_number IS NOT NULL;

-- Allocations with their end; end_seq is null where there is none.
CREATE VIEW k_lifetimes AS SELECT a.number, a.client, a.device, a.gen, a.life, a.seq, a.alloc_gen, a.alloc_number, a.address,
  a.size_bytes, a.owner, e.seq AS end_seq, d.device IS NOT NULL AS is_doubtful
  FROM k_allocs a
  LEFT JOIN k_ends e ON e.device = a.device AND e.alloc_gen = a.alloc_gen AND e.alloc_number = a.alloc_number
  LEFT JOIN k_doubts d ON d.device = a.device AND d.alloc_gen = a.alloc_gen AND d.alloc_number = a.alloc_number;

CREATE VIEW k_fenced AS SELECT DISTINCT obj, gen, life FROM k_events WHERE what = 'fenced';

-- NO-USE-AFTER-REMOVE: an access that a page map executed after its memory was removed and before it was added again.
CREATE VIEW c_use_after_remove AS
  WITH timeline AS (
    SELECT obj, gen, seq, NULL AS number, NULL AS client, NULL AS device, NULL AS alloc_gen, NULL AS alloc_number,
      NULL AS sent_ns, CASE WHEN what = 'memory_remove' THEN seq ELSE 0 END AS removed,
      CASE WHEN what = 'memory_add' THEN seq ELSE 0 END AS added FROM k_events WHERE what IN ('memory_remove', 'memory_add')
    UNION ALL
    SELECT obj, gen, seq, number, client, device, alloc_gen, alloc_number, sent_ns, 0, 0 FROM n_operations
    WHERE kind = 3 AND obj IS NOT NULL AND (outcome = 1 OR err = 14)),
  placed AS (
    SELECT obj, gen, seq, number, client, device, alloc_gen, alloc_number, sent_ns, max(removed) OVER w AS removed_seq,
      max(added) OVER w AS added_seq FROM timeline
    WINDOW w AS (PARTITION BY obj, gen ORDER BY seq ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)),
  given_back AS (
    SELECT device, alloc_gen, alloc_number, min(sent_ns) AS sent_ns FROM n_operations
    WHERE kind = 2 AND outcome <> 2 AND alloc_number IS NOT NULL GROUP BY device, alloc_gen, alloc_number),
  made AS (SELECT DISTINCT device, alloc_gen, alloc_number FROM k_allocs)
  SELECT l.obj, l.gen, l.removed_seq, l.seq, l.number, l.client, l.device, l.alloc_gen, l.alloc_number,
    CASE WHEN a.device IS NULL OR f.sent_ns <= l.sent_ns THEN 'excused' ELSE 'violated' END AS verdict
  FROM placed l
  LEFT JOIN made a ON a.device = l.device AND a.alloc_gen = l.alloc_gen AND a.alloc_number = l.alloc_number
  LEFT JOIN given_back f ON f.device = l.device AND f.alloc_gen = l.alloc_gen AND f.alloc_number = l.alloc_number
  WHERE l.number IS NOT NULL AND l.removed_seq > l.added_seq;

-- REAP-BEFORE-REMOVE: an allocation in the range of a mapping, made before its teardown began and not ended when it ended.
CREATE VIEW c_removed_while_referenced AS
  WITH teardowns AS (
    SELECT e.obj, e.gen, e.life, e.other AS map, e.start_addr, e.size_bytes, max(b.seq) AS begin_seq, e.seq AS end_seq
    FROM k_events e JOIN k_events b ON b.obj = e.obj AND b.gen = e.gen AND b.start_addr = e.start_addr AND b.seq < e.seq
    WHERE e.what = 'teardown_end' AND b.what = 'teardown_begin'
    GROUP BY e.obj, e.gen, e.life, e.other, e.start_addr, e.size_bytes, e.seq)
  SELECT t.obj, t.gen, t.life, t.map, t.begin_seq, t.end_seq, a.number, a.client, a.alloc_number, a.seq, a.end_seq AS freed_seq,
    CASE WHEN a.end_seq IS NULL AND a.is_doubtful THEN 'excused' ELSE 'violated' END AS verdict
  FROM teardowns t JOIN k_lifetimes a ON a.device = t.obj AND a.gen = t.gen AND a.life = t.life
    AND a.seq < t.begin_seq AND a.address >= t.start_addr AND a.address < t.start_addr + t.size_bytes
    AND (a.end_seq IS NULL OR a.end_seq > t.end_seq)
  WHERE NOT EXISTS (SELECT 1 FROM k_fenced f WHERE f.obj = t.obj AND f.gen = t.gen AND f.life = t.life);

-- NO-OVERLAP: two live allocations with a page in common. For each page the lifetimes stand in order, and the latest end
-- so far (a running maximum, not a join of all with all) says whether an earlier one is still live.
CREATE VIEW c_overlaps AS
  WITH pages AS (
    SELECT a.device, a.gen, a.life, a.number, a.seq, coalesce(a.end_seq, 9000000000000000000) AS end_seq,
      CAST(a.address AS bigint) / 4096 + p.i AS page
    FROM (SELECT device, gen, life, number, seq, end_seq, CASE WHEN address % 4096 = 0 THEN address ELSE address - address % 4096 END
        AS address, (size_bytes + 4095) / 4096 - 1 AS last_page FROM k_lifetimes
        WHERE NOT (end_seq IS NULL AND is_doubtful)) AS a
    CROSS JOIN LATERAL generate_series(0, CAST(floor(a.last_page) AS bigint)) AS p(i)),
  running AS (
    SELECT device, gen, life, number, seq, page, max(end_seq) OVER (
      PARTITION BY device, gen, life, page ORDER BY seq ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS latest_end
    FROM pages)
  SELECT device AS obj, gen, life, number, seq, CAST(min(page) AS bigint) * 4096 AS address, 'violated' AS verdict
  FROM running WHERE latest_end > seq GROUP BY device, gen, life, number, seq;

-- UNBIND-LIVE: an unbind that never ended although nobody holds what it waits for.
CREATE VIEW c_stuck_unbinds AS
  WITH begun AS (
    SELECT b.obj, b.gen, b.life, b.seq FROM k_events b WHERE b.what = 'unbind_begin' AND NOT EXISTS (
      SELECT 1 FROM k_events e WHERE e.obj = b.obj AND e.gen = b.gen AND e.seq > b.seq
        AND e.what IN ('unbind_end', 'fenced', 'oops', 'bug'))
      AND NOT EXISTS (SELECT 1 FROM k_events i WHERE i.obj = b.obj AND i.gen > b.gen)),
  waits AS (
    SELECT h.obj, h.gen, max(CASE WHEN o.kind = 2 THEN h.other END) AS waits_for,
      max(CASE WHEN t.value LIKE '%deadlock%' THEN 1 ELSE 0 END) AS is_deadlock
    FROM k_events h LEFT JOIN run_objects o ON o.id = h.other LEFT JOIN run_texts t ON t.id = h.text_id
    WHERE h.what IN ('hang', 'hang_detected') GROUP BY h.obj, h.gen),
  holders AS (
    SELECT device, gen, owner, count(*) AS held, sum(CASE WHEN is_doubtful THEN 1 ELSE 0 END) AS doubtful
    FROM k_lifetimes WHERE end_seq IS NULL GROUP BY device, gen, owner),
  judged AS (
    SELECT b.obj, b.gen, b.life, b.seq, w.waits_for, coalesce(w.is_deadlock, 0) AS is_deadlock,
      (SELECT coalesce(sum(h.held), 0) FROM holders h WHERE h.device = b.obj AND h.gen = b.gen
        AND (w.waits_for IS NULL OR h.owner IS NULL OR h.owner = w.waits_for)) AS holders
    FROM begun b LEFT JOIN waits w ON w.obj = b.obj AND w.gen = b.gen)
  SELECT obj, gen, life, seq, waits_for, holders, CASE WHEN is_deadlock = 1 OR holders = 0 THEN 'violated' ELSE 'excused' END AS verdict
  FROM judged;

-- NO-LEAK: an object of a life that is over and that nobody freed.
CREATE VIEW c_leaks AS
  WITH made AS (
    SELECT a.obj, a.gen, a.life, a.seq, a.other FROM k_events a WHERE a.what = 'obj_alloc'
      AND NOT EXISTS (SELECT 1 FROM k_events f WHERE f.what = 'obj_free' AND f.obj = a.obj AND f.gen = a.gen
        AND f.other = a.other AND f.seq > a.seq)
      AND NOT EXISTS (SELECT 1 FROM k_events x WHERE x.obj = a.obj AND x.what IN ('oops', 'bug', 'fenced'))
      AND NOT EXISTS (SELECT 1 FROM k_events i WHERE i.obj = a.obj AND i.gen > a.gen))
  SELECT m.obj, m.gen, m.life, m.seq, m.other, 'violated' AS verdict FROM made m
  WHERE EXISTS (SELECT 1 FROM k_events e WHERE e.obj = m.obj AND e.gen = m.gen
    AND ((e.what = 'unbind_end' AND e.life = m.life) OR (e.what = 'bind_begin' AND e.life > m.life)));

-- EXACTLY-ONCE: a devres action that ran although it was on no list, or was on one when its unbind had ended.
CREATE VIEW c_devres_twice AS
  WITH steps AS (
    SELECT e.obj, e.gen, e.life, e.seq, e.node, e.what, t.value AS kind, lag(e.what) OVER (
      PARTITION BY e.obj, e.gen, e.node ORDER BY e.seq) AS before, lead(e.seq) OVER (
      PARTITION BY e.obj, e.gen, e.node ORDER BY e.seq) AS next_seq
    FROM k_events e LEFT JOIN run_texts t ON t.id = e.text_id
    WHERE e.what IN ('devres_add', 'devres_run', 'devres_remove', 'devres_free')),
  ends AS (SELECT b.obj, b.gen, b.life, b.seq AS begin_seq, min(e.seq) AS end_seq FROM k_events b JOIN k_events e
    ON e.obj = b.obj AND e.gen = b.gen AND e.seq > b.seq AND e.what = 'unbind_end' WHERE b.what = 'unbind_begin'
    GROUP BY b.obj, b.gen, b.life, b.seq)
  SELECT obj, gen, life, seq, node, 'run twice' AS how, 'violated' AS verdict FROM steps
  WHERE what = 'devres_run' AND coalesce(before, 'none') <> 'devres_add'
  UNION ALL
  SELECT s.obj, s.gen, s.life, s.seq, s.node, 'never run', 'violated' FROM steps s JOIN ends e
    ON e.obj = s.obj AND e.gen = s.gen AND s.seq < e.begin_seq AND e.life = s.life
  WHERE s.what = 'devres_add' AND coalesce(s.kind, 'action') = 'action' AND (s.next_seq IS NULL OR s.next_seq > e.end_seq)
    AND NOT EXISTS (SELECT 1 FROM k_fenced f WHERE f.obj = s.obj AND f.gen = s.gen AND f.life = s.life);

-- ONE-INCARNATION: an answer of an old incarnation to something sent after a newer one was seen to serve.
CREATE VIEW c_two_incarnations AS
  WITH answers AS (
    SELECT obj, gen, seq, number, client, sent_ns, max(gen) OVER (PARTITION BY client, obj ORDER BY sent_ns, number
      ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS seen_gen
    FROM n_operations WHERE obj IS NOT NULL AND outcome <> 0)
  SELECT a.obj, a.gen, a.seq, a.number, a.client, a.seen_gen AS newer_gen, 'client' AS how, 'violated' AS verdict
  FROM answers a WHERE a.seen_gen > a.gen AND EXISTS (
    SELECT 1 FROM n_operations s WHERE s.client = a.client AND s.obj = a.obj AND s.gen = a.seen_gen AND s.done_ns < a.sent_ns
      AND s.outcome <> 0)
  UNION ALL
  SELECT n.obj, n.gen, n.seq, n.number, n.client, i.gen, 'clock', 'violated'
  FROM k_events i JOIN n_operations n ON n.obj = i.obj AND n.gen < i.gen
  CROSS JOIN run_runs r
  LEFT JOIN run_processes p ON p.proc = i.proc LEFT JOIN run_processes c ON c.proc = n.proc
  WHERE i.what = 'incarnation' AND i.gen > 1 AND n.outcome <> 0
    AND n.sent_ns > i.time_ns + CASE WHEN p.clock = c.clock THEN 0 ELSE r.clock_bound_ns END
    AND (p.clock = c.clock OR r.clock_bound_ns > 0);

CREATE VIEW v_checks AS
  SELECT 'NO-USE-AFTER-REMOVE' AS rule, obj, gen, seq, number, verdict FROM c_use_after_remove
  UNION ALL SELECT 'REAP-BEFORE-REMOVE', obj, gen, end_seq, number, verdict FROM c_removed_while_referenced
  UNION ALL SELECT 'NO-OVERLAP', obj, gen, seq, number, verdict FROM c_overlaps
  UNION ALL SELECT 'UNBIND-LIVE', obj, gen, seq, NULL, verdict FROM c_stuck_unbinds
  UNION ALL SELECT 'NO-LEAK', obj, gen, seq, NULL, verdict FROM c_leaks
  UNION ALL SELECT 'EXACTLY-ONCE', obj, gen, seq, NULL, verdict FROM c_devres_twice
  UNION ALL SELECT 'ONE-INCARNATION', obj, gen, seq, number, verdict FROM c_two_incarnations;

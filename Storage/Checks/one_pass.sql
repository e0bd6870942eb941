-- The costly checks again with fewer passes over the operations; what they find and their columns are as before.
-- Operations with the defaults that the checks need, without a look at their clients.
CREATE VIEW n_steps AS SELECT h.number, CAST(h.number_code & 15 AS integer) AS kind,
  CAST((h.number_code >> 4) & 3 AS integer) AS outcome, coalesce(h.err, 0) AS err,
  h.sent_ns, h.sent_ns + coalesce(h.took_ns, h.took_large, 0) AS done_ns, h.client,
  coalesce(h.device, o.device, 0) AS device, h.obj,
  CASE WHEN h.obj IS NOT NULL THEN coalesce(h.gen, 1) END AS gen, coalesce(h.seq, h.seq_large) AS seq,
  CASE WHEN h.obj IS NOT NULL THEN coalesce(h.life, 0) END AS life,
  coalesce(h.alloc_number, h.alloc_large) AS alloc_number,
  CASE WHEN coalesce(h.alloc_number, h.alloc_large) IS NOT NULL
    THEN coalesce(h.alloc_gen, CASE WHEN h.obj = coalesce(h.device, o.device, 0) THEN coalesce(h.gen, 1) ELSE 1 END) END AS alloc_gen,
  h.address, coalesce(h.size_bytes, h.size_large, 0) AS size_bytes, h.owner, h.of_number
  FROM run_operations h LEFT JOIN run_objects o ON o.id = h.obj;

CREATE OR REPLACE VIEW k_resolved AS SELECT u.number, u.kind, u.client, u.sent_ns, u.done_ns, q.device, q.obj, q.gen, q.seq,
  q.life, coalesce(u.alloc_gen, q.alloc_gen) AS alloc_gen, coalesce(u.alloc_number, q.alloc_number) AS alloc_number,
  coalesce(u.address, q.address) AS address, greatest(u.size_bytes, q.size_bytes) AS size_bytes,
  coalesce(u.owner, q.owner) AS owner
  FROM n_steps q JOIN n_steps u ON u.number = q.of_number
  WHERE q.kind = 8 AND q.outcome = 1 AND q.obj IS NOT NULL AND u.outcome = 0;

CREATE OR REPLACE VIEW k_allocs AS
  SELECT number, client, sent_ns, done_ns, device, gen, seq, life, alloc_gen, alloc_number, address, size_bytes, owner
  FROM n_steps WHERE kind = 1 AND outcome = 1 AND obj = device AND alloc_number IS NOT NULL
  UNION ALL
  SELECT number, client, sent_ns, done_ns, device, gen, seq, life, alloc_gen, alloc_number, address, size_bytes, owner
  FROM k_resolved WHERE kind = 1 AND obj = device AND alloc_number IS NOT NULL;

-- What became of an allocation: where it ended first, and whether it may have ended otherwise: by a free that nobody
-- answered, or one that a later incarnation answered with "gone" (ENODEV), of which a copy may have reached the one before.
CREATE VIEW k_fates AS
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

CREATE OR REPLACE VIEW k_lifetimes AS SELECT a.number, a.client, a.device, a.gen, a.life, a.seq, a.alloc_gen, a.alloc_number,
  a.address, a.size_bytes, a.owner, f.end_seq, coalesce(f.doubt, 0) = 1 AS is_doubtful
  FROM k_allocs a
  LEFT JOIN k_fates f ON f.device = a.device AND f.alloc_gen = a.alloc_gen AND f.alloc_number = a.alloc_number;

DROP VIEW k_ends;
DROP VIEW k_doubts;

-- Only page maps that lost their memory at some time have accesses to place.
CREATE OR REPLACE VIEW c_use_after_remove AS
  WITH changes AS (
    SELECT obj, gen, seq, what FROM k_events WHERE what IN ('memory_remove', 'memory_add')),
  timeline AS (
    SELECT obj, gen, seq, CAST(NULL AS bigint) AS number, CASE WHEN what = 'memory_remove' THEN seq ELSE 0 END AS removed,
      CASE WHEN what = 'memory_add' THEN seq ELSE 0 END AS added FROM changes
    UNION ALL
    SELECT n.obj, n.gen, n.seq, n.number, 0, 0 FROM n_steps n
    JOIN (SELECT obj, gen, min(seq) AS seq FROM changes WHERE what = 'memory_remove' GROUP BY obj, gen) r
      ON r.obj = n.obj AND r.gen = n.gen AND r.seq < n.seq
    WHERE n.kind = 3 AND (n.outcome = 1 OR n.err = 14)),
  placed AS (
    SELECT obj, gen, seq, number, max(removed) OVER w AS removed_seq, max(added) OVER w AS added_seq FROM timeline
    WINDOW w AS (PARTITION BY obj, gen ORDER BY seq ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)),
  late AS (
    SELECT p.obj, p.gen, p.removed_seq, p.seq, n.number, n.client, n.device, n.alloc_gen, n.alloc_number, n.sent_ns
    FROM placed p JOIN n_steps n ON n.number = p.number AND n.obj = p.obj AND n.seq = p.seq
    WHERE p.number IS NOT NULL AND p.removed_seq > p.added_seq),
  given_back AS (
    SELECT device, alloc_gen, alloc_number, min(sent_ns) AS sent_ns FROM n_steps
    WHERE kind = 2 AND outcome <> 2 AND alloc_number IS NOT NULL GROUP BY device, alloc_gen, alloc_number),
  made AS (SELECT DISTINCT device, alloc_gen, alloc_number FROM k_allocs)
  SELECT l.obj, l.gen, l.removed_seq, l.seq, l.number, l.client, l.device, l.alloc_gen, l.alloc_number,
    CASE WHEN a.device IS NULL OR f.sent_ns <= l.sent_ns THEN 'excused' ELSE 'violated' END AS verdict
  FROM late l
  LEFT JOIN made a ON a.device = l.device AND a.alloc_gen = l.alloc_gen AND a.alloc_number = l.alloc_number
  LEFT JOIN given_back f ON f.device = l.device AND f.alloc_gen = l.alloc_gen AND f.alloc_number = l.alloc_number;

-- The page stands first in the sort: it tells most rows apart.
CREATE OR REPLACE VIEW c_overlaps AS
  WITH pages AS (
    SELECT device, gen, life, number, seq, end_seq, first_page,
      unnest(CASE WHEN more = 0 THEN ARRAY[CAST(0 AS bigint)] ELSE pages_of(more) END) AS i
    FROM (SELECT device, gen, life, number, seq, coalesce(end_seq, 9000000000000000000) AS end_seq,
        address >> 12 AS first_page, ((size_bytes + 4095) >> 12) - 1 AS more
      FROM k_lifetimes WHERE NOT (end_seq IS NULL AND is_doubtful)) AS a WHERE more >= 0),
  running AS (
    SELECT device, gen, life, number, seq, first_page + i AS page, max(end_seq) OVER (
      PARTITION BY first_page + i, device, gen, life ORDER BY seq
      ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS latest_end
    FROM pages)
  SELECT device AS obj, gen, life, number, seq, CAST(min(page) AS bigint) * 4096 AS address, 'violated' AS verdict
  FROM running WHERE latest_end > seq GROUP BY device, gen, life, number, seq;

-- Only objects that answered as more than one incarnation can have answered as an old one. A query has the position of
-- what it found, which an earlier incarnation gave: it is no answer of that one.
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

-- REAP-BEFORE-REMOVE for pins: the page map's own order decides, so only a fence that stands before the removal counts.
CREATE OR REPLACE VIEW c_removed_while_pinned AS
  SELECT r.obj, r.gen, r.life, r.seq, p.alloc_number, p.seq AS pin_seq, p.put_seq, 'violated' AS verdict
  FROM k_events r JOIN k_pins p ON p.obj = r.obj AND p.gen = r.gen AND p.seq < r.seq
    AND (p.put_seq IS NULL OR p.put_seq > r.seq)
  WHERE r.what = 'memory_remove' AND NOT EXISTS (
    SELECT 1 FROM k_events f WHERE f.what = 'fenced' AND f.obj = r.obj AND f.gen = r.gen AND f.life = r.life
      AND f.seq < r.seq);

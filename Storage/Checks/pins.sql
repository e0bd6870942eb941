-- The same rules for pages that get_user_pages pinned: their page_get and page_put stand in the page map's own stream,
-- so that stream alone decides.
CREATE VIEW k_pins AS SELECT g.obj, g.gen, g.seq, g.life, g.alloc_device AS device, g.alloc_gen, g.alloc_number,
  min(p.seq) AS put_seq
  FROM k_events g LEFT JOIN k_events p ON p.what = 'page_put' AND p.obj = g.obj AND p.gen = g.gen AND p.seq > g.seq
    AND p.alloc_number = g.alloc_number AND p.alloc_gen = g.alloc_gen
  WHERE g.what = 'page_get' AND g.alloc_number IS NOT NULL
  GROUP BY g.obj, g.gen, g.seq, g.life, g.alloc_device, g.alloc_gen, g.alloc_number;

-- NO-USE-AFTER-REMOVE: a step at a page's count, or an access through a pin that is held, after the memory was removed
-- and before it was added again.
CREATE VIEW c_pin_used_after_remove AS
  WITH timeline AS (
    SELECT obj, gen, seq, CASE WHEN what IN ('memory_remove', 'memory_add') THEN 0 ELSE 1 END AS is_use,
      CASE WHEN what = 'memory_remove' THEN seq ELSE 0 END AS removed,
      CASE WHEN what = 'memory_add' THEN seq ELSE 0 END AS added
    FROM k_events WHERE what IN ('memory_remove', 'memory_add', 'page_get', 'page_put', 'page_final_put')
    UNION ALL
    SELECT n.obj, n.gen, n.seq, 1, 0, 0 FROM n_operations n
    JOIN k_pins p ON p.obj = n.obj AND p.gen = n.gen AND p.alloc_gen = n.alloc_gen AND p.alloc_number = n.alloc_number
      AND p.seq < n.seq AND (p.put_seq IS NULL OR p.put_seq > n.seq)
    WHERE n.kind = 3 AND (n.outcome = 1 OR n.err = 14)),
  placed AS (
    SELECT obj, gen, seq, is_use, max(removed) OVER w AS removed_seq, max(added) OVER w AS added_seq FROM timeline
    WINDOW w AS (PARTITION BY obj, gen ORDER BY seq ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW))
  SELECT obj, gen, seq, removed_seq, 'violated' AS verdict FROM placed WHERE is_use = 1 AND removed_seq > added_seq;

-- REAP-BEFORE-REMOVE: a pin that was not put when the memory of its page was removed.
CREATE VIEW c_removed_while_pinned AS
  SELECT r.obj, r.gen, r.life, r.seq, p.alloc_number, p.seq AS pin_seq, p.put_seq, 'violated' AS verdict
  FROM k_events r JOIN k_pins p ON p.obj = r.obj AND p.gen = r.gen AND p.seq < r.seq
    AND (p.put_seq IS NULL OR p.put_seq > r.seq)
  WHERE r.what = 'memory_remove'
    AND NOT EXISTS (SELECT 1 FROM k_fenced f WHERE f.obj = r.obj AND f.gen = r.gen AND f.life = r.life);

CREATE OR REPLACE VIEW v_checks AS
  SELECT 'NO-USE-AFTER-REMOVE' AS rule, obj, gen, seq, number, verdict FROM c_use_after_remove
  UNION ALL SELECT 'NO-USE-AFTER-REMOVE', obj, gen, seq, NULL, verdict FROM c_pin_used_after_remove
  UNION ALL SELECT 'REAP-BEFORE-REMOVE', obj, gen, end_seq, number, verdict FROM c_removed_while_referenced
  UNION ALL SELECT 'REAP-BEFORE-REMOVE', obj, gen, seq, NULL, verdict FROM c_removed_while_pinned
  UNION ALL SELECT 'NO-OVERLAP', obj, gen, seq, number, verdict FROM c_overlaps
  UNION ALL SELECT 'UNBIND-LIVE', obj, gen, seq, NULL, verdict FROM c_stuck_unbinds
  UNION ALL SELECT 'NO-LEAK', obj, gen, seq, NULL, verdict FROM c_leaks
  UNION ALL SELECT 'EXACTLY-ONCE', obj, gen, seq, NULL, verdict FROM c_devres_twice
  UNION ALL SELECT 'ONE-INCARNATION', obj, gen, seq, number, verdict FROM c_two_incarnations;

-- Views that both stores share. The v_ views are the interface; their columns are described in docs/schema.md.
CREATE VIEW d_event_kinds (id, name) AS SELECT * FROM (VALUES
  (1, 'bind_begin'), (2, 'bind_end'), (3, 'unbind_begin'), (4, 'unbind_end'), (5, 'devres_add'),
  (6, 'devres_run'), (7, 'devres_remove'), (8, 'devres_free'), (9, 'release_all_begin'), (10, 'release_all_end'), (11, 'action_add_failed'),
  (12, 'add_resource_begin'), (13, 'add_resource_end'), (14, 'pool_create'), (15, 'chunk_add'), (16, 'pool_destroy'), (17, 'field_set'),
  (18, 'field_clear'), (19, 'field_read'), (20, 'teardown_begin'), (21, 'teardown_end'), (22, 'reap'), (23, 'obj_alloc'),
  (24, 'obj_free'), (25, 'fenced'), (26, 'publish'), (27, 'sysfs_group_add'), (28, 'sysfs_group_remove'), (29, 'sysfs_show_begin'),
  (30, 'sysfs_show_end'), (31, 'memremap_begin'), (32, 'memremap_end'), (33, 'conflict_hit'), (34, 'ref_init'), (35, 'ref_kill'),
  (36, 'switch_begin'), (37, 'switch_done'), (38, 'ref_zero'), (39, 'ref_exit'), (40, 'ref_get'), (41, 'ref_put'),
  (42, 'ref_tryget'), (43, 'ref_tryget_live'), (44, 'ref_resurrect'), (45, 'ref_reinit'), (46, 'cleanup_begin'), (47, 'cleanup_end'),
  (48, 'completion_init'), (49, 'complete'), (50, 'wait_begin'), (51, 'wait_end'), (52, 'memory_add'), (53, 'pages_init'),
  (54, 'map_store'), (55, 'map_erase'), (56, 'map_lookup'), (57, 'memory_remove'), (58, 'page_get'), (59, 'page_put'),
  (60, 'page_idle'), (61, 'page_final_put'), (62, 'page_backptr_read'), (63, 'barred'), (64, 'cpu_access'), (65, 'dma_access'),
  (66, 'chunk_try'), (67, 'bits_set'), (68, 'bits_clear'), (69, 'bits_rollback'), (70, 'avail_dec'), (71, 'avail_inc'),
  (72, 'alloc_begin'), (73, 'alloc_end'), (74, 'free_begin'), (75, 'free_end'), (76, 'find'), (77, 'distance'),
  (78, 'queue_freeze_start'), (79, 'queue_wait_begin'), (80, 'queue_wait_end'), (81, 'queue_dead'), (82, 'queue_put'), (83, 'queue_freed'),
  (84, 'io_enter'), (85, 'io_exit'), (86, 'io_access'), (87, 'staticbranch_get'), (88, 'staticbranch_put'), (89, 'rcu_read_begin'),
  (90, 'rcu_read_end'), (91, 'gp_wait_begin'), (92, 'gp_wait_end'), (93, 'rcu_cb_queue'), (94, 'rcu_cb_run'), (95, 'inject'),
  (96, 'warn'), (97, 'bug'), (98, 'oops'), (99, 'hang'), (100, 'hang_detected'), (101, 'incarnation')) AS t;
CREATE VIEW d_errnos (id, name) AS SELECT * FROM (VALUES
  (1, 'EPERM'), (2, 'ENOENT'), (5, 'EIO'), (6, 'ENXIO'), (11, 'EAGAIN'), (12, 'ENOMEM'), (13, 'EACCES'), (14, 'EFAULT'), (16, 'EBUSY'), (17, 'EEXIST'), (19, 'ENODEV'), (22, 'EINVAL'), (28, 'ENOSPC'), (34, 'ERANGE'), (110, 'ETIMEDOUT'), (116, 'ESTALE'), (125, 'ECANCELED')) AS t;
CREATE VIEW d_operation_kinds (id, name) AS SELECT * FROM (VALUES
  (1, 'alloc'), (2, 'free'), (3, 'access'), (4, 'bind'), (5, 'unbind'), (6, 'add_resource'), (7, 'remove'), (8, 'query')) AS t;
CREATE VIEW d_object_kinds (id, name) AS SELECT * FROM (VALUES
  (0, 'other'), (1, 'device'), (2, 'ref'), (3, 'map'), (4, 'pool'), (5, 'queue'), (6, 'client'), (7, 'session'), (8, 'host')) AS t;

CREATE VIEW v_run AS SELECT run, scenario, profile, seed, source, ordering, clock, clock_bound_ns, epoch_ns, started_utc,
  command_line, settings, state, verdict, exit_code, complete, quiescent, ended_utc, operations, events, findings, summary
  FROM run_runs;
CREATE VIEW v_processes AS SELECT proc, name, clock, host, pid FROM run_processes;
CREATE VIEW v_objects AS SELECT o.id, o.name, k.name AS kind, d.name AS device
  FROM run_objects o JOIN d_object_kinds k ON k.id = o.kind LEFT JOIN run_objects d ON d.id = o.device;

-- Operations with every default filled in, in numbers: what the checks read.
CREATE VIEW n_operations AS SELECT h.number, h.code & 15 AS kind, (h.code >> 4) & 3 AS outcome,
  (h.code >> 6) & 3 AS direction, (h.code >> 8) & 3 AS via, coalesce(h.err, 0) AS err,
  h.sent_ns - coalesce(h.late_ns, 0) AS intended_ns, h.sent_ns, h.sent_ns + coalesce(h.took_ns, h.took_large, 0) AS done_ns,
  h.client, coalesce(h.session, c.session) AS session, coalesce(h.proc, c.proc) AS proc,
  coalesce(h.device, o.device, 0) AS device, h.obj,
  CASE WHEN h.obj IS NOT NULL THEN coalesce(h.gen, 1) END AS gen, coalesce(h.seq, h.seq_large) AS seq,
  CASE WHEN h.obj IS NOT NULL THEN coalesce(h.life, 0) END AS life,
  coalesce(h.alloc_number, h.alloc_large) AS alloc_number,
  CASE WHEN coalesce(h.alloc_number, h.alloc_large) IS NOT NULL
    THEN coalesce(h.alloc_gen, CASE WHEN h.obj = coalesce(h.device, o.device, 0) THEN coalesce(h.gen, 1) ELSE 1 END) END AS alloc_gen,
  h.address, coalesce(h.size_bytes, h.size_large, 0) AS size_bytes, h.owner,
  coalesce(h.map, CASE WHEN o.kind = 3 THEN h.obj END) AS map, h.pfn,
  coalesce(h.pages, CASE WHEN (h.code & 15) = 3 THEN 1 ELSE 0 END) AS pages, h.tag, h.of_number
  FROM run_operations h LEFT JOIN run_objects o ON o.id = h.obj LEFT JOIN run_clients c ON c.client = h.client;

CREATE VIEW v_operations AS SELECT n.number, k.name AS kind,
  CASE n.outcome WHEN 1 THEN 'ok' WHEN 2 THEN 'fail' ELSE 'unknown' END AS outcome, e.name AS err,
  n.intended_ns, n.sent_ns, n.done_ns, n.done_ns - n.intended_ns AS latency_ns, n.done_ns - n.sent_ns AS service_ns,
  c.name AS client, s.name AS session, n.proc, d.name AS device, o.name AS obj, n.gen, n.seq, n.life,
  n.alloc_gen, n.alloc_number,
  CASE WHEN n.alloc_number IS NOT NULL
    THEN d.name || '#' || CAST(n.alloc_gen AS VARCHAR) || '#' || CAST(n.alloc_number AS VARCHAR) END AS alloc,
  CASE WHEN n.address IS NOT NULL THEN '0x' || lower(to_hex(n.address)) END AS address, n.size_bytes,
  w.name AS owner, m.name AS map, CASE WHEN n.pfn IS NOT NULL THEN '0x' || lower(to_hex(n.pfn)) END AS pfn, n.pages,
  CASE n.direction WHEN 1 THEN 'read' WHEN 2 THEN 'write' END AS direction,
  CASE n.via WHEN 1 THEN 'cpu' WHEN 2 THEN 'dma' END AS via,
  CASE WHEN n.tag IS NOT NULL THEN '0x' || lower(to_hex(n.tag)) END AS tag, n.of_number
  FROM n_operations n LEFT JOIN d_operation_kinds k ON k.id = n.kind LEFT JOIN d_errnos e ON e.id = n.err
  LEFT JOIN run_objects c ON c.id = n.client LEFT JOIN run_objects s ON s.id = n.session
  LEFT JOIN run_objects d ON d.id = n.device LEFT JOIN run_objects o ON o.id = n.obj
  LEFT JOIN run_objects w ON w.id = n.owner LEFT JOIN run_objects m ON m.id = n.map;

CREATE VIEW v_events AS SELECT o.name AS obj, k.name AS kind, h.gen, h.seq, h.life, h.proc, h.time_ns, a.value AS actor,
  e.name AS err, x.name AS other, CASE WHEN h.start_addr IS NOT NULL THEN '0x' || lower(to_hex(h.start_addr)) END AS start,
  h.size_bytes, CASE WHEN h.pfn IS NOT NULL THEN '0x' || lower(to_hex(h.pfn)) END AS pfn, h.amount, h.node,
  f.value AS fn, t.value AS text, CASE WHEN h.alloc_device IS NOT NULL
    THEN d.name || '#' || CAST(h.alloc_gen AS VARCHAR) || '#' || CAST(h.alloc_number AS VARCHAR) END AS alloc,
  b.name AS device
  FROM run_events h JOIN run_objects o ON o.id = h.obj JOIN d_event_kinds k ON k.id = h.kind
  LEFT JOIN run_texts a ON a.id = h.actor LEFT JOIN d_errnos e ON e.id = h.err LEFT JOIN run_objects x ON x.id = h.other
  LEFT JOIN run_texts f ON f.id = h.fn LEFT JOIN run_texts t ON t.id = h.text
  LEFT JOIN run_objects d ON d.id = h.alloc_device LEFT JOIN run_objects b ON b.id = o.device;

CREATE VIEW v_event_after AS SELECT o.name AS obj, h.gen, h.seq, h.n, x.name AS after_obj, h.after_gen, h.after_seq, h.after_life
  FROM run_event_after h JOIN run_objects o ON o.id = h.obj JOIN run_objects x ON x.id = h.after_obj;

CREATE VIEW v_findings AS SELECT id, checker, rule, class, object, signature, text, evidence, count, remedy FROM run_findings;
CREATE VIEW v_evidence AS SELECT checker, rule, ok, violated, undecided FROM run_evidence;
CREATE VIEW v_probes AS SELECT name, count, required FROM run_probes;
CREATE VIEW v_latency AS SELECT metric, phase, low_ns, high_ns, count FROM run_latency;
CREATE VIEW v_metrics AS SELECT time_ns, name, value FROM run_metrics;
CREATE VIEW v_faults AS SELECT time_ns, kind, target, expects, text FROM run_faults;

-- Numbers for names, in one call each: dense from 1 in a run, whoever asks first. Asking again changes nothing.
CREATE FUNCTION number_objects(which integer, names text[], kinds smallint[], devices text[])
RETURNS TABLE (name text, id integer) LANGUAGE plpgsql SECURITY DEFINER SET search_path = fleet, pg_temp AS $$
#variable_conflict use_column
BEGIN
  PERFORM pg_advisory_xact_lock(hashtext('fleet.objects'), which);
  -- Sort order: by device; its maps (3) and refs (2) before the rest, itself (1) last.
  WITH fresh AS (
    SELECT a.name, a.kind, a.device,
      (SELECT coalesce(max(o.id), 0) FROM objects o WHERE o.run_id = which) + row_number() OVER (ORDER BY a.at) AS id
    FROM unnest(names, kinds, devices) WITH ORDINALITY AS a(name, kind, device, at)
    WHERE NOT EXISTS (SELECT FROM objects o WHERE o.run_id = which AND o.name = a.name)),
  placed AS (
    SELECT f.name, f.kind, f.id, coalesce(d.id, o.id, 0) AS device FROM fresh f
    LEFT JOIN fresh d ON d.name = f.device
    LEFT JOIN objects o ON o.run_id = which AND o.name = f.device)
  INSERT INTO objects (sort_key, run_id, id, device, kind, name)
  SELECT (CASE WHEN p.device = 0 THEN p.id ELSE p.device END << 33)
      | (CASE p.kind WHEN 3 THEN 0 WHEN 2 THEN 1 WHEN 1 THEN 3 ELSE 2 END::bigint << 31) | p.id,
    which, p.id, p.device, p.kind, p.name FROM placed p;
  RETURN QUERY SELECT o.name, o.id FROM objects o WHERE o.run_id = which AND o.name = ANY (names);
END $$;

CREATE FUNCTION number_texts(which integer, vals text[])
RETURNS TABLE (value text, id integer) LANGUAGE plpgsql SECURITY DEFINER SET search_path = fleet, pg_temp AS $$
#variable_conflict use_column
BEGIN
  PERFORM pg_advisory_xact_lock(hashtext('fleet.texts'), which);
  INSERT INTO texts (run_id, id, value)
  SELECT which, (SELECT coalesce(max(t.id), 0) FROM texts t WHERE t.run_id = which) + row_number() OVER (ORDER BY a.at),
    a.value FROM unnest(vals) WITH ORDINALITY AS a(value, at)
  WHERE NOT EXISTS (SELECT FROM texts t WHERE t.run_id = which AND t.value = a.value);
  RETURN QUERY SELECT t.value, t.id FROM texts t WHERE t.run_id = which AND t.value = ANY (vals);
END $$;

-- NO-OVERLAP with fewer rows to sort: blocks of eight pages stand for the pages in them, and only lives in which those
-- meet are looked at page by page. What is found and its columns are as before.
CREATE OR REPLACE VIEW c_overlaps AS
  WITH spans AS MATERIALIZED (
    -- An allocation is single pages before its first whole block, whole blocks, and single pages behind the last one; single
    -- pages alone where it has no whole block. The code of a life may be that of another one: then both are looked at.
    SELECT device, gen, life, number, seq, end_seq, first_page, last_page, head, blocks, head + blocks + tail AS parts,
      ((CAST(device AS bigint) & 1048575) << 16) | (((CAST(gen AS bigint) << 12) + life) & 65535) AS code
    FROM (SELECT device, gen, life, number, seq, end_seq, first_page, last_page,
        CASE WHEN last_block < first_block THEN last_page - first_page + 1 ELSE first_block * 8 - first_page END AS head,
        CASE WHEN last_block < first_block THEN 0 ELSE last_block - first_block + 1 END AS blocks,
        CASE WHEN last_block < first_block THEN 0 ELSE last_page - last_block * 8 - 7 END AS tail
      FROM (SELECT device, gen, life, number, seq, end_seq, first_page, last_page,
          (first_page + 7) >> 3 AS first_block, ((last_page + 1) >> 3) - 1 AS last_block
        FROM (SELECT device, gen, life, number, seq, coalesce(end_seq, 9000000000000000000) AS end_seq,
            address >> 12 AS first_page, (address >> 12) + ((size_bytes + 4095) >> 12) - 1 AS last_page
          FROM k_lifetimes WHERE size_bytes > 0 AND NOT (end_seq IS NULL AND is_doubtful)) AS a) AS b) AS c),
  parts AS (
    -- Most have few parts: to cut a list costs a third of making one.
    SELECT code, seq, end_seq, first_page, last_page, head, blocks, parts, unnest(CASE WHEN parts < 23
      THEN (CAST(ARRAY[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23]
        AS bigint[]))[1:parts + 2] ELSE pages_of(parts + 1) END) AS i FROM spans),
  -- After the parts come the blocks that its first and its last pages lie in, of which it has only some.
  places AS (
    SELECT code, seq, end_seq, i < parts AS is_whole,
      CASE WHEN i < head THEN (first_page + i) * 2
        WHEN i < head + blocks THEN (((first_page + head) >> 3) + i - head) * 2 + 1
        WHEN i < parts THEN (last_page - parts + 1 + i) * 2
        WHEN i = parts AND head > 0 THEN (first_page >> 3) * 2 + 1
        WHEN i > parts AND CASE WHEN blocks = 0 THEN first_page >> 3 <> last_page >> 3 ELSE parts > head + blocks END
          THEN (last_page >> 3) * 2 + 1 END AS place
    FROM parts),
  meeting AS (
    SELECT key, seq, is_whole, max(end_seq) OVER w AS latest_end,
      max(CASE WHEN is_whole THEN end_seq END) OVER w AS latest_whole_end
    FROM (SELECT ((place & 134217727) << 36) | code AS key, seq, end_seq, is_whole
      FROM places WHERE place IS NOT NULL) AS keyed
    WINDOW w AS (PARTITION BY key ORDER BY seq ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)),
  suspects AS (
    SELECT DISTINCT key & 68719476735 AS code FROM meeting
    WHERE CASE WHEN is_whole THEN latest_end ELSE latest_whole_end END > seq),
  pages AS (
    SELECT device, gen, life, number, seq, end_seq, first_page, unnest(pages_of(last_page - first_page)) AS i
    FROM spans WHERE code IN (SELECT code FROM suspects)),
  -- The page stands first in the sort: it tells most rows apart.
  running AS (
    SELECT device, gen, life, number, seq, first_page + i AS page, max(end_seq) OVER (
      PARTITION BY first_page + i, device, gen, life ORDER BY seq
      ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS latest_end
    FROM pages)
  SELECT device AS obj, gen, life, number, seq, CAST(min(page) AS bigint) * 4096 AS address, 'violated' AS verdict
  FROM running WHERE latest_end > seq GROUP BY device, gen, life, number, seq;

-- A free that a later incarnation answered with "gone" (ENODEV): a copy of its message may have reached the one that had
-- the allocation, so it may have taken effect there.
CREATE OR REPLACE VIEW k_doubts AS SELECT DISTINCT device, alloc_gen, alloc_number FROM n_operations
  WHERE kind = 2 AND alloc_number IS NOT NULL AND (outcome = 0 OR (outcome = 2 AND err = 19 AND obj IS NULL));

\pset format unaligned
\pset tuples_only on
-- What a build of ivfflat takes of maintenance_work_mem: as much as the table's rows ask for, and an
-- error that says the number before the work begins.
CREATE EXTENSION pgnear;
-- A small table does not need the memory of a sample of 10,000 rows.
SHOW maintenance_work_mem;
CREATE TABLE wide (v2000 vector(2000), v16000 vector(16000), h16000 halfvec(16000), b64000 bit(64000));
CREATE INDEX ON wide USING ivfflat (v2000 vector_l2_ops);
CREATE INDEX ON wide USING ivfflat (v16000 vector_cosine_ops);
CREATE INDEX ON wide USING ivfflat (h16000 halfvec_ip_ops);
CREATE INDEX ON wide USING ivfflat (b64000 bit_hamming_ops);
SELECT count(*) AS indexes FROM pg_index WHERE indrelid = 'wide'::regclass;
INSERT INTO wide SELECT array_fill(i, ARRAY[2000]), array_fill(i, ARRAY[16000]), array_fill(i, ARRAY[16000]), i::bit(64000)
FROM generate_series(1, 20) AS i;
REINDEX TABLE wide;
SELECT index, finding.* FROM (SELECT indexrelid::regclass AS index FROM pg_index WHERE indrelid = 'wide'::regclass) AS index,
    pgnear_index_check(index) AS finding;
SET maintenance_work_mem = '5MB';
REINDEX INDEX wide_v2000_idx;
RESET maintenance_work_mem;
TRUNCATE wide;
SET maintenance_work_mem = '1MB';
REINDEX INDEX wide_v2000_idx;
DROP TABLE wide;
-- pgvector's own bounds: centroids of 1.6 MB as 32-bit floats.
CREATE TABLE narrow (v halfvec(4000));
CREATE INDEX ON narrow USING ivfflat (v halfvec_l2_ops);
SET maintenance_work_mem = '6MB';
INSERT INTO narrow SELECT array_fill(i, ARRAY[4000]) FROM generate_series(1, 2) AS i;
REINDEX TABLE narrow;
SELECT count(*) FROM pgnear_index_check('narrow_v_idx');
-- More rows than fit are counted, where pages leave it open.
INSERT INTO narrow SELECT array_fill(i, ARRAY[4000]) FROM generate_series(1, 150) AS i;
REINDEX TABLE narrow;
SET maintenance_work_mem = '1MB';
DROP TABLE narrow;
-- Centroids of a single row are as many as those of a large table.
CREATE TABLE small (v vector(300));
INSERT INTO small SELECT array_fill(1, ARRAY[300]);
DO $$
BEGIN
    CREATE INDEX ON small USING ivfflat (v vector_l2_ops) WITH (lists = 32768);
EXCEPTION WHEN program_limit_exceeded THEN
    RAISE NOTICE '%', regexp_replace(SQLERRM, '\d+ MB,', 'N MB,');
END
$$;
SELECT count(*) AS indexes FROM pg_index WHERE indrelid = 'small'::regclass;

-- Building ivfflat indexes: options, sizes, kinds of tables, and what is refused.
CREATE EXTENSION pgnear;
\set ECHO none
\i sql/support/ask.psql
\i sql/support/search.psql
\set ECHO all
CREATE FUNCTION vector_of(i int, dims int) RETURNS vector LANGUAGE sql AS
    'SELECT array_agg(i * (j % 89 * j + 3) % (1009 + 4 * j) - 500 ORDER BY j)::vector FROM generate_series(1, dims) AS j';
CREATE TABLE item (id int, v vector(3));
INSERT INTO item SELECT i, vector_of(i, 3) FROM generate_series(1, 300) AS i;

-- lists.
CREATE INDEX ON item USING ivfflat (v) WITH (lists = 0);
CREATE INDEX ON item USING ivfflat (v) WITH (lists = 32769);
CREATE INDEX ON item USING ivfflat (v) WITH (lists = 'many');
CREATE INDEX ON item USING ivfflat (v) WITH (m = 16);
CREATE INDEX item_v ON item USING ivfflat (v) WITH (lists = 5);
SELECT pg_get_indexdef('item_v'::regclass), reloptions FROM pg_class WHERE oid = 'item_v'::regclass;
SET ivfflat.probes = 5;
SELECT pg_temp.compare('item', 'v <-> ''[1,2,3]''');

-- A changed number of lists waits for REINDEX: how many lists there are shows in how many a scan has to
-- probe to see all rows.
ALTER INDEX item_v SET (lists = 0);
ALTER INDEX item_v SET (lists = 20);
SELECT pg_temp.compare('item', 'v <-> ''[1,2,3]''');
REINDEX INDEX item_v;
SELECT pg_temp.compare('item', 'v <-> ''[1,2,3]''') LIKE 'equal%' AS five_lists_are_all;
SET ivfflat.probes = 20;
SELECT pg_temp.compare('item', 'v <-> ''[1,2,3]''');
ALTER INDEX item_v RESET (lists);
REINDEX INDEX CONCURRENTLY item_v;
SELECT pg_temp.compare('item', 'v <-> ''[1,2,3]''') LIKE 'equal%' AS twenty_lists_are_all;
SET ivfflat.probes = 100;
SELECT pg_temp.compare('item', 'v <-> ''[1,2,3]''');
DROP INDEX item_v;

-- CONCURRENTLY.
CREATE INDEX CONCURRENTLY item_v ON item USING ivfflat (v) WITH (lists = 5);
SELECT indisvalid FROM pg_index WHERE indexrelid = 'item_v'::regclass;
SELECT pg_temp.compare('item', 'v <-> ''[1,2,3]''');
SELECT * FROM pgnear_index_check('item_v');
DROP INDEX CONCURRENTLY item_v;

-- Two builds of the same rows give the same file, whatever the number of workers.
SET max_parallel_maintenance_workers = 0;
CREATE INDEX one ON item USING ivfflat (v) WITH (lists = 5);
SET max_parallel_maintenance_workers = 2;
ALTER TABLE item SET (parallel_workers = 2);
CREATE INDEX two ON item USING ivfflat (v) WITH (lists = 5);
ALTER TABLE item RESET (parallel_workers);
RESET max_parallel_maintenance_workers;
SET pgnear.max_threads = 1;
CREATE INDEX three ON item USING ivfflat (v) WITH (lists = 5);
RESET pgnear.max_threads;
SELECT count(DISTINCT pg_relation_size(index)), bool_and(pg_relation_size(index) > 0)
FROM unnest(ARRAY['one', 'two', 'three']::regclass[]) AS index;
-- What a probe of one list finds tells the lists apart.
CREATE TABLE found (index text, ids int[]);
SET enable_seqscan = off;
SET ivfflat.probes = 1;
INSERT INTO found SELECT 'three', array_agg(id) FROM (SELECT id FROM item ORDER BY v <-> '[1,2,3]') AS answer;
DROP INDEX three;
INSERT INTO found SELECT 'two', array_agg(id) FROM (SELECT id FROM item ORDER BY v <-> '[1,2,3]') AS answer;
DROP INDEX two;
INSERT INTO found SELECT 'one', array_agg(id) FROM (SELECT id FROM item ORDER BY v <-> '[1,2,3]') AS answer;
DROP INDEX one;
SELECT count(*), count(DISTINCT ids), min(array_length(ids, 1)) BETWEEN 1 AND 299 AS some FROM found;
RESET enable_seqscan;
SET ivfflat.probes = 100;

-- More lists than rows; an empty table; one row; the same row again and again.
CREATE INDEX item_v ON item USING ivfflat (v) WITH (lists = 301);
SET ivfflat.probes = 301;
SELECT pg_temp.compare('item', 'v <-> ''[1,2,3]''');
DROP INDEX item_v;
CREATE TABLE few (id int, v vector(3));
CREATE INDEX few_v ON few USING ivfflat (v) WITH (lists = 3);
SELECT pg_temp.compare('few', 'v <-> ''[1,2,3]''');
INSERT INTO few SELECT i, vector_of(i, 3) FROM generate_series(1, 40) AS i;
SELECT pg_temp.compare('few', 'v <-> ''[1,2,3]''');
TRUNCATE few;
INSERT INTO few VALUES (1, '[1,1,1]');
SELECT pg_temp.compare('few', 'v <-> ''[1,2,3]''');
REINDEX INDEX few_v;
SELECT pg_temp.compare('few', 'v <-> ''[1,2,3]''');
INSERT INTO few SELECT i, '[1,1,1]' FROM generate_series(2, 5000) AS i;
REINDEX INDEX few_v;
SELECT pg_temp.compare('few', 'v <-> ''[1,2,3]''');
SELECT pg_temp.compare('few', 'v <-> ''[1,1,1]''', '3');
SELECT * FROM pgnear_index_check('few_v');
DROP TABLE few;

-- One dimension, for those who have it: not by cosine, which is the same for all.
CREATE TABLE line (id int, v vector(1), h halfvec(1), b bit(1));
INSERT INTO line SELECT i, vector_of(i, 1), vector_of(i, 1), i::bit(1) FROM generate_series(1, 50) AS i;
CREATE INDEX ON line USING ivfflat (v vector_cosine_ops) WITH (lists = 2);
CREATE INDEX ON line USING ivfflat (h halfvec_cosine_ops) WITH (lists = 2);
CREATE INDEX ON line USING ivfflat (v vector_l2_ops) WITH (lists = 2);
CREATE INDEX ON line USING ivfflat (v vector_ip_ops) WITH (lists = 2);
CREATE INDEX ON line USING ivfflat (h halfvec_l2_ops) WITH (lists = 2);
CREATE INDEX ON line USING ivfflat (h halfvec_ip_ops) WITH (lists = 2);
CREATE INDEX ON line USING ivfflat (b bit_hamming_ops) WITH (lists = 2);
SELECT distance, pg_temp.compare('line', distance)
FROM unnest(ARRAY['v <-> ''[7]''', 'v <#> ''[7]''', 'h <-> ''[7]''', 'h <#> ''[7]''', 'b <~> ''1''']) AS distance;
DROP TABLE line;

-- Wider than a page, up to the most that the types hold.
SET maintenance_work_mem = '1300MB';
CREATE TABLE wide (id int, v3000 vector(3000), v16000 vector(16000), h16000 halfvec(16000), b64000 bit(64000));
INSERT INTO wide SELECT i, vector_of(i, 3000), v, v, repeat(i::bit(40)::text, 1600)::bit(64000)
FROM generate_series(1, 30) AS i, vector_of(i, 16000) AS v;
CREATE INDEX wide_v3000 ON wide USING ivfflat (v3000 vector_cosine_ops) WITH (lists = 3);
CREATE INDEX wide_v16000 ON wide USING ivfflat (v16000 vector_l2_ops) WITH (lists = 3);
CREATE INDEX wide_h16000 ON wide USING ivfflat (h16000 halfvec_ip_ops) WITH (lists = 3);
CREATE INDEX wide_b64000 ON wide USING ivfflat (b64000 bit_hamming_ops) WITH (lists = 3);
CREATE VIEW wide_answers AS SELECT distance, pg_temp.compare('wide', distance) AS answer
FROM unnest(ARRAY['v3000 <=> vector_of(99, 3000)', 'v16000 <-> vector_of(99, 16000)', 'h16000 <#> vector_of(99, 16000)::halfvec(16000)',
                  'b64000 <~> repeat(7::bit(40)::text, 1600)::bit(64000)']) AS distance;
ALTER FUNCTION vector_of IMMUTABLE;
SELECT * FROM wide_answers;
INSERT INTO wide SELECT i, vector_of(i, 3000), v, v, repeat(i::bit(40)::text, 1600)::bit(64000)
FROM generate_series(31, 40) AS i, vector_of(i, 16000) AS v;
DELETE FROM wide WHERE id % 3 = 0;
SELECT * FROM wide_answers;
VACUUM wide;
INSERT INTO wide SELECT i, vector_of(i, 3000), v, v, repeat(i::bit(40)::text, 1600)::bit(64000)
FROM generate_series(41, 50) AS i, vector_of(i, 16000) AS v;
SELECT * FROM wide_answers;
SELECT relname, finding.* FROM pg_class, pgnear_index_check(oid) AS finding WHERE relname LIKE 'wide_%' AND relkind = 'i';
DROP TABLE wide CASCADE;
RESET maintenance_work_mem;

-- Refused: columns without dimensions, too many bits, other types, more than one column, uniqueness.
CREATE TABLE refused (id int, v vector(3), w vector, h halfvec, s sparsevec(3), b bit(64001), vb bit varying(3), a float8[]);
CREATE INDEX ON refused USING ivfflat (w vector_l2_ops);
CREATE INDEX ON refused USING ivfflat (h halfvec_l2_ops);
CREATE INDEX ON refused USING ivfflat (b bit_hamming_ops);
CREATE INDEX ON refused USING ivfflat (vb bit_hamming_ops);
CREATE INDEX ON refused USING ivfflat (s);
CREATE INDEX ON refused USING ivfflat (a);
CREATE INDEX ON refused USING ivfflat (id);
CREATE INDEX ON refused USING ivfflat (v halfvec_l2_ops);
CREATE INDEX ON refused USING ivfflat (v vector_l1_ops);
CREATE INDEX ON refused USING ivfflat (v, v);
CREATE INDEX ON refused USING ivfflat (v) INCLUDE (id);
CREATE UNIQUE INDEX ON refused USING ivfflat (v);
CREATE INDEX ON refused USING ivfflat (v DESC);
CREATE INDEX ON refused USING ivfflat (v NULLS FIRST);
SELECT count(*) AS indexes FROM pg_index WHERE indrelid = 'refused'::regclass;
-- Rows that do not fit the index's dimensions stop a build.
INSERT INTO refused (w) VALUES ('[1,2,3]'), ('[1,2]');
CREATE INDEX ON refused USING ivfflat ((w::vector(3)) vector_l2_ops) WITH (lists = 1);
DROP TABLE refused;

-- Unlogged and temporary tables.
CREATE UNLOGGED TABLE unlogged (id int, v vector(3));
CREATE INDEX unlogged_v ON unlogged USING ivfflat (v) WITH (lists = 3);
INSERT INTO unlogged SELECT i, vector_of(i, 3) FROM generate_series(1, 90) AS i;
SELECT pg_temp.compare('unlogged', 'v <-> ''[1,2,3]''');
REINDEX INDEX unlogged_v;
SELECT pg_temp.compare('unlogged', 'v <-> ''[1,2,3]''');
SELECT * FROM pgnear_index_check('unlogged_v');
SELECT pg_relation_size('unlogged_v', 'init') > 0 AS has_init_fork;
ALTER TABLE unlogged SET LOGGED;
SELECT pg_temp.compare('unlogged', 'v <-> ''[1,2,3]''');
SELECT * FROM pgnear_index_check('unlogged_v');
DROP TABLE unlogged;
CREATE TEMPORARY TABLE temporary (id int, v vector(3));
INSERT INTO temporary SELECT i, vector_of(i, 3) FROM generate_series(1, 90) AS i;
CREATE INDEX temporary_v ON temporary USING ivfflat (v vector_cosine_ops) WITH (lists = 3);
INSERT INTO temporary SELECT i, vector_of(i, 3) FROM generate_series(91, 120) AS i;
SELECT pg_temp.compare('temporary', 'v <=> ''[1,2,3]''');
DELETE FROM temporary WHERE id % 2 = 0;
VACUUM temporary;
SELECT pg_temp.compare('temporary', 'v <=> ''[1,2,3]''');
DROP TABLE temporary;

-- Partitions.
CREATE TABLE whole (id int, v vector(3)) PARTITION BY RANGE (id);
CREATE TABLE part1 PARTITION OF whole FOR VALUES FROM (1) TO (101);
CREATE TABLE part2 PARTITION OF whole FOR VALUES FROM (101) TO (201);
INSERT INTO whole SELECT i, vector_of(i, 3) FROM generate_series(1, 200) AS i;
CREATE INDEX whole_v ON whole USING ivfflat (v) WITH (lists = 3);
CREATE TABLE part3 PARTITION OF whole FOR VALUES FROM (201) TO (301);
INSERT INTO whole SELECT i, vector_of(i, 3) FROM generate_series(201, 300) AS i;
SELECT indexrelid::regclass FROM pg_index JOIN pg_inherits ON inhrelid = indexrelid WHERE inhparent = 'whole_v'::regclass ORDER BY 1;
ANALYZE whole;
SET enable_seqscan = off;
EXPLAIN (COSTS OFF) SELECT id FROM whole ORDER BY v <-> '[1,2,3]' LIMIT 5;
CREATE TABLE answer AS SELECT row_number() OVER () AS rank, id, distance
FROM (SELECT id, v <-> '[1,2,3]' AS distance FROM whole ORDER BY v <-> '[1,2,3]' LIMIT 50) AS answer;
RESET enable_seqscan;
SET enable_indexscan = off;
SELECT count(*) AS equal FROM answer JOIN (
    SELECT row_number() OVER () AS rank, distance
    FROM (SELECT v <-> '[1,2,3]' AS distance FROM whole ORDER BY v <-> '[1,2,3]' LIMIT 50) AS answer) AS exact
USING (rank, distance);
RESET enable_indexscan;
DROP TABLE whole;

-- A build that fails leaves nothing behind, and one rolled back neither.
BEGIN;
CREATE INDEX item_v ON item USING ivfflat (v) WITH (lists = 5);
ROLLBACK;
SELECT count(*) AS indexes FROM pg_index WHERE indrelid = 'item'::regclass;
-- In the transaction that made the table.
BEGIN;
CREATE TABLE young (id int, v vector(3));
INSERT INTO young SELECT i, vector_of(i, 3) FROM generate_series(1, 90) AS i;
CREATE INDEX young_v ON young USING ivfflat (v) WITH (lists = 3);
SELECT pg_temp.compare('young', 'v <-> ''[1,2,3]''');
SAVEPOINT one;
INSERT INTO young SELECT i, vector_of(i, 3) FROM generate_series(91, 99) AS i;
SELECT pg_temp.compare('young', 'v <-> ''[1,2,3]''');
ROLLBACK TO one;
SELECT pg_temp.compare('young', 'v <-> ''[1,2,3]''');
COMMIT;
SELECT pg_temp.compare('young', 'v <-> ''[1,2,3]''');
-- Rows deleted, but still seen by somebody, are indexed too.
BEGIN;
DELETE FROM young WHERE id <= 45;
REINDEX INDEX young_v;
SELECT pg_temp.compare('young', 'v <-> ''[1,2,3]''');
ROLLBACK;
SELECT pg_temp.compare('young', 'v <-> ''[1,2,3]''');
CLUSTER young USING young_v;
VACUUM FULL young;
SELECT pg_temp.compare('young', 'v <-> ''[1,2,3]''');
DROP TABLE young;

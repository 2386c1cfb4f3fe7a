-- Building hnsw indexes: options, sizes, kinds of tables, and what is refused.
CREATE EXTENSION pgnear;
\set ECHO none
\i sql/support/ask.psql
\i sql/support/search.psql
\set ECHO all
CREATE FUNCTION vector_of(i int, dims int) RETURNS vector LANGUAGE sql AS
    'SELECT array_agg(i * (j % 89 * j + 3) % (1009 + 4 * j) - 500 ORDER BY j)::vector FROM generate_series(1, dims) AS j';
CREATE TABLE item (id int, v vector(3));
INSERT INTO item SELECT i, vector_of(i, 3) FROM generate_series(1, 300) AS i;

-- Options.
CREATE INDEX ON item USING hnsw (v vector_l2_ops) WITH (m = 1);
CREATE INDEX ON item USING hnsw (v vector_l2_ops) WITH (m = 101);
CREATE INDEX ON item USING hnsw (v vector_l2_ops) WITH (ef_construction = 3);
CREATE INDEX ON item USING hnsw (v vector_l2_ops) WITH (ef_construction = 1001);
CREATE INDEX ON item USING hnsw (v vector_l2_ops) WITH (m = 16, ef_construction = 31);
CREATE INDEX ON item USING hnsw (v vector_l2_ops) WITH (m = 'many');
CREATE INDEX ON item USING hnsw (v vector_l2_ops) WITH (lists = 100);
CREATE INDEX ON item USING hnsw (v vector_l2_ops) WITH (rerank = 'table');
CREATE INDEX ON item USING hnsw (v vector_l1_ops) WITH (rerank = 'heap');
CREATE INDEX ON item USING hnsw (v vector_l1_ops) WITH (rerank = 'half');
CREATE INDEX ON item USING hnsw ((v + v) vector_l2_ops) WITH (rerank = 'half');
CREATE INDEX ON item USING hnsw (((v + v)::vector(3)) vector_l2_ops) WITH (rerank = 'half');
CREATE INDEX item_v ON item USING hnsw (v vector_l2_ops) WITH (m = 4, ef_construction = 10);
SELECT pg_get_indexdef('item_v'::regclass), reloptions FROM pg_class WHERE oid = 'item_v'::regclass;
SET hnsw.ef_search = 1000;
SELECT pg_temp.compare('item', 'v <-> ''[1,2,3]''');
-- A change waits for REINDEX.
ALTER INDEX item_v SET (m = 1);
ALTER INDEX item_v SET (m = 16, ef_construction = 64);
SELECT pg_temp.compare('item', 'v <-> ''[1,2,3]''');
REINDEX INDEX item_v;
SELECT pg_temp.compare('item', 'v <-> ''[1,2,3]''');
ALTER INDEX item_v RESET (m, ef_construction);
REINDEX INDEX CONCURRENTLY item_v;
SELECT pg_temp.compare('item', 'v <-> ''[1,2,3]''');
DROP INDEX item_v;

-- CONCURRENTLY.
CREATE INDEX CONCURRENTLY item_v ON item USING hnsw (v vector_l2_ops);
SELECT indisvalid FROM pg_index WHERE indexrelid = 'item_v'::regclass;
SELECT pg_temp.compare('item', 'v <-> ''[1,2,3]''');
SELECT * FROM pgnear_index_check('item_v');
DROP INDEX CONCURRENTLY item_v;

-- Vectors in the index, or in the table: those of 30 elements lie in their rows, those of 600 out of
-- line.
CREATE TABLE place (id int, near vector(30), far vector(600));
INSERT INTO place SELECT i, vector_of(i, 30), vector_of(i, 600) FROM generate_series(1, 300) AS i;
CREATE INDEX near_auto ON place USING hnsw (near vector_l2_ops);
CREATE INDEX near_heap ON place USING hnsw (near vector_l2_ops) WITH (rerank = 'heap');
CREATE INDEX near_index ON place USING hnsw (near vector_l2_ops) WITH (rerank = 'index');
CREATE INDEX far_auto ON place USING hnsw (far vector_l2_ops);
CREATE INDEX far_heap ON place USING hnsw (far vector_l2_ops) WITH (rerank = 'heap');
CREATE INDEX far_index ON place USING hnsw (far vector_l2_ops) WITH (rerank = 'index');
CREATE INDEX far_half ON place USING hnsw (far vector_l2_ops) WITH (rerank = 'half');
SELECT pg_relation_size('near_auto') = pg_relation_size('near_heap') AS near_in_table,
       pg_relation_size('near_heap') < pg_relation_size('near_index') AS smaller,
       pg_relation_size('far_auto') = pg_relation_size('far_half') AS far_by_halves,
       pg_relation_size('far_half') * 1.4 < pg_relation_size('far_index') AS smaller_by_halves,
       pg_relation_size('far_heap') * 2 < pg_relation_size('far_index') AS much_smaller;
DROP INDEX near_auto, near_index, far_auto, far_index, far_half;
ALTER FUNCTION vector_of IMMUTABLE;
SELECT pg_temp.compare('place', 'near <-> vector_of(99, 30)'), pg_temp.compare('place', 'far <-> vector_of(99, 600)');
-- A row that was changed is measured as it is; one that is gone takes no other's place.
UPDATE place SET near = vector_of(id + 1000, 30), far = vector_of(id + 1000, 600) WHERE id % 3 = 0;
DELETE FROM place WHERE id % 5 = 0;
SELECT pg_temp.compare('place', 'near <-> vector_of(99, 30)'), pg_temp.compare('place', 'far <-> vector_of(99, 600)');
SET hnsw.ef_search = 40;
SELECT pg_temp.compare('place', 'near <-> vector_of(99, 30)', '20'), pg_temp.compare('place', 'far <-> vector_of(99, 600)', '20');
SET hnsw.ef_search = 1000;
-- Halves of vectors: the same rows in the same order, copies too, whether the distance is asked for or not.
DROP INDEX far_heap;
INSERT INTO place SELECT id + 5000, near, far FROM place WHERE id < 20;
CREATE INDEX far_half ON place USING hnsw (far vector_cosine_ops);
INSERT INTO place SELECT id + 6000, near, far FROM place WHERE id < 20;
DELETE FROM place WHERE id BETWEEN 6000 AND 6005;
SELECT pg_temp.compare('place', 'far <=> vector_of(7, 600)'), pg_temp.compare('place', 'far <=> vector_of(1003, 600)', '20');
SET hnsw.ef_search = 40;
SET enable_seqscan = off;
WITH near AS MATERIALIZED (
    SELECT id, far <=> vector_of(7, 600) AS distance, row_number() OVER () AS place
    FROM (SELECT * FROM place ORDER BY far <=> vector_of(7, 600) LIMIT 30) AS place
)
SELECT count(*), bool_and(near.distance = (place.far <=> vector_of(7, 600))) AS right,
       array_agg(near.id ORDER BY near.place) = array_agg(near.id ORDER BY near.distance, place.ctid) AS in_order
FROM near JOIN place USING (id);
SET hnsw.iterative_scan = strict_order;
SELECT count(*), bool_and(ordered) AS in_order FROM (
    SELECT (far <=> vector_of(7, 600) >= lag(far <=> vector_of(7, 600)) OVER ()) IS NOT FALSE AS ordered
    FROM (SELECT far FROM place WHERE id % 2 = 0 ORDER BY far <=> vector_of(7, 600) LIMIT 60) AS near
) AS pairs;
RESET hnsw.iterative_scan;
RESET enable_seqscan;
SET hnsw.ef_search = 1000;
SELECT * FROM pgnear_index_check('far_half');
-- A column added with a default that no row holds yet.
ALTER TABLE place ADD COLUMN late vector(3) DEFAULT '[1,2,3]';
CREATE INDEX place_late ON place USING hnsw (late vector_l2_ops);
SELECT pg_temp.compare('place', 'late <-> ''[3,3,3]''');
INSERT INTO place (id, late) SELECT i, ARRAY[i % 7, 3, 1] FROM generate_series(1001, 1020) AS i;
SELECT pg_temp.compare('place', 'late <-> ''[3,3,3]''');
DROP TABLE place;
-- Versions of a row that the index did not know when they were made: it is built for the last.
CREATE TABLE versions (id int, v vector(3)) WITH (fillfactor = 30);
INSERT INTO versions SELECT i, ARRAY[i, 1, 1] FROM generate_series(1, 100) AS i;
UPDATE versions SET v = ARRAY[200 - id, 2, 2] WHERE id % 2 = 0;
CREATE INDEX versions_v ON versions USING hnsw (v vector_l2_ops);
SET enable_seqscan = off;
SELECT array_agg(id) FROM (SELECT id FROM versions ORDER BY v <-> '[150,2,2]' LIMIT 5) AS answer;
RESET enable_seqscan;
SET enable_indexscan = off;
SELECT array_agg(id) FROM (SELECT id FROM versions ORDER BY v <-> '[150,2,2]', id DESC LIMIT 5) AS answer;
RESET enable_indexscan;
DROP TABLE versions;

-- Memory for the graph that does not suffice: rows are inserted one by one.
CREATE TABLE large AS SELECT i AS id, ARRAY[i % 997, i % 89, i % 13, i % 7]::vector(4) AS v FROM generate_series(1, 6000) AS i;
ANALYZE large;
SET maintenance_work_mem = '2MB';
CREATE INDEX large_v ON large USING hnsw ((v::vector(4)) vector_l2_ops);
RESET maintenance_work_mem;
SELECT * FROM pgnear_index_check('large_v') WHERE NOT harmless;
SELECT pg_temp.compare('large', 'v::vector(4) <-> ''[300.5,40,5,3]''', '5');
DROP INDEX large_v;
DELETE FROM large WHERE id > 500;
SET maintenance_work_mem = '1MB';
CREATE INDEX large_v ON large USING hnsw ((v::vector(4)) vector_l2_ops) WITH (m = 100, ef_construction = 200);
RESET maintenance_work_mem;
SELECT * FROM pgnear_index_check('large_v') WHERE NOT harmless;
SELECT pg_temp.compare('large', 'v::vector(4) <-> ''[300.5,40,5,3]''', '5');
DROP TABLE large;

-- An empty table; one row; the same row again and again.
CREATE TABLE few (id int, v vector(3));
CREATE INDEX few_v ON few USING hnsw (v vector_l2_ops);
SELECT pg_temp.compare('few', 'v <-> ''[1,2,3]''');
INSERT INTO few SELECT i, vector_of(i, 3) FROM generate_series(1, 40) AS i;
SELECT pg_temp.compare('few', 'v <-> ''[1,2,3]''');
TRUNCATE few;
INSERT INTO few VALUES (1, '[1,1,1]');
SELECT pg_temp.compare('few', 'v <-> ''[1,2,3]''');
REINDEX INDEX few_v;
SELECT pg_temp.compare('few', 'v <-> ''[1,2,3]''');
INSERT INTO few SELECT i, '[1,1,1]' FROM generate_series(2, 900) AS i;
REINDEX INDEX few_v;
SELECT pg_temp.compare('few', 'v <-> ''[1,2,3]''');
SELECT pg_temp.compare('few', 'v <-> ''[1,1,1]''', '3');
SELECT * FROM pgnear_index_check('few_v') WHERE NOT harmless;
DROP TABLE few;

-- One dimension, for those who have it.
CREATE TABLE line (id int, v vector(1), h halfvec(1), b bit(1));
INSERT INTO line SELECT i, vector_of(i, 1), vector_of(i, 1), i::bit(1) FROM generate_series(1, 50) AS i;
CREATE INDEX ON line USING hnsw (v vector_cosine_ops);
CREATE INDEX ON line USING hnsw (h halfvec_cosine_ops);
CREATE INDEX ON line USING hnsw (v vector_l2_ops);
CREATE INDEX ON line USING hnsw (v vector_ip_ops);
CREATE INDEX ON line USING hnsw (h halfvec_l2_ops);
CREATE INDEX ON line USING hnsw (h halfvec_ip_ops);
CREATE INDEX ON line USING hnsw (b bit_hamming_ops);
SELECT distance, pg_temp.compare('line', distance)
FROM unnest(ARRAY['v <-> ''[7]''', 'v <#> ''[7]''', 'h <-> ''[7]''', 'h <#> ''[7]''', 'b <~> ''1''']) AS distance;
DROP TABLE line;

-- Wider than a page, up to the most that the types hold.
SET maintenance_work_mem = '1300MB';
CREATE TABLE wide (id int, v3000 vector(3000), v16000 vector(16000), h16000 halfvec(16000), b64000 bit(64000));
INSERT INTO wide SELECT i, vector_of(i, 3000), v, v, repeat(i::bit(40)::text, 1600)::bit(64000)
FROM generate_series(1, 30) AS i, vector_of(i, 16000) AS v;
CREATE INDEX wide_v3000 ON wide USING hnsw (v3000 vector_cosine_ops);
CREATE INDEX wide_v16000 ON wide USING hnsw (v16000 vector_l2_ops);
CREATE INDEX wide_h16000 ON wide USING hnsw (h16000 halfvec_ip_ops);
CREATE INDEX wide_b64000 ON wide USING hnsw (b64000 bit_hamming_ops);
CREATE VIEW wide_answers AS SELECT distance, pg_temp.compare('wide', distance) AS answer
FROM unnest(ARRAY['v3000 <=> vector_of(99, 3000)', 'v16000 <-> vector_of(99, 16000)', 'h16000 <#> vector_of(99, 16000)::halfvec(16000)',
                  'b64000 <~> repeat(7::bit(40)::text, 1600)::bit(64000)']) AS distance;
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
CREATE INDEX ON refused USING hnsw (w vector_l2_ops);
CREATE INDEX ON refused USING hnsw (h halfvec_l2_ops);
CREATE INDEX ON refused USING hnsw (b bit_hamming_ops);
CREATE INDEX ON refused USING hnsw (vb bit_hamming_ops);
CREATE INDEX ON refused USING hnsw (s);
CREATE INDEX ON refused USING hnsw (s sparsevec_l2_ops) WITH (rerank = 'index');
CREATE INDEX ON refused USING hnsw (a);
CREATE INDEX ON refused USING hnsw (id);
CREATE INDEX ON refused USING hnsw (v halfvec_l2_ops);
CREATE INDEX ON refused USING hnsw (v vector_l2_ops, v vector_l2_ops);
CREATE INDEX ON refused USING hnsw (v vector_l2_ops) INCLUDE (id);
CREATE UNIQUE INDEX ON refused USING hnsw (v vector_l2_ops);
CREATE INDEX ON refused USING hnsw (v vector_l2_ops DESC);
CREATE INDEX ON refused USING hnsw (v vector_l2_ops NULLS FIRST);
SELECT count(*) AS indexes FROM pg_index WHERE indrelid = 'refused'::regclass;
-- Rows that do not fit the index's dimensions stop a build.
INSERT INTO refused (w) VALUES ('[1,2,3]'), ('[1,2]');
CREATE INDEX ON refused USING hnsw ((w::vector(3)) vector_l2_ops);
DROP TABLE refused;

-- Unlogged and temporary tables.
CREATE UNLOGGED TABLE unlogged (id int, v vector(3));
CREATE INDEX unlogged_v ON unlogged USING hnsw (v vector_l2_ops);
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
CREATE INDEX temporary_v ON temporary USING hnsw (v vector_cosine_ops);
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
CREATE INDEX whole_v ON whole USING hnsw (v vector_l2_ops);
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
CREATE INDEX item_v ON item USING hnsw (v vector_l2_ops);
ROLLBACK;
SELECT count(*) AS indexes FROM pg_index WHERE indrelid = 'item'::regclass;
-- In the transaction that made the table.
BEGIN;
CREATE TABLE young (id int, v vector(3));
INSERT INTO young SELECT i, vector_of(i, 3) FROM generate_series(1, 90) AS i;
CREATE INDEX young_v ON young USING hnsw (v vector_l2_ops);
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

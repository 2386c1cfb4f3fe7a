-- What hnsw indexes: expressions, a part of the rows, NULL, vectors of zeros, values stored out of
-- line or compressed.
CREATE EXTENSION pgnear;
\set ECHO none
\i sql/support/ask.psql
\i sql/support/search.psql
\set ECHO all
CREATE FUNCTION vector_of(i int, dims int) RETURNS vector LANGUAGE sql IMMUTABLE AS
    'SELECT array_agg(i * (j * j + 3) % (23 + 4 * j) - 11.5 ORDER BY j)::vector FROM generate_series(1, dims) AS j';
SET hnsw.ef_search = 1000;

-- A column without dimensions: an expression that has them, for the rows that have as many.
CREATE TABLE mixed (id int, model int, v vector);
INSERT INTO mixed SELECT i, i % 2, vector_of(i, 3 + i % 2) FROM generate_series(1, 400) AS i;
CREATE INDEX mixed_3 ON mixed USING hnsw ((v::vector(3)) vector_l2_ops) WHERE model = 0;
CREATE INDEX mixed_4 ON mixed USING hnsw ((v::vector(4)) vector_cosine_ops) WHERE vector_dims(v) = 4;
SET enable_seqscan = off;
EXPLAIN (COSTS OFF) SELECT id FROM mixed WHERE model = 0 ORDER BY v::vector(3) <-> '[1,2,3]' LIMIT 5;
EXPLAIN (COSTS OFF) SELECT id FROM mixed WHERE vector_dims(v) = 4 ORDER BY v::vector(4) <=> '[1,2,3,4]' LIMIT 5;
RESET enable_seqscan;
SELECT pg_temp.compare('mixed', 'v::vector(3) <-> ''[1,2,3]''', 'ALL', 'model = 0');
SELECT pg_temp.compare('mixed', 'v::vector(4) <=> ''[1,2,3,4]''', 'ALL', 'vector_dims(v) = 4');
-- Without the index's condition the index cannot serve.
SELECT pg_temp.compare('mixed', 'v::vector(3) <-> ''[1,2,3]''');
INSERT INTO mixed VALUES (401, 0, '[1,2,3,4]');
INSERT INTO mixed VALUES (401, 1, '[1,2,3,4]'), (402, 0, '[1,2,3]');
UPDATE mixed SET model = 1, v = vector_of(id, 4) WHERE model = 0 AND id % 10 = 0;
SELECT pg_temp.compare('mixed', 'v::vector(3) <-> ''[1,2,3]''', 'ALL', 'model = 0');
SELECT pg_temp.compare('mixed', 'v::vector(4) <=> ''[1,2,3,4]''', 'ALL', 'vector_dims(v) = 4');
DROP TABLE mixed;

-- Shorter copies of the vectors: bits, prefixes, half precision.
CREATE TABLE item (id int, v vector(24));
INSERT INTO item SELECT i, vector_of(i, 24) FROM generate_series(1, 400) AS i;
CREATE INDEX item_bits ON item USING hnsw ((binary_quantize(v)::bit(24)) bit_hamming_ops);
CREATE INDEX item_prefix ON item USING hnsw ((subvector(v, 1, 3)::vector(3)) vector_cosine_ops);
CREATE INDEX item_sparse ON item USING hnsw ((v::sparsevec(24)) sparsevec_l2_ops);
CREATE INDEX item_heap ON item USING hnsw ((v::halfvec(24)) halfvec_ip_ops) WITH (rerank = 'heap');
CREATE INDEX item_half ON item USING hnsw ((v::halfvec(24)) halfvec_ip_ops);
SELECT pg_temp.compare('item', 'binary_quantize(v)::bit(24) <~> binary_quantize(vector_of(9999, 24))::bit(24)');
SELECT pg_temp.compare('item', 'subvector(v, 1, 3)::vector(3) <=> subvector(vector_of(9999, 24), 1, 3)');
SELECT pg_temp.compare('item', 'v::halfvec(24) <#> vector_of(9999, 24)::halfvec(24)');
SELECT pg_temp.compare('item', 'v::sparsevec(24) <-> vector_of(9999, 24)::sparsevec(24)');
SELECT * FROM pgnear_index_check('item_sparse');
-- The usual second step: the exact order of what bits find.
SET enable_seqscan = off;
EXPLAIN (COSTS OFF) SELECT id FROM (
    SELECT * FROM item ORDER BY binary_quantize(v)::bit(24) <~> binary_quantize('[3,-2,0,1,9,-9,4,4,-1,-1,2,2,0,0,5,-5,7,-7,1,-2,3,-3,6,6]'::vector) LIMIT 50
) AS near ORDER BY v <=> '[3,-2,0,1,9,-9,4,4,-1,-1,2,2,0,0,5,-5,7,-7,1,-2,3,-3,6,6]' LIMIT 5;
RESET enable_seqscan;
INSERT INTO item SELECT i, vector_of(i, 24) FROM generate_series(401, 500) AS i;
DELETE FROM item WHERE id % 3 = 0;
VACUUM item;
SELECT pg_temp.compare('item', 'binary_quantize(v)::bit(24) <~> binary_quantize(vector_of(9999, 24))::bit(24)');
SELECT pg_temp.compare('item', 'subvector(v, 1, 3)::vector(3) <=> subvector(vector_of(9999, 24), 1, 3)');
SELECT pg_temp.compare('item', 'v::halfvec(24) <#> vector_of(9999, 24)::halfvec(24)');
-- A half-precision index cannot hold what half precision cannot.
INSERT INTO item SELECT 501, array_fill(70000, ARRAY[24])::vector;
-- Sparse vectors of an expression are computed from the rows that a statement sees.
RESET enable_seqscan;
INSERT INTO item SELECT i, vector_of(i, 24) FROM generate_series(401, 450) AS i;
UPDATE item SET v = vector_of(id + 1000, 24) WHERE id % 7 = 0;
DELETE FROM item WHERE id % 11 = 0;
SELECT pg_temp.compare('item', 'v::sparsevec(24) <-> vector_of(9999, 24)::sparsevec(24)');
VACUUM item;
INSERT INTO item VALUES (500, NULL), (501, '[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,7]');
SELECT pg_temp.compare('item', 'v::sparsevec(24) <-> vector_of(9999, 24)::sparsevec(24)');
SELECT * FROM pgnear_index_check('item_sparse') WHERE NOT harmless;
DROP TABLE item;

-- NULL is not indexed; nor, by cosine, is a vector of zeros, which has no direction. So both are only
-- found by a sequential scan.
CREATE TABLE item (id int, v vector(3), h halfvec(3));
INSERT INTO item SELECT i, vector_of(i, 3), vector_of(i, 3) FROM generate_series(1, 30) AS i;
INSERT INTO item VALUES (31, NULL, NULL), (32, '[0,0,0]', '[0,-0,0]');
CREATE INDEX item_l2 ON item USING hnsw (v vector_l2_ops);
CREATE INDEX item_ip ON item USING hnsw (v vector_ip_ops);
CREATE INDEX item_cosine ON item USING hnsw (v vector_cosine_ops);
CREATE INDEX half_cosine ON item USING hnsw (h halfvec_cosine_ops);
INSERT INTO item VALUES (33, NULL, NULL), (34, '[0,-0,0]', '[0,0,0]');
SELECT pg_temp.compare('item', 'v <-> ''[1,2,3]''');
SELECT pg_temp.compare('item', 'v <#> ''[1,2,3]''');
SELECT pg_temp.compare('item', 'v <=> ''[1,2,3]''', 'ALL', 'v <> ''[0,0,0]''');
SELECT pg_temp.compare('item', 'h <=> ''[1,2,3]''', 'ALL', 'h <> ''[0,0,0]''');
SET enable_seqscan = off;
SELECT count(*), max(id) FROM (SELECT id FROM item ORDER BY v <-> '[1,2,3]') AS answer;
SELECT count(*), max(id) FROM (SELECT id FROM item ORDER BY v <=> '[1,2,3]') AS answer;
SELECT count(*), max(id) FROM (SELECT id FROM item ORDER BY h <=> '[1,2,3]') AS answer;
RESET enable_seqscan;
-- They come and go as values change.
UPDATE item SET v = '[1,1,1]', h = '[1,1,1]' WHERE id > 30;
UPDATE item SET v = NULL, h = '[0,0,0]' WHERE id < 6;
SELECT pg_temp.compare('item', 'v <-> ''[1,2,3]''');
SELECT pg_temp.compare('item', 'v <=> ''[1,2,3]''');
SELECT pg_temp.compare('item', 'h <=> ''[1,2,3]''', 'ALL', 'h <> ''[0,0,0]''');
-- Very large and very small elements, whose squares overflow or vanish.
INSERT INTO item SELECT 100 + n, v::vector, '[1,1,1]'
FROM unnest(ARRAY['[3e38,3e38,3e38]', '[-3e38,0,3e38]', '[1e-40,1e-40,0]', '[1e-45,0,0]', '[1e25,-1e-25,1]']) WITH ORDINALITY AS list(v, n);
SELECT distance, pg_temp.compare('item', distance)
FROM unnest(ARRAY['<->', '<#>', '<=>']) AS operator, unnest(ARRAY['[1,2,3]', '[3e38,0,-3e38]', '[1e-44,0,1e-44]']) AS query,
     LATERAL (SELECT format('v %s %L', operator, query) AS distance) AS distance;
REINDEX TABLE item;
SELECT distance, pg_temp.compare('item', distance)
FROM unnest(ARRAY['<->', '<#>', '<=>']) AS operator, unnest(ARRAY['[1,2,3]', '[3e38,0,-3e38]', '[1e-44,0,1e-44]']) AS query,
     LATERAL (SELECT format('v %s %L', operator, query) AS distance) AS distance;
DROP TABLE item;

-- Wrong dimensions: the column refuses first, and without its dimensions the index does.
CREATE TABLE item (id int, v vector(3));
INSERT INTO item SELECT i, vector_of(i, 3) FROM generate_series(1, 30) AS i;
CREATE INDEX item_v ON item USING hnsw (v vector_l2_ops);
SELECT pg_temp.try($$INSERT INTO item VALUES (31, '[1,2]')$$);
SELECT pg_temp.try($$UPDATE item SET v = '[1,2,3,4]'$$);
SELECT pg_temp.compare('item', 'v <-> ''[1,2,3]''');
-- A column that loses its dimensions leaves the index as it is: it refuses what it cannot hold.
ALTER TABLE item ALTER COLUMN v TYPE vector;
SELECT pg_temp.try($$INSERT INTO item VALUES (31, '[1,2]')$$);
INSERT INTO item VALUES (31, '[1,2,3]');
SELECT pg_temp.compare('item', 'v <-> ''[1,2,3]''');
SET enable_seqscan = off;
SELECT id FROM item ORDER BY v <-> '[1,2]' LIMIT 1;
RESET enable_seqscan;
REINDEX INDEX item_v;
ALTER TABLE item ALTER COLUMN v TYPE vector(4);
DROP INDEX item_v;
ALTER TABLE item ALTER COLUMN v TYPE vector;
CREATE INDEX item_v ON item USING hnsw ((v::vector(3)) vector_l2_ops);
SELECT pg_temp.try($$INSERT INTO item VALUES (31, '[1,2]')$$);
-- Another type: the index is built anew.
DROP INDEX item_v;
ALTER TABLE item ALTER COLUMN v TYPE vector(3);
CREATE INDEX item_v ON item USING hnsw (v vector_l2_ops);
ALTER TABLE item ALTER COLUMN v TYPE vector(4) USING v || '[1]';
SELECT pg_get_indexdef('item_v'::regclass);
SELECT pg_temp.compare('item', 'v <-> ''[1,2,3,4]''');
SELECT * FROM pgnear_index_check('item_v');
ALTER TABLE item ALTER COLUMN v TYPE halfvec(4);
DROP TABLE item;

-- However the vectors are stored.
CREATE TABLE item (id int, external vector(600), plain vector(600), extended vector(600), main vector(600));
ALTER TABLE item ALTER plain SET STORAGE plain, ALTER extended SET STORAGE extended, ALTER main SET STORAGE main;
INSERT INTO item SELECT i, v, CASE WHEN i % 2 = 0 THEN v END, v, CASE WHEN i % 2 = 1 THEN v END
FROM generate_series(1, 200) AS i, vector_of(i, 600) AS v;
INSERT INTO item SELECT 200 + i, v, v, v, NULL FROM generate_series(1, 5) AS i, (SELECT array_fill(1, ARRAY[600])::vector AS v) AS v;
SELECT max(pg_column_size(extended)) > 2400 AND min(pg_column_size(extended)) < 200 AS some_are_compressed FROM item;
CREATE INDEX ON item USING hnsw (external vector_l2_ops);
CREATE INDEX ON item USING hnsw (plain vector_l2_ops);
CREATE INDEX ON item USING hnsw (extended vector_l2_ops);
CREATE INDEX ON item USING hnsw (main vector_l2_ops);
CREATE VIEW answers AS SELECT name, pg_temp.compare('item', name || ' <-> vector_of(777, 600)', 'ALL') AS answer
FROM unnest(ARRAY['external', 'plain', 'extended', 'main']) AS name;
SELECT * FROM answers;
INSERT INTO item SELECT 205 + i, v, v, v, NULL FROM generate_series(1, 5) AS i, (SELECT array_fill(2, ARRAY[600])::vector AS v) AS v;
SELECT * FROM answers;
DROP TABLE item CASCADE;

-- Sparse vectors of none to 16,000 elements.
CREATE TABLE item (id int, s sparsevec(1000000), free sparsevec);
CREATE INDEX item_s ON item USING hnsw (s sparsevec_l2_ops);
CREATE FUNCTION sparse_of(i int, elements int) RETURNS sparsevec LANGUAGE sql IMMUTABLE AS
    $$SELECT format('{%s}/1000000', string_agg(format('%s:%s', j, i * j % 7 + 1), ',' ORDER BY j))::sparsevec FROM generate_series(1, elements) AS j$$;
INSERT INTO item SELECT i, sparse_of(i, 16000 - 500 * i) FROM generate_series(0, 20) AS i;
INSERT INTO item SELECT 100 + i, format('{%s:1}/1000000', i)::sparsevec FROM generate_series(1, 200) AS i;
INSERT INTO item VALUES (400, '{}/1000000'), (401, NULL);
SELECT pg_temp.compare('item', 's <-> ''{7:1}/1000000'''), pg_temp.compare('item', 's <-> sparse_of(3, 14000)');
UPDATE item SET s = sparse_of(id + 3, 900) WHERE id < 5;
DELETE FROM item WHERE id BETWEEN 5 AND 150;
VACUUM item;
INSERT INTO item SELECT i, sparse_of(i, 2000) FROM generate_series(500, 510) AS i;
SELECT pg_temp.compare('item', 's <-> ''{7:1}/1000000'''), pg_temp.compare('item', 's <-> sparse_of(3, 14000)');
REINDEX INDEX item_s;
SELECT pg_temp.compare('item', 's <-> ''{7:1}/1000000'''), pg_temp.compare('item', 's <-> sparse_of(3, 14000)');
SELECT * FROM pgnear_index_check('item_s') WHERE NOT harmless;
CREATE INDEX ON item USING hnsw (free sparsevec_l2_ops);
DROP TABLE item;

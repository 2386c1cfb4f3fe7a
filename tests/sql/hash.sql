-- Hashing: equal values meet, in grouping, joins, partitions and hash indexes.
CREATE EXTENSION pgnear;
\set ECHO none
\i sql/support/ask.psql
\set ECHO all
CREATE TABLE t (id int, v vector, h halfvec, s sparsevec);
INSERT INTO t VALUES
    (1, '[0,1]', '[0,1]', '{2:1}/2'), (2, '[-0,1]', '[-0,1]', '{2:1}/2'), (3, '[0,1,0]', '[0,1,0]', '{2:1}/3'),
    (4, '[1,0]', '[1,0]', '{1:1}/2'), (5, '[1,0]', '[1,0]', '{1:1}/2'), (6, NULL, NULL, NULL), (7, NULL, NULL, NULL);
-- 0 and -0 are equal.
SELECT pg_temp.ask($$
vector_hash('[0,1]') = vector_hash('[-0,1]')
halfvec_hash('[0,1]') = halfvec_hash('[-0,1]')
sparsevec_hash('{2:1}/2') = sparsevec_hash('{1:-0,2:1}/2')
vector_hash_extended('[0]', 7) = vector_hash_extended('[-0]', 7)
halfvec_hash_extended('[0]', 7) = halfvec_hash_extended('[-0]', 7)
vector_hash('[0,1]') = vector_hash('[1,0]')
vector_hash('[0]') = vector_hash('[0,0]')
halfvec_hash('[0,1]') = halfvec_hash('[1,0]')
sparsevec_hash('{1:1}/2') = sparsevec_hash('{2:1}/2')
sparsevec_hash('{1:1}/2') = sparsevec_hash('{1:1}/3')
vector_hash_extended('[1,2]', 1) = vector_hash_extended('[1,2]', 2)
vector_hash('[1]') IS NULL
vector_hash(NULL)
$$);
-- The extended hash with seed 0 has the plain one in its low bits.
SELECT bool_and(vector_hash_extended(v, 0)::bit(64) << 32 = vector_hash(v)::bit(32)::bit(64)) AS vector,
       bool_and(halfvec_hash_extended(h, 0)::bit(64) << 32 = halfvec_hash(h)::bit(32)::bit(64)) AS halfvec,
       bool_and(sparsevec_hash_extended(s, 0)::bit(64) << 32 = sparsevec_hash(s)::bit(32)::bit(64)) AS sparsevec
FROM t;
-- Hashes differ for nearly all different values.
SELECT count(DISTINCT vector_hash(v)) > 9990, count(DISTINCT halfvec_hash(v)) > 9990, count(DISTINCT sparsevec_hash(v)) > 9990
FROM (SELECT ARRAY[i / 100, i % 100, 1]::vector AS v FROM generate_series(1, 10000) i) x;
SET enable_sort = off;
SELECT pg_temp.nodes('SELECT v, count(*) FROM t GROUP BY v');
SELECT array_agg(id ORDER BY id) AS ids FROM t GROUP BY v ORDER BY min(id);
SELECT array_agg(id ORDER BY id) AS ids FROM t GROUP BY h ORDER BY min(id);
SELECT array_agg(id ORDER BY id) AS ids FROM t GROUP BY s ORDER BY min(id);
SELECT count(*) FROM (SELECT DISTINCT v FROM t) d;
RESET enable_sort;
SET enable_mergejoin = off;
SET enable_nestloop = off;
SELECT pg_temp.nodes('SELECT * FROM t a JOIN t b ON a.v = b.v');
SELECT a.id, b.id FROM t a JOIN t b ON a.v = b.v WHERE a.id < b.id ORDER BY 1, 2;
SELECT a.id, b.id FROM t a JOIN t b ON a.h = b.h WHERE a.id < b.id ORDER BY 1, 2;
SELECT a.id, b.id FROM t a JOIN t b ON a.s = b.s WHERE a.id < b.id ORDER BY 1, 2;
SELECT id FROM t WHERE v IN (SELECT v FROM t WHERE id IN (2, 4)) ORDER BY id;
RESET enable_mergejoin;
RESET enable_nestloop;
CREATE INDEX t_v ON t USING hash (v);
CREATE INDEX t_h ON t USING hash (h);
CREATE INDEX t_s ON t USING hash (s);
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SELECT pg_temp.nodes($$SELECT id FROM t WHERE v = '[0,1]'$$);
SELECT array_agg(id ORDER BY id) FROM t WHERE v = '[0,1]';
SELECT array_agg(id ORDER BY id) FROM t WHERE h = '[0,1]';
SELECT array_agg(id ORDER BY id) FROM t WHERE s = '{2:1}/2';
RESET enable_seqscan;
-- Partitions by hash: each value goes to one partition, and its twin to the same.
CREATE TABLE p (v vector, id int) PARTITION BY HASH (v);
CREATE TABLE p0 PARTITION OF p FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE p1 PARTITION OF p FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO p SELECT ARRAY[i, 0]::vector, i FROM generate_series(1, 100) i;
INSERT INTO p SELECT ARRAY[i, 0]::vector * '[1,-1]', -i FROM generate_series(1, 100) i;
SELECT count(*) AS rows, count(DISTINCT v) AS vectors, (SELECT count(*) FROM p0) BETWEEN 40 AND 160 AS spread FROM p;
SELECT count(*) FROM (SELECT v FROM p GROUP BY v HAVING count(DISTINCT tableoid) > 1) apart;
SELECT pg_temp.try($$ALTER TABLE p ADD UNIQUE (v, id)$$);

-- Order: btree indexes, ORDER BY, uniqueness.
CREATE EXTENSION pgnear;
\set ECHO none
\i sql/support/ask.psql
\set ECHO all
-- vector
CREATE TABLE t (val vector(3));
INSERT INTO t VALUES ('[0,0,0]'), ('[1,2,3]'), ('[1,1,1]'), ('[0,-1,0]'), ('[1,2,3]'), (NULL);
CREATE INDEX t_val ON t (val);
SET enable_seqscan = off;
SELECT pg_temp.nodes($$SELECT * FROM t WHERE val = '[1,2,3]'$$);
SELECT * FROM t WHERE val = '[1,2,3]';
SELECT * FROM t WHERE val < '[1,1,1]' ORDER BY val DESC;
SELECT * FROM t WHERE val BETWEEN '[0,0,0]' AND '[1,1,1]' ORDER BY val;
SELECT * FROM t ORDER BY val;
SELECT * FROM t ORDER BY val DESC NULLS LAST;
RESET enable_seqscan;
SELECT count(*), count(DISTINCT val) FROM t;
SELECT val, count(*) FROM t GROUP BY val ORDER BY val;
SELECT pg_temp.try($$CREATE UNIQUE INDEX ON t (val)$$);
DELETE FROM t WHERE ctid IN (SELECT max(ctid) FROM t WHERE val = '[1,2,3]');
ALTER TABLE t ADD UNIQUE (val);
SELECT pg_temp.try($$INSERT INTO t VALUES ('[1,2,3]')$$);
INSERT INTO t VALUES ('[1,2,3]') ON CONFLICT (val) DO NOTHING;
SET enable_hashjoin = off;
SET enable_nestloop = off;
SELECT a.val FROM t a JOIN t b USING (val) ORDER BY 1;
RESET enable_hashjoin;
RESET enable_nestloop;
DROP TABLE t;

-- halfvec
CREATE TABLE t (val halfvec(3));
INSERT INTO t VALUES ('[0,0,0]'), ('[1,2,3]'), ('[1,1,1]'), ('[0,-1,0]'), ('[1,2,3]'), (NULL);
CREATE INDEX t_val ON t (val);
SET enable_seqscan = off;
SELECT pg_temp.nodes($$SELECT * FROM t WHERE val = '[1,2,3]'$$);
SELECT * FROM t WHERE val = '[1,2,3]';
SELECT * FROM t WHERE val < '[1,1,1]' ORDER BY val DESC;
SELECT * FROM t WHERE val BETWEEN '[0,0,0]' AND '[1,1,1]' ORDER BY val;
SELECT * FROM t ORDER BY val;
SELECT * FROM t ORDER BY val DESC NULLS LAST;
RESET enable_seqscan;
SELECT count(*), count(DISTINCT val) FROM t;
SELECT val, count(*) FROM t GROUP BY val ORDER BY val;
SELECT pg_temp.try($$CREATE UNIQUE INDEX ON t (val)$$);
DELETE FROM t WHERE ctid IN (SELECT max(ctid) FROM t WHERE val = '[1,2,3]');
ALTER TABLE t ADD UNIQUE (val);
SELECT pg_temp.try($$INSERT INTO t VALUES ('[1,2,3]')$$);
INSERT INTO t VALUES ('[1,2,3]') ON CONFLICT (val) DO NOTHING;
SET enable_hashjoin = off;
SET enable_nestloop = off;
SELECT a.val FROM t a JOIN t b USING (val) ORDER BY 1;
RESET enable_hashjoin;
RESET enable_nestloop;
DROP TABLE t;

-- sparsevec
CREATE TABLE t (val sparsevec(3));
INSERT INTO t VALUES ('{}/3'), ('{1:1,2:2,3:3}/3'), ('{1:1,2:1,3:1}/3'), ('{2:-1}/3'), ('{1:1,2:2,3:3}/3'), (NULL);
CREATE INDEX t_val ON t (val);
SET enable_seqscan = off;
SELECT pg_temp.nodes($$SELECT * FROM t WHERE val = '{1:1,2:2,3:3}/3'$$);
SELECT * FROM t WHERE val = '{1:1,2:2,3:3}/3';
SELECT * FROM t WHERE val < '{1:1,2:1,3:1}/3' ORDER BY val DESC;
SELECT * FROM t WHERE val BETWEEN '{}/3' AND '{1:1,2:1,3:1}/3' ORDER BY val;
SELECT * FROM t ORDER BY val;
SELECT * FROM t ORDER BY val DESC NULLS LAST;
RESET enable_seqscan;
SELECT count(*), count(DISTINCT val) FROM t;
SELECT val, count(*) FROM t GROUP BY val ORDER BY val;
SELECT pg_temp.try($$CREATE UNIQUE INDEX ON t (val)$$);
DELETE FROM t WHERE ctid IN (SELECT max(ctid) FROM t WHERE val = '{1:1,2:2,3:3}/3');
ALTER TABLE t ADD UNIQUE (val);
SELECT pg_temp.try($$INSERT INTO t VALUES ('{1:1,2:2,3:3}/3')$$);
INSERT INTO t VALUES ('{1:1,2:2,3:3}/3') ON CONFLICT (val) DO NOTHING;
SET enable_hashjoin = off;
SET enable_nestloop = off;
SELECT a.val FROM t a JOIN t b USING (val) ORDER BY 1;
RESET enable_hashjoin;
RESET enable_nestloop;
DROP TABLE t;

-- A row of the index holds a third of a page.
CREATE TABLE t (val vector);
CREATE INDEX t_val ON t (val);
INSERT INTO t VALUES (array_fill(1, ARRAY[672]));
SELECT pg_temp.try($$INSERT INTO t VALUES (array_fill(1, ARRAY[673]))$$);
-- Vectors of different lengths in one column.
INSERT INTO t VALUES ('[1]'), ('[1,0]'), ('[1,-1]'), ('[0,9]');
SELECT val FROM t WHERE vector_dims(val) < 3 ORDER BY val;

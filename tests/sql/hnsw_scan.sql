-- Searching with hnsw: its width and iterative scans, filters, cursors, joins, odd queries.
CREATE EXTENSION pgnear;
\set ECHO none
\i sql/support/ask.psql
\i sql/support/search.psql
\set ECHO all
-- Ten groups far apart, each of 40 rows: so few rows are all looked at.
CREATE TABLE item (id int, grp int, v vector(3));
INSERT INTO item SELECT i, i % 10, ARRAY[i % 10 * 1000, i / 10, i / 10 * i / 10 % 13] FROM generate_series(0, 399) AS i;
CREATE INDEX item_v ON item USING hnsw (v vector_l2_ops);
ANALYZE item;
SET enable_seqscan = off;
SET enable_sort = off;

-- As many rows as the search is wide, 40 without a setting.
SELECT count(*), min(grp), max(grp) FROM (SELECT grp FROM item ORDER BY v <-> '[3000,1,1]') AS answer;
SET hnsw.ef_search = 100;
SELECT count(*), min(grp), max(grp) FROM (SELECT grp FROM item ORDER BY v <-> '[3100,1,1]') AS answer;
RESET hnsw.ef_search;

-- LIMIT and OFFSET.
SELECT id FROM item ORDER BY v <-> '[3000,1,1]' LIMIT 0;
SELECT id FROM item ORDER BY v <-> '[3000,1,1]' LIMIT 3;
SELECT id FROM item ORDER BY v <-> '[3000,1,1]' LIMIT 2 OFFSET 1;
SELECT count(*) FROM (SELECT id FROM item ORDER BY v <-> '[3000,1,1]' OFFSET 40) AS answer;
SELECT count(*) FROM (SELECT id FROM item ORDER BY v <-> '[3000,1,1]' LIMIT 1000) AS answer;
SELECT id FROM item ORDER BY v <-> '[3000,1,1]' FETCH FIRST 2 ROWS WITH TIES;

-- A filter is applied to what was found; an iterative scan goes on until the LIMIT is full.
SELECT count(*) FROM (SELECT id FROM item WHERE id < 200 ORDER BY v <-> '[3000,1,1]' LIMIT 50) AS answer;
SELECT count(*) FROM (SELECT id FROM item WHERE grp = 7 ORDER BY v <-> '[3000,1,1]' LIMIT 5) AS answer;
SET hnsw.iterative_scan = relaxed_order;
SELECT count(*) FROM (SELECT id FROM item WHERE id < 200 ORDER BY v <-> '[3000,1,1]' LIMIT 50) AS answer;
SELECT count(*) FROM (SELECT id FROM item WHERE grp = 7 ORDER BY v <-> '[3000,1,1]' LIMIT 5) AS answer;
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM item ORDER BY v <-> '[3000,1,1]') AS answer;
SET hnsw.iterative_scan = strict_order;
SELECT count(*) FROM (SELECT id FROM item WHERE grp = 7 ORDER BY v <-> '[3000,1,1]' LIMIT 5) AS answer;
SELECT count(*) > 200 AS most, count(*) = count(DISTINCT id) AS each_once, bool_and(distance >= before) AS in_order FROM (
    SELECT id, distance, lag(distance, 1, 0) OVER () AS before FROM (
        SELECT id, v <-> '[3100,1,1]' AS distance FROM item ORDER BY v <-> '[3100,1,1]') AS answer) AS answer;
-- A limit of the rows met ends it, but not before the first round.
CREATE TABLE many (id int, v vector(3));
INSERT INTO many SELECT i, ARRAY[i % 997, i % 89, i % 13] FROM generate_series(1, 6000) AS i;
CREATE INDEX many_v ON many USING hnsw (v vector_l2_ops);
SET hnsw.iterative_scan = relaxed_order;
SET hnsw.max_scan_tuples = 100000;
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM many ORDER BY v <-> '[300,1,1]') AS answer;
SET hnsw.max_scan_tuples = 1;
SELECT count(*) FROM (SELECT id FROM many ORDER BY v <-> '[300,1,1]') AS answer;
SET hnsw.max_scan_tuples = 3000;
SELECT count(*) BETWEEN 100 AND 4000 AS some FROM (SELECT id FROM many ORDER BY v <-> '[300,1,1]') AS answer;
-- So does one of memory, a multiple of work_mem.
SET hnsw.max_scan_tuples = 100000;
SET work_mem = '64kB';
SELECT count(*) < 6000 AS some FROM (SELECT id FROM many ORDER BY v <-> '[300,1,1]') AS answer;
SET hnsw.scan_mem_multiplier = 100;
SELECT count(*) FROM (SELECT id FROM many ORDER BY v <-> '[300,1,1]') AS answer;
RESET hnsw.scan_mem_multiplier;
RESET work_mem;
RESET hnsw.max_scan_tuples;
RESET hnsw.iterative_scan;
-- Copies of one vector, of which every one can be reached.
CREATE TABLE copies AS SELECT i AS id, '[1,2,3]'::vector(3) AS v FROM generate_series(1, 3000) AS i;
CREATE INDEX copies_v ON copies USING hnsw (v vector_cosine_ops);
INSERT INTO copies SELECT i, '[1,2,3]' FROM generate_series(3001, 3500) AS i;
SET hnsw.iterative_scan = relaxed_order;
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM copies ORDER BY v <=> '[3,2,1]') AS answer;
RESET hnsw.iterative_scan;
SELECT count(*) FROM (SELECT id FROM copies ORDER BY v <=> '[3,2,1]' LIMIT 40) AS answer;
DROP TABLE copies, many;

-- NULL is as near to one row as to another.
SET hnsw.ef_search = 1000;
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM item ORDER BY v <-> NULL::vector) AS answer;
PREPARE nearest(vector) AS SELECT count(*) FROM (SELECT id FROM item ORDER BY v <-> $1 LIMIT 20) AS answer;
SET plan_cache_mode = force_generic_plan;
EXECUTE nearest(NULL);
EXECUTE nearest('[1,2,3]');
-- A query of other dimensions has the operator's own error.
EXECUTE nearest('[1,2]');
SELECT id FROM item ORDER BY v <-> '[1,2,3,4]' LIMIT 1;
SELECT pg_temp.try($$SELECT id FROM item ORDER BY v <-> '[1,2]' LIMIT 1$$) AS by_index;
SELECT set_config('enable_indexscan', 'off', false);
SELECT pg_temp.try($$SELECT v <-> '[1,2]' FROM item LIMIT 1$$) AS by_operator;
RESET enable_indexscan;
RESET plan_cache_mode;

-- The scan starts anew for each row outside of it, NULL among them.
CREATE TABLE query (id int, q vector(3));
INSERT INTO query VALUES (1, '[0,0,0]'), (2, '[9000,39,1]'), (3, NULL), (4, '[4000,20,1]');
SELECT pg_temp.nodes('SELECT query.id, near.id FROM query, LATERAL (SELECT id FROM item ORDER BY v <-> q LIMIT 3) AS near');
SELECT query.id, array_agg(near.id) = (SELECT array_agg(id) FROM (SELECT id FROM item ORDER BY (v <-> q) + 0, ctid LIMIT 3) AS exact) AS exact
FROM query, LATERAL (SELECT id FROM item ORDER BY v <-> q LIMIT 3) AS near
WHERE q IS NOT NULL GROUP BY query.id, q ORDER BY query.id;
SELECT query.id, count(near.id) FROM query LEFT JOIN LATERAL (SELECT id FROM item ORDER BY v <-> q LIMIT 3) AS near ON true
GROUP BY query.id ORDER BY query.id;
SELECT query.id, (SELECT item.id FROM item ORDER BY v <-> q LIMIT 1) FROM query WHERE q IS NOT NULL ORDER BY query.id;
-- The query from a row of the table itself.
SELECT id FROM item ORDER BY v <-> (SELECT v FROM item WHERE id = 123) LIMIT 3;

-- Cursors: forward as far as wanted, and, where they keep what they gave, back.
CREATE FUNCTION pg_temp.rest(cursor refcursor) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    count bigint;
BEGIN
    MOVE FORWARD ALL FROM cursor;
    GET DIAGNOSTICS count = ROW_COUNT;
    RETURN count;
END
$$;
BEGIN;
DECLARE forwards CURSOR FOR SELECT id FROM item ORDER BY v <-> '[3000,1,1]';
FETCH 2 FROM forwards;
FETCH 1 FROM forwards;
SELECT pg_temp.rest('forwards');
FETCH 1 FROM forwards;
FETCH BACKWARD 1 FROM forwards;
ROLLBACK;
BEGIN;
DECLARE back SCROLL CURSOR FOR SELECT id FROM item ORDER BY v <-> '[3000,1,1]' LIMIT 5;
FETCH ALL FROM back;
FETCH BACKWARD 2 FROM back;
FETCH FIRST FROM back;
FETCH LAST FROM back;
COMMIT;
DECLARE held CURSOR WITH HOLD FOR SELECT id FROM item ORDER BY v <-> '[3000,1,1]';
FETCH 1 FROM held;
SELECT pg_temp.rest('held');
CLOSE held;
-- A scan sees what was there when it began, whatever is done meanwhile.
BEGIN;
DECLARE before CURSOR FOR SELECT id FROM item ORDER BY v <-> '[3000,1,1]';
FETCH 1 FROM before;
DELETE FROM item WHERE grp = 3;
INSERT INTO item SELECT 1000 + i, 3, '[3000,1,1]' FROM generate_series(1, 300) AS i;
SELECT pg_temp.rest('before');
DECLARE after CURSOR FOR SELECT id FROM item ORDER BY v <-> '[3000,1,1]';
SELECT pg_temp.rest('after');
ROLLBACK;
SELECT pg_temp.compare('item', 'v <-> ''[3000,1,1]''');
-- UPDATE and DELETE by a cursor, and rows locked.
BEGIN;
DECLARE current CURSOR FOR SELECT id FROM item ORDER BY v <-> '[3000,1,1]' FOR UPDATE;
FETCH 1 FROM current;
UPDATE item SET v = '[1,1,1]' WHERE CURRENT OF current RETURNING id;
FETCH 1 FROM current;
DELETE FROM item WHERE CURRENT OF current RETURNING id;
ROLLBACK;
SELECT id FROM item ORDER BY v <-> '[3000,1,1]' LIMIT 2 FOR UPDATE;

-- A plan outlives its index.
SET plan_cache_mode = force_generic_plan;
PREPARE kept(vector) AS SELECT id FROM item ORDER BY v <-> $1 LIMIT 2;
EXECUTE kept('[3000,1,1]');
DROP INDEX item_v;
EXECUTE kept('[3000,1,1]');
CREATE INDEX item_v ON item USING hnsw (v vector_l2_ops);
EXPLAIN (COSTS OFF) EXECUTE kept('[3000,1,1]');
RESET plan_cache_mode;

-- The index takes part in nothing but ORDER BY: no bitmap, no index-only scan, no counting.
SELECT pg_temp.nodes('SELECT count(*) FROM item');
SELECT pg_temp.nodes('SELECT v FROM item ORDER BY v <-> ''[1,2,3]'' LIMIT 1');
SELECT pg_temp.nodes('SELECT id FROM item WHERE v <-> ''[1,2,3]'' < 5');
SELECT pg_temp.nodes('SELECT id FROM item WHERE v = ''[1,2,3]''');

-- Each search counts as a scan: one, and one for each of four rows.
BEGIN;
SELECT count(*) FROM (SELECT id FROM item ORDER BY v <-> '[3000,1,1]' LIMIT 5) AS answer;
SELECT count(*) FROM query, LATERAL (SELECT id FROM item ORDER BY v <-> q LIMIT 3) AS near;
SELECT pg_stat_get_xact_numscans('item_v'::regclass);
COMMIT;

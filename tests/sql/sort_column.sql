\pset format unaligned
\pset tuples_only on
-- The distance that rows are ordered by is computed for each row handed out only where somebody reads it.
CREATE EXTENSION pgnear;
CREATE TABLE item (id int PRIMARY KEY, grp int, v vector(3));
INSERT INTO item SELECT i, i % 3, ARRAY[9 * sin(i), 9 * cos(i * 7), 9 * sin(i * i)] FROM generate_series(1, 300) AS i;
CREATE INDEX item_v ON item USING hnsw (v vector_l2_ops);
CREATE TABLE asked (id int, v vector(3));
INSERT INTO asked VALUES (1, '[3,4,5]'), (2, '[9,-9,0]');
ANALYZE item, asked;
SET enable_seqscan = off;
SET enable_sort = off;
SET enable_bitmapscan = off;
SET enable_material = off;

-- What the nodes of a plan hand on, where a distance is or was a part of that.
CREATE FUNCTION outputs(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    line text;
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (VERBOSE, COSTS OFF) ' || query LOOP
        IF line ~ 'Output: .*(NULL|<->)' THEN
            RETURN NEXT ltrim(line);
        END IF;
    END LOOP;
END $$;

-- Nobody does.
SELECT outputs($$SELECT id FROM item ORDER BY v <-> '[3,4,5]' LIMIT 3$$);
SELECT outputs($$SELECT id FROM item ORDER BY v <-> '[3,4,5]'$$);
SELECT outputs($$SELECT id FROM item ORDER BY v <-> '[3,4,5]' LIMIT 3 FOR UPDATE$$);
SELECT outputs($$SELECT asked.id, near.id FROM asked CROSS JOIN LATERAL
    (SELECT item.id FROM item ORDER BY item.v <-> asked.v LIMIT 2) AS near$$);
SELECT outputs($$SELECT ARRAY(SELECT id FROM item ORDER BY v <-> '[3,4,5]' LIMIT 3)$$);
-- The same rows as by sorting.
CREATE FUNCTION differences(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    by_index text;
    by_sort text;
BEGIN
    EXECUTE format('SELECT array_agg(x)::text FROM (%s) AS x', query) INTO by_index;
    SET LOCAL enable_indexscan = off;
    SET LOCAL enable_sort = on;
    EXECUTE format('SELECT array_agg(x)::text FROM (%s) AS x', query) INTO by_sort;
    SET LOCAL enable_indexscan = on;
    SET LOCAL enable_sort = off;
    IF by_index IS DISTINCT FROM by_sort THEN
        RETURN NEXT by_index || ' and not ' || by_sort;
    END IF;
END $$;
SET hnsw.ef_search = 300;
SELECT differences($$SELECT id FROM item ORDER BY v <-> '[3,4,5]' LIMIT 20$$);
SELECT differences($$SELECT asked.id, near.id FROM asked CROSS JOIN LATERAL
    (SELECT item.id FROM item ORDER BY item.v <-> asked.v LIMIT 20) AS near$$);
SELECT differences($$WITH near AS MATERIALIZED (SELECT id, grp FROM item ORDER BY v <-> '[3,4,5]' LIMIT 20) SELECT * FROM near ORDER BY id$$);
SELECT differences($$(SELECT id FROM item ORDER BY v <-> '[3,4,5]' LIMIT 5) UNION ALL (SELECT id FROM item ORDER BY v <-> '[9,-9,0]' LIMIT 5)$$);

-- Somebody does: it is asked for, tied rows count, rows of parts are merged, more is sorted by.
SELECT outputs($$SELECT id, v <-> '[3,4,5]' AS d FROM item ORDER BY d LIMIT 3$$);
SELECT outputs($$SELECT id FROM item ORDER BY v <-> '[3,4,5]' FETCH FIRST 3 ROWS WITH TIES$$);
SELECT outputs($$SELECT DISTINCT ON (v <-> '[3,4,5]') id FROM item ORDER BY v <-> '[3,4,5]' LIMIT 3$$);
SELECT differences($$SELECT id, v <-> '[3,4,5]' AS d FROM item ORDER BY d LIMIT 20$$);
SELECT differences($$SELECT id FROM item ORDER BY v <-> '[3,4,5]' FETCH FIRST 7 ROWS WITH TIES$$);
CREATE TABLE parted (id int, v vector(3)) PARTITION BY RANGE (id);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (150);
CREATE TABLE parted_2 PARTITION OF parted FOR VALUES FROM (150) TO (1000);
INSERT INTO parted SELECT id, v FROM item;
CREATE INDEX ON parted USING hnsw (v vector_l2_ops);
ANALYZE parted;
SELECT outputs($$SELECT id FROM parted ORDER BY v <-> '[3,4,5]' LIMIT 3$$);
SELECT differences($$SELECT id FROM parted ORDER BY v <-> '[3,4,5]' LIMIT 20$$);

-- By a cursor, in an INSERT, and by a plan that is kept.
BEGIN;
DECLARE near CURSOR FOR SELECT id FROM item ORDER BY v <-> '[3,4,5]';
FETCH 2 FROM near;
UPDATE item SET grp = 7 WHERE CURRENT OF near RETURNING id;
ROLLBACK;
CREATE TABLE kept AS SELECT id FROM item ORDER BY v <-> '[3,4,5]' LIMIT 2;
INSERT INTO kept SELECT id FROM item ORDER BY v <-> '[9,-9,0]' LIMIT 1;
TABLE kept;
PREPARE near(vector) AS SELECT id FROM item ORDER BY v <-> $1 LIMIT 2;
SET plan_cache_mode = force_generic_plan;
EXECUTE near('[3,4,5]');
EXECUTE near('[9,-9,0]');
SELECT outputs($$EXECUTE near('[9,-9,0]')$$);

\pset format unaligned
\pset tuples_only on
-- The distance that rows are ordered by is not computed again for the rows that an index hands out.
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
        IF line ~ '(Output|Filter): .*(NULL|<->|scan_distance)' THEN
            RETURN NEXT ltrim(line);
        END IF;
    END LOOP;
END $$;

-- Nobody reads it.
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

-- Somebody does, and the index tells it: it is asked for, tied rows count, rows of parts are merged, more is sorted by.
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

-- In a condition, in an expression, and with the operands the other way round.
SELECT outputs($$SELECT id, 1 - (v <-> '[3,4,5]') AS near FROM item WHERE v <-> '[3,4,5]' < 9 ORDER BY v <-> '[3,4,5]' LIMIT 3$$);
SELECT differences($$SELECT id, 1 - (v <-> '[3,4,5]') AS near FROM item WHERE v <-> '[3,4,5]' < 9 ORDER BY v <-> '[3,4,5]' LIMIT 50$$);
SELECT differences($$SELECT id, '[3,4,5]' <-> v AS d FROM item WHERE '[3,4,5]' <-> v < 9 ORDER BY '[3,4,5]' <-> v LIMIT 50$$);
SELECT differences($$SELECT id, v <-> '[9,-9,0]' AS other FROM item ORDER BY v <-> '[3,4,5]' LIMIT 50$$);
-- Another scan of the same index in between, for the same query and for another.
SELECT differences($$SELECT id, (SELECT min(near.id) FROM (SELECT i.id FROM item i ORDER BY i.v <-> '[3,4,5]' LIMIT 3) near), v <-> '[3,4,5]' AS d FROM item ORDER BY d LIMIT 20$$);
SELECT differences($$SELECT id, (SELECT max(d) FROM (SELECT i.v <-> item.v AS d FROM item i ORDER BY d LIMIT 3) near), v <-> '[3,4,5]' AS d FROM item
    WHERE (SELECT count(*) FROM (SELECT i.v <-> item.v AS d FROM item i ORDER BY d LIMIT 3) near) = 3 ORDER BY d LIMIT 20$$);
SELECT differences($$SELECT asked.id, near.* FROM asked CROSS JOIN LATERAL
    (SELECT item.id, item.v <-> asked.v AS d FROM item ORDER BY d LIMIT 20) AS near$$);
-- After updates, of the vector and of another column.
UPDATE item SET grp = grp + 10 WHERE id % 2 = 0;
UPDATE item SET v = v * 2 WHERE id % 5 = 0;
SELECT differences($$SELECT id, v <-> '[3,4,5]' AS d FROM item ORDER BY d LIMIT 50$$);
SELECT differences($$SELECT id, v <-> '[3,4,5]' AS d FROM item ORDER BY d LIMIT 50 FOR UPDATE$$);
-- All distances and types.
CREATE TABLE every (id int, v vector(3), h halfvec(3), s sparsevec(3), b bit(24));
INSERT INTO every SELECT id, v, v, v::sparsevec, ('x' || substr(md5(id::text), 1, 6))::bit(24) FROM item;
CREATE INDEX ON every USING hnsw (v vector_l2_ops);
CREATE INDEX ON every USING hnsw (v vector_ip_ops);
CREATE INDEX ON every USING hnsw (v vector_cosine_ops);
CREATE INDEX ON every USING hnsw (v vector_l1_ops);
CREATE INDEX ON every USING hnsw (h halfvec_l2_ops);
CREATE INDEX ON every USING hnsw (h halfvec_ip_ops);
CREATE INDEX ON every USING hnsw (h halfvec_cosine_ops);
CREATE INDEX ON every USING hnsw (h halfvec_l1_ops);
CREATE INDEX ON every USING hnsw (s sparsevec_l2_ops);
CREATE INDEX ON every USING hnsw (s sparsevec_ip_ops);
CREATE INDEX ON every USING hnsw (s sparsevec_cosine_ops);
CREATE INDEX ON every USING hnsw (s sparsevec_l1_ops);
CREATE INDEX ON every USING hnsw (b bit_hamming_ops);
CREATE INDEX ON every USING hnsw (b bit_jaccard_ops);
ANALYZE every;
SELECT o, c, outputs(format('SELECT id, %s %s %L AS d FROM every ORDER BY d LIMIT 300', c, o, q)) ~ 'scan_distance',
    differences(format('SELECT array_agg(d ORDER BY d) FROM (SELECT %s %s %L AS d FROM every ORDER BY d LIMIT 300) x', c, o, q))
FROM (VALUES ('v', '[3,4,5]'), ('h', '[3,4,5]'), ('s', '{1:3,2:4,3:5}/3')) t(c, q), unnest(ARRAY['<->', '<#>', '<=>', '<+>']) o;
SELECT o, outputs(format('SELECT id, b %s %L::bit(24) AS d FROM every ORDER BY d LIMIT 300', o, B'101010101010101010101010')) ~ 'scan_distance',
    differences(format('SELECT array_agg(d ORDER BY d) FROM (SELECT b %s %L::bit(24) AS d FROM every ORDER BY d LIMIT 300) x', o, B'101010101010101010101010'))
FROM unnest(ARRAY['<~>', '<%>']) o;
DROP TABLE every;
CREATE TABLE lists (id int, v vector(3));
INSERT INTO lists SELECT id, v FROM item;
CREATE INDEX ON lists USING ivfflat (v vector_cosine_ops) WITH (lists = 3);
ANALYZE lists;
SET ivfflat.probes = 3;
SELECT outputs($$SELECT id, v <=> '[3,4,5]' AS d FROM lists ORDER BY d LIMIT 20$$);
SELECT differences($$SELECT id, v <=> '[3,4,5]' AS d FROM lists ORDER BY d LIMIT 20$$);
-- A row's vector that lies out of line is not even fetched: as many pages are read as without its distance.
CREATE TABLE wide (id int, v vector(1200));
INSERT INTO wide SELECT id, (SELECT array_agg(sin(id * j) ORDER BY j) FROM generate_series(1, 1200) j)::vector FROM item WHERE id <= 100;
CREATE INDEX wide_v ON wide USING hnsw (v vector_l2_ops) WITH (rerank = 'index');
ANALYZE wide;
CREATE FUNCTION pages(query text) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    plan json;
BEGIN
    EXECUTE query;
    EXECUTE 'EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ' || query INTO plan;
    RETURN plan -> 0 -> 'Plan' -> 'Shared Hit Blocks';
END $$;
WITH asked AS (SELECT v::text AS v FROM wide WHERE id = 1)
SELECT pages(format('SELECT id, v <-> %L AS d FROM wide ORDER BY d LIMIT 50', v)) - pages(format('SELECT id FROM wide ORDER BY v <-> %L LIMIT 50', v)) AS more,
    pages(format('SELECT id, 1 + (v <-> %L) AS d FROM wide WHERE v <-> %L < 1000 ORDER BY v <-> %L LIMIT 50', v, v, v))
        - pages(format('SELECT id FROM wide ORDER BY v <-> %L LIMIT 50', v)) AS more,
    pages(format('SELECT id, v <#> %L AS other FROM wide ORDER BY v <-> %L LIMIT 50', v, v)) > 100 + pages(format('SELECT id FROM wide ORDER BY v <-> %L LIMIT 50', v)) AS other
FROM asked;
SELECT differences('SELECT w.id, n.* FROM wide w CROSS JOIN LATERAL (SELECT i.id, i.v <-> w.v AS d FROM wide i ORDER BY d LIMIT 5) n WHERE w.id < 20');
-- By halves of vectors an index knows the distance of few rows; the others' is computed.
DROP INDEX wide_v;
CREATE INDEX wide_v ON wide USING hnsw (v vector_l2_ops);
SELECT differences('SELECT w.id, n.* FROM wide w CROSS JOIN LATERAL (SELECT i.id, i.v <-> w.v AS d FROM wide i ORDER BY d LIMIT 5) n WHERE w.id < 20');
-- A query that is NULL, and one that is fetched from a table.
SELECT count(*), count(d) FROM (SELECT id, v <-> NULL AS d FROM item ORDER BY d LIMIT 5) x;
SELECT differences($$SELECT id, v <-> (SELECT v FROM asked WHERE id = 1) AS d FROM item ORDER BY d LIMIT 20$$);
-- It is there for plans; whoever calls it gets a distance, and of nothing else.
SELECT pgnear_scan_distance('item_v', '(0,1)', 'l2_distance(vector,vector)', '[1,2,3]'::vector, '[1,2,5]'::vector);
SELECT pgnear_scan_distance('item_v', '(0,1)', 'l2_distance(vector,vector)', NULL::vector, '[1,2,5]'::vector);
SELECT pgnear_scan_distance('item_v', '(0,1)', 'l2_distance(vector,vector)', 7, 8);
SELECT pgnear_scan_distance('item_v', '(0,1)', 'float8mul(float8,float8)', 7::float8, 8::float8);
SELECT pgnear_scan_distance('item_v', '(0,1)', 0, '[1,2,3]'::vector, '[1,2,5]'::vector);
-- Whoever may not call it gets distances all the same.
CREATE ROLE distance_reader;
GRANT SELECT ON item TO distance_reader;
REVOKE EXECUTE ON FUNCTION pgnear_scan_distance FROM PUBLIC;
SET ROLE distance_reader;
SELECT outputs($$SELECT id, v <-> '[3,4,5]' AS d FROM item ORDER BY d LIMIT 3$$);
SELECT differences($$SELECT id, v <-> '[3,4,5]' AS d FROM item ORDER BY d LIMIT 3$$);
RESET ROLE;
GRANT EXECUTE ON FUNCTION pgnear_scan_distance TO PUBLIC;
REVOKE ALL ON item FROM distance_reader;
DROP ROLE distance_reader;
-- An error while a statement is planned keeps what it says of itself.
CREATE FUNCTION refuses() RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RAISE 'no' USING CONSTRAINT = 'a constraint';
END $$;
DO $$
DECLARE
    about text;
    context text;
BEGIN
    EXECUTE 'SELECT id FROM item WHERE grp = refuses() ORDER BY v <-> ''[3,4,5]'' LIMIT 3';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS about = CONSTRAINT_NAME, context = PG_EXCEPTION_CONTEXT;
    RAISE NOTICE '%, %', about, split_part(context, E'\n', 1);
END $$;

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

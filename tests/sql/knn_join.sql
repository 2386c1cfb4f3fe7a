\pset format unaligned
\pset tuples_only on
-- A join with the nearest rows takes many outer rows through the inner ones together: the same rows, in order.
CREATE EXTENSION pgnear;
CREATE TABLE item (id int PRIMARY KEY, grp int, name text, v vector(3), h halfvec(3));
INSERT INTO item SELECT i, i % 7, repeat('x', i % 50), ARRAY[9 * sin(i), 9 * cos(i * 7), 9 * sin(i * i)],
    ARRAY[9 * sin(i), 9 * cos(i * 7), 9 * sin(i * i)]::vector FROM generate_series(1, 600) AS i;
CREATE TABLE asked (id int PRIMARY KEY, grp int, v vector(3), h halfvec(3));
INSERT INTO asked SELECT i, i % 7, ARRAY[8 * sin(i + 0.3), 8 * cos(i * 5), 8 * sin(i * 3)],
    ARRAY[8 * sin(i + 0.3), 8 * cos(i * 5), 8 * sin(i * 3)]::vector FROM generate_series(1, 150) AS i;
ANALYZE item, asked;

-- same(query): how its join is done, and whether the rows are those of a nested loop.
CREATE FUNCTION same(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    line text;
    done text := 'loop';
    together text;
    one_by_one text;
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
        IF line ~ 'KnnJoin' THEN
            done := 'together';
        END IF;
    END LOOP;
    EXECUTE format('SELECT array_agg(x)::text FROM (%s) AS x', query) INTO together;
    SET LOCAL pgnear.enable_knn_join = off;
    EXECUTE format('SELECT array_agg(x)::text FROM (%s) AS x', query) INTO one_by_one;
    SET LOCAL pgnear.enable_knn_join = on;
    IF together IS DISTINCT FROM one_by_one THEN
        RETURN done || ', other rows: ' || coalesce(together, 'none') || ' and not ' || coalesce(one_by_one, 'none');
    END IF;
    RETURN done || ', ' || coalesce(length(together), 0) || ' characters';
END $$;

EXPLAIN (VERBOSE, COSTS OFF) SELECT q.id, n.id, n.d FROM asked q CROSS JOIN LATERAL
    (SELECT i.id, i.v <-> q.v AS d FROM item i ORDER BY d LIMIT 4) n;
SELECT same($$SELECT q.id, n.* FROM asked q CROSS JOIN LATERAL (SELECT i.id, i.v <-> q.v AS d FROM item i ORDER BY d LIMIT 4) n$$);
SELECT same($$SELECT q.id, n.* FROM asked q CROSS JOIN LATERAL (SELECT i.id, i.v <#> q.v AS d FROM item i ORDER BY d LIMIT 4) n$$);
SELECT same($$SELECT q.id, n.* FROM asked q CROSS JOIN LATERAL (SELECT i.id, i.v <=> q.v AS d FROM item i ORDER BY d LIMIT 4) n$$);
SELECT same($$SELECT q.id, n.* FROM asked q CROSS JOIN LATERAL (SELECT i.id, i.v <+> q.v AS d FROM item i ORDER BY d LIMIT 4) n$$);
SELECT same($$SELECT q.id, n.* FROM asked q CROSS JOIN LATERAL (SELECT i.id, q.h <=> i.h AS d FROM item i ORDER BY d LIMIT 4) n$$);
SELECT same($$SELECT q.id, n.* FROM asked q, LATERAL (SELECT i.id, l2_distance(i.v, q.v) AS d FROM item i ORDER BY d LIMIT 4) n$$);
-- Ordered by only; more columns, of both sides; an expression in place of a column; a vector itself.
SELECT same($$SELECT q.grp, n.name || q.id, n.id FROM asked q CROSS JOIN LATERAL (SELECT i.id, i.name FROM item i ORDER BY i.v <-> q.v LIMIT 4) n$$);
SELECT same($$SELECT q.id, n.* FROM asked q CROSS JOIN LATERAL (SELECT i.id, i.v FROM item i ORDER BY i.v <-> q.v LIMIT 3) n$$);
SELECT same($$SELECT q.id, n.* FROM asked q CROSS JOIN LATERAL (SELECT i.id FROM item i ORDER BY l2_normalize(i.v) <-> q.v LIMIT 3) n$$);
SELECT same($$SELECT q.id, n.* FROM asked q CROSS JOIN LATERAL (SELECT i.id, i.v <-> q.v AS d, i.v <-> q.v AS e FROM item i ORDER BY d LIMIT 3) n$$);
SELECT same($$SELECT q.id, n.id, 1 - n.d AS near FROM asked q CROSS JOIN LATERAL (SELECT i.id, i.v <=> q.v AS d FROM item i ORDER BY d LIMIT 3) n$$);
-- Columns of the distance and of the outer row; not of both rows.
SELECT same($$SELECT q.id, n.* FROM asked q CROSS JOIN LATERAL (SELECT i.id, 1 - (i.v <=> q.v) AS near, q.grp + 1 AS g, 7 AS seven FROM item i ORDER BY i.v <=> q.v LIMIT 3) n$$);
SELECT same($$SELECT q.id, n.near * 2, n.id FROM asked q CROSS JOIN LATERAL (SELECT i.id, 1 - (i.v <=> q.v) AS near FROM item i ORDER BY i.v <=> q.v LIMIT 3) n WHERE n.near > 0.5$$);
SELECT same($$SELECT q.id, n.* FROM asked q LEFT JOIN LATERAL (SELECT i.id, q.v, 1 - (i.v <=> q.v) AS near FROM item i WHERE i.grp + 0 > 100 ORDER BY i.v <=> q.v LIMIT 3) n ON true$$);
SELECT same($$SELECT q.id, n.* FROM asked q CROSS JOIN LATERAL (SELECT i.id + q.id AS both FROM item i ORDER BY i.v <=> q.v LIMIT 3) n$$);
SELECT same($$SELECT q.id, n.* FROM asked q CROSS JOIN LATERAL (SELECT i.id, i.v <#> q.v AS other FROM item i ORDER BY i.v <=> q.v LIMIT 3) n$$);
-- A sub-select around the limit: plain, computed, under a left join, with chance, with a sub-select of its own.
SELECT same($$SELECT q.id, n.* FROM asked q CROSS JOIN LATERAL (SELECT s.id, s.id * 2 AS twice, q.grp AS g FROM (SELECT i.id FROM item i ORDER BY i.v <-> q.v LIMIT 3) s WHERE s.id > 100 OFFSET 0) n$$);
SELECT same($$SELECT q.id, n.* FROM asked q LEFT JOIN LATERAL (SELECT s.id, coalesce(s.id, 0) AS c, 7 AS seven, q.grp AS g FROM (SELECT i.id FROM item i WHERE i.grp + 0 > 100 ORDER BY i.v <-> q.v LIMIT 3) s) n ON true$$);
SELECT same($$SELECT count(*), bool_and(same) FROM (SELECT n.r = n.r AS same FROM asked q CROSS JOIN LATERAL (SELECT s.id, random() AS r FROM (SELECT i.id FROM item i ORDER BY i.v <-> q.v LIMIT 4) s) n) x$$);
SELECT same($$SELECT q.id, n.* FROM asked q CROSS JOIN LATERAL (SELECT s.id, (SELECT count(*) FROM item o WHERE o.grp = q.grp AND o.id < s.id) AS c FROM (SELECT i.id FROM item i ORDER BY i.v <-> q.v LIMIT 4) s OFFSET 0) n$$);
SELECT same($$SELECT q.id, n.* FROM asked q CROSS JOIN LATERAL (SELECT s.id FROM (SELECT i.id FROM item i ORDER BY i.v <-> q.v LIMIT 4) s WHERE s.id NOT IN (SELECT o.id FROM item o WHERE o.grp = q.grp) OFFSET 0) n$$);
-- Conditions on inner rows, by a filter and by an index; on outer rows; on the distance.
SELECT same($$SELECT q.id, n.* FROM asked q CROSS JOIN LATERAL (SELECT i.id FROM item i WHERE i.grp = 3 ORDER BY i.v <-> q.v LIMIT 4) n$$);
CREATE INDEX item_grp ON item (grp);
SET enable_seqscan = off;
SELECT same($$SELECT q.id, n.* FROM asked q CROSS JOIN LATERAL (SELECT i.id FROM item i WHERE i.grp = 3 ORDER BY i.v <-> q.v LIMIT 4) n$$);
SET enable_bitmapscan = off;
SELECT same($$SELECT q.id, n.* FROM asked q CROSS JOIN LATERAL (SELECT i.id FROM item i WHERE i.grp = 3 ORDER BY i.v <-> q.v LIMIT 4) n$$);
RESET enable_bitmapscan;
RESET enable_seqscan;
DROP INDEX item_grp;
SELECT same($$SELECT q.id, n.* FROM asked q CROSS JOIN LATERAL (SELECT i.id FROM item i ORDER BY i.v <-> q.v LIMIT 4) n WHERE q.grp = 2 AND n.id % 2 = 0$$);
SELECT same($$SELECT q.id, n.* FROM asked q CROSS JOIN LATERAL (SELECT i.id, i.v <-> q.v AS d FROM item i ORDER BY d LIMIT 4) n WHERE n.d < 1.5$$);
SELECT same($$SELECT q.id, n.* FROM asked q CROSS JOIN LATERAL (SELECT i.id, i.v <-> q.v AS d FROM item i ORDER BY d LIMIT 4) n WHERE n.d < q.grp / 2.0$$);
-- Left joins: with all rows, with none, with a condition on their rows.
SELECT same($$SELECT q.id, n.* FROM asked q LEFT JOIN LATERAL (SELECT i.id, i.v <-> q.v AS d FROM item i ORDER BY d LIMIT 4) n ON true$$);
SELECT same($$SELECT q.id, n.* FROM asked q LEFT JOIN LATERAL (SELECT i.id, i.v <-> q.v AS d FROM item i WHERE i.grp + 0 > 100 ORDER BY d LIMIT 4) n ON true$$);
SELECT same($$SELECT q.id, n.* FROM asked q CROSS JOIN LATERAL (SELECT i.id, i.v <-> q.v AS d FROM item i WHERE i.grp + 0 > 100 ORDER BY d LIMIT 4) n$$);
SELECT same($$SELECT q.id, n.* FROM asked q LEFT JOIN LATERAL (SELECT i.id, i.v <-> q.v AS d FROM item i ORDER BY d LIMIT 4) n ON n.d < 1$$);
SELECT same($$SELECT q.id, n.* FROM asked q LEFT JOIN LATERAL (SELECT i.id, i.v <-> q.v AS d FROM item i ORDER BY d LIMIT 4) n ON true WHERE n.id IS NULL OR n.id > 300$$);
-- More than there are, the most, and more than that.
SELECT same($$SELECT q.id, n.* FROM asked q CROSS JOIN LATERAL (SELECT i.id FROM item i WHERE i.grp = 1 ORDER BY i.v <-> q.v LIMIT 100) n$$);
SELECT same($$SELECT q.id, n.* FROM asked q CROSS JOIN LATERAL (SELECT i.id FROM item i ORDER BY i.v <-> q.v LIMIT 1000) n WHERE q.id < 90$$);
SELECT same($$SELECT q.id, n.* FROM asked q CROSS JOIN LATERAL (SELECT i.id FROM item i ORDER BY i.v <-> q.v LIMIT 1001) n WHERE q.id < 3$$);
-- Within other statements: aggregates, sub-selects that are read again and again, outer limits, both ways round.
SELECT same($$SELECT n.grp, count(*), sum(d) FROM asked q CROSS JOIN LATERAL (SELECT i.grp, i.v <-> q.v AS d FROM item i ORDER BY d LIMIT 5) n GROUP BY 1 ORDER BY 1$$);
SELECT same($$SELECT g, (SELECT sum(n.id) FROM asked q CROSS JOIN LATERAL (SELECT i.id FROM item i ORDER BY i.v <-> q.v LIMIT 2) n WHERE q.grp = g) FROM generate_series(0, 7) g$$);
SELECT same($$SELECT g, s.* FROM generate_series(0, 7) g CROSS JOIN LATERAL (SELECT q.id, n.id AS near FROM asked q CROSS JOIN LATERAL (SELECT i.id FROM item i WHERE i.grp = g ORDER BY i.v <-> q.v LIMIT 2) n OFFSET 0) s$$);
SELECT same($$SELECT q.id, n.* FROM asked q CROSS JOIN LATERAL (SELECT i.id FROM item i ORDER BY i.v <-> q.v LIMIT 4) n LIMIT 10$$);
SELECT same($$WITH near AS MATERIALIZED (SELECT q.id AS q, n.id FROM asked q CROSS JOIN LATERAL (SELECT i.id FROM item i ORDER BY i.v <-> q.v LIMIT 4) n) SELECT * FROM near WHERE id < 100$$);
SELECT same($$SELECT a.id, n.* FROM item a CROSS JOIN LATERAL (SELECT b.id, b.v <-> a.v AS d FROM item b ORDER BY d LIMIT 2) n$$);
-- Not what it looks like: inner rows that depend on the outer one, chance, locks, other orders, ties, offsets.
SELECT same($$SELECT q.id, n.* FROM asked q CROSS JOIN LATERAL (SELECT i.id FROM item i WHERE i.grp = q.grp ORDER BY i.v <-> q.v LIMIT 4) n$$);
SELECT same($$SELECT q.id, n.* FROM asked q CROSS JOIN LATERAL (SELECT i.id, q.grp FROM item i ORDER BY i.v <-> q.v LIMIT 4) n$$);
SELECT same($$SELECT q.id, n.* FROM asked q CROSS JOIN LATERAL (SELECT i.id FROM item i WHERE random() >= 0 ORDER BY i.v <-> q.v LIMIT 4) n$$);
SELECT same($$SELECT q.id, n.* FROM asked q CROSS JOIN LATERAL (SELECT i.id FROM item i ORDER BY i.v <-> q.v DESC LIMIT 4) n$$);
SELECT same($$SELECT q.id, n.* FROM asked q CROSS JOIN LATERAL (SELECT i.id FROM item i ORDER BY i.v <-> q.v, i.id LIMIT 4) n$$);
SELECT same($$SELECT q.id, n.* FROM asked q CROSS JOIN LATERAL (SELECT i.id FROM item i ORDER BY i.v <-> q.v OFFSET 1 LIMIT 4) n$$);
SELECT same($$SELECT q.id, n.* FROM asked q CROSS JOIN LATERAL (SELECT i.id FROM item i ORDER BY i.v <-> q.v FETCH FIRST 4 ROWS WITH TIES) n$$);
SELECT same($$SELECT q.id, n.* FROM asked q CROSS JOIN LATERAL (SELECT i.id FROM item i ORDER BY i.v <-> q.v LIMIT 4) n FOR UPDATE OF q$$);
SELECT same($$SELECT q.id, n.* FROM asked q CROSS JOIN LATERAL (SELECT i.id FROM item i ORDER BY i.v <-> '[1,2,3]' LIMIT 4) n$$);

-- NULL: rows without a vector come last, and are any to a query that has none.
INSERT INTO item (id) SELECT generate_series(1001, 1003);
INSERT INTO asked (id) VALUES (1001);
SELECT same($$SELECT q.id, n.* FROM asked q CROSS JOIN LATERAL (SELECT i.id, i.v <-> q.v AS d FROM item i WHERE i.id > 300 ORDER BY d LIMIT 302) n WHERE q.id < 1000$$);
SELECT count(*), count(n.id), count(n.d) FROM asked q CROSS JOIN LATERAL (SELECT i.id, i.v <-> q.v AS d FROM item i ORDER BY d LIMIT 4) n;
SELECT same($$SELECT q.id, n.* FROM (SELECT id, NULL::vector AS v FROM asked) q CROSS JOIN LATERAL (SELECT i.id * 0 AS any, i.v <-> q.v AS d FROM item i ORDER BY d LIMIT 2) n$$);
DELETE FROM item WHERE id > 1000;
DELETE FROM asked WHERE id > 1000;
-- Rows at no distance.
INSERT INTO item SELECT i, 0, 'no angle', '[0,0,0]' FROM generate_series(1001, 1003) i;
SELECT same($$SELECT q.id, n.* FROM asked q CROSS JOIN LATERAL (SELECT i.name, i.v <=> q.v AS d FROM item i WHERE i.id > 300 ORDER BY d LIMIT 302) n$$);
DELETE FROM item WHERE id > 1000;

-- Vectors of other dimensions.
CREATE TABLE mixed (id int, v vector);
INSERT INTO mixed SELECT i, ARRAY[i, i, 1] FROM generate_series(1, 100) i;
SELECT same($$SELECT q.id, n.* FROM mixed q CROSS JOIN LATERAL (SELECT i.id, i.v <-> q.v AS d FROM item i ORDER BY d LIMIT 2) n$$);
INSERT INTO mixed VALUES (101, '[1,2]');
SELECT count(*) FROM mixed q CROSS JOIN LATERAL (SELECT i.id, i.v <-> q.v AS d FROM item i ORDER BY d LIMIT 2) n;
-- (Not before it is that row's turn.)
SELECT count(*) FROM (SELECT q.id FROM mixed q CROSS JOIN LATERAL (SELECT i.id, i.v <-> q.v AS d FROM item i ORDER BY d LIMIT 2) n LIMIT 150) x;
SELECT count(*) FROM mixed q CROSS JOIN LATERAL (SELECT i.id, i.v <-> q.v AS d FROM item i WHERE i.grp + 0 > 100 ORDER BY d LIMIT 2) n;
SELECT count(*) FROM asked q CROSS JOIN LATERAL (SELECT i.id, i.v <-> q.v AS d FROM mixed i ORDER BY d LIMIT 2) n;

-- Little memory, so that there are several passes; kept plans; a cursor that is left; rows that are stored.
INSERT INTO asked SELECT i, i % 7, ARRAY[8 * sin(i + 0.3), 8 * cos(i * 5), 8 * sin(i * 3)] FROM generate_series(151, 9000) AS i;
ANALYZE asked;
SET work_mem = '64kB';
SELECT same($$SELECT q.id, n.* FROM asked q CROSS JOIN LATERAL (SELECT i.id, i.v <-> q.v AS d FROM item i WHERE i.id <= 60 ORDER BY d LIMIT 2) n$$);
RESET work_mem;
-- Inner rows are kept within it too: the wider they are, the more passes.
CREATE FUNCTION passes(query text) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    plan json;
BEGIN
    EXECUTE 'EXPLAIN (ANALYZE, TIMING OFF, SUMMARY OFF, FORMAT JSON) ' || query INTO plan;
    RETURN (regexp_match(plan::text, '"Passes": (\d+)'))[1];
END $$;
CREATE TABLE broad AS SELECT id, repeat('x', 1000) AS text, v FROM asked;
ANALYZE broad;
SET work_mem = '4MB';
SELECT passes('SELECT n.id FROM asked q CROSS JOIN LATERAL (SELECT i.id FROM broad i ORDER BY i.v <-> q.v LIMIT 10) n') BETWEEN 2 AND 9 AS few,
       passes('SELECT n.text FROM asked q CROSS JOIN LATERAL (SELECT i.text FROM broad i ORDER BY i.v <-> q.v LIMIT 10) n') BETWEEN 10 AND 60 AS more;
RESET work_mem;
DROP TABLE broad;
PREPARE near(int) AS SELECT sum(q.id), sum(n.id) FROM asked q CROSS JOIN LATERAL (SELECT i.id FROM item i WHERE i.grp = $1 ORDER BY i.v <-> q.v LIMIT 2) n;
SET plan_cache_mode = force_generic_plan;
EXPLAIN (COSTS OFF) EXECUTE near(1);
EXECUTE near(1);
EXECUTE near(2);
SET pgnear.enable_knn_join = off;
PREPARE looped(int) AS SELECT sum(q.id), sum(n.id) FROM asked q CROSS JOIN LATERAL (SELECT i.id FROM item i WHERE i.grp = $1 ORDER BY i.v <-> q.v LIMIT 2) n;
EXECUTE looped(1);
EXECUTE looped(2);
RESET pgnear.enable_knn_join;
BEGIN;
DECLARE near CURSOR FOR SELECT q.id, n.id FROM asked q CROSS JOIN LATERAL (SELECT i.id FROM item i ORDER BY i.v <-> q.v LIMIT 2) n;
FETCH 3 FROM near;
CLOSE near;
COMMIT;
CREATE TABLE kept AS SELECT q.id AS q, n.id FROM asked q CROSS JOIN LATERAL (SELECT i.id FROM item i ORDER BY i.v <-> q.v LIMIT 2) n;
INSERT INTO kept SELECT q.id, n.id FROM asked q CROSS JOIN LATERAL (SELECT i.id FROM item i ORDER BY i.v <-> q.v LIMIT 1) n;
SELECT count(*), count(DISTINCT q) FROM kept;
UPDATE kept SET id = 0 FROM asked q CROSS JOIN LATERAL (SELECT i.id FROM item i ORDER BY i.v <-> q.v LIMIT 1) n WHERE kept.q = q.id AND kept.id = n.id;
SELECT count(*) FROM kept WHERE id = 0;

-- Rows that the user may not see are not there.
CREATE ROLE near_reader;
GRANT SELECT ON asked, item TO near_reader;
ALTER TABLE item ENABLE ROW LEVEL SECURITY;
CREATE POLICY odd ON item TO near_reader USING (id % 2 = 1);
SET ROLE near_reader;
SELECT count(*), count(*) FILTER (WHERE n.id % 2 = 1) FROM asked q CROSS JOIN LATERAL (SELECT i.id FROM item i ORDER BY i.v <-> q.v LIMIT 2) n;
RESET ROLE;
REVOKE SELECT ON item FROM near_reader;
SET ROLE near_reader;
SELECT count(*) FROM asked q CROSS JOIN LATERAL (SELECT i.id FROM item i ORDER BY i.v <-> q.v LIMIT 2) n;
RESET ROLE;
REVOKE ALL ON asked FROM near_reader;
DROP POLICY odd ON item;
DROP ROLE near_reader;
-- One of a few rows is found as fast one by one.
SELECT same($$SELECT q.id, n.* FROM (SELECT * FROM asked LIMIT 1) q CROSS JOIN LATERAL (SELECT i.id FROM item i ORDER BY i.v <-> q.v LIMIT 4) n$$);

\pset format unaligned
\pset tuples_only on
-- Plans without any setting: when the index is used, when not, and when exact search runs in parallel.
CREATE EXTENSION pgnear;
\set ECHO none
\i sql/support/ask.psql
\set ECHO all
CREATE TABLE base AS SELECT i AS id, (SELECT array_agg(sin(i * (j * j % 97 + 1)) ORDER BY j)::vector FROM generate_series(1, 64) AS j) AS v
FROM generate_series(1, 2000) AS i;
CREATE TABLE item (id int PRIMARY KEY, grp int, v vector(64));
INSERT INTO item SELECT base.id + g * 2000, base.id % 1000, v FROM base, generate_series(0, 9) AS g;
CREATE INDEX item_v ON item USING ivfflat (v vector_cosine_ops);
VACUUM ANALYZE item;
-- (Planning looks at the query's elements no further than its type: '[0]' stands for any.)

-- The nearest few of a large table.
EXPLAIN (COSTS OFF) SELECT id FROM item ORDER BY v <=> '[0]' LIMIT 10;
SELECT pg_temp.nodes($$SELECT id FROM item ORDER BY v <=> '[0]' LIMIT 10$$);
SELECT pg_temp.nodes($$SELECT id FROM item ORDER BY v <=> '[0]' LIMIT 1000$$);
PREPARE nearest(vector, int) AS SELECT id FROM item ORDER BY v <=> $1 LIMIT $2;
SET plan_cache_mode = force_generic_plan;
SELECT pg_temp.nodes('EXECUTE nearest(NULL, 5)');
RESET plan_cache_mode;
SET ivfflat.probes = 10;
SELECT pg_temp.nodes($$SELECT id FROM item ORDER BY v <=> '[0]' LIMIT 10$$);
SET ivfflat.iterative_scan = relaxed_order;
SELECT pg_temp.nodes($$SELECT id FROM item ORDER BY v <=> '[0]' LIMIT 10$$);
RESET ivfflat.iterative_scan;
RESET ivfflat.probes;
-- Not all rows, of which an index of lists gives a part only; not by another operator.
EXPLAIN (COSTS OFF) SELECT id FROM item ORDER BY v <=> '[0]';
SELECT pg_temp.nodes($$SELECT id FROM item WHERE v <=> '[0]' < 0.5$$);
SELECT pg_temp.nodes($$SELECT id FROM item WHERE v <=> '[0]' < 0.5 ORDER BY v <=> '[0]'$$);
SELECT pg_temp.nodes($$SELECT id FROM item ORDER BY v <-> '[0]' LIMIT 10$$);

-- A condition: one that few rows meet is left to the index on it, one that many meet is filtered.
CREATE INDEX item_grp ON item (grp);
EXPLAIN (COSTS OFF) SELECT id FROM item WHERE grp = 7 ORDER BY v <=> '[0]' LIMIT 10;
EXPLAIN (COSTS OFF) SELECT id FROM item WHERE grp < 500 ORDER BY v <=> '[0]' LIMIT 10;
EXPLAIN (COSTS OFF) SELECT id FROM item WHERE id IN (1, 2, 3) ORDER BY v <=> '[0]' LIMIT 10;

-- Of two indexes the one that reads less: more lists, or only the rows asked for.
CREATE INDEX item_v10 ON item USING ivfflat (v vector_cosine_ops) WITH (lists = 10);
EXPLAIN (COSTS OFF) SELECT id FROM item ORDER BY v <=> '[0]' LIMIT 10;
CREATE INDEX item_v_grp ON item USING ivfflat (v vector_cosine_ops) WITH (lists = 10) WHERE grp < 100;
EXPLAIN (COSTS OFF) SELECT id FROM item WHERE grp < 100 ORDER BY v <=> '[0]' LIMIT 10;
DROP INDEX item_v10, item_v_grp;

-- A small table is read as it is.
CREATE TABLE small AS SELECT * FROM item WHERE id <= 60;
CREATE INDEX small_v ON small USING ivfflat (v vector_cosine_ops) WITH (lists = 10);
ANALYZE small;
EXPLAIN (COSTS OFF) SELECT id FROM small ORDER BY v <=> '[0]' LIMIT 10;

-- Exact search over a large table, in parallel. Workers share the computing, not, in the planner's
-- eyes, the reading.
CREATE TABLE large (id int, v vector(64)) WITH (autovacuum_enabled = off);
INSERT INTO large SELECT base.id + g * 2000, v FROM base, generate_series(0, 49) AS g;
ANALYZE large;
EXPLAIN (COSTS OFF) SELECT id FROM large ORDER BY v <-> '[0]' LIMIT 10;
-- Parallel or not, the answer is the same.
CREATE FUNCTION pg_temp.nearest() RETURNS text LANGUAGE sql AS
    'SELECT string_agg(id || '' '' || d, '','') FROM (SELECT id, v <-> (SELECT v FROM base WHERE id = 1234) AS d FROM large ORDER BY 2, 1 LIMIT 60) AS answer';
CREATE TABLE answer AS SELECT pg_temp.nearest() AS nearest;
SET max_parallel_workers_per_gather = 0;
INSERT INTO answer SELECT pg_temp.nearest();
RESET max_parallel_workers_per_gather;
SELECT count(*), count(DISTINCT nearest) FROM answer;

-- What a distance costs grows with the dimensions, and by far with vectors out of line; so too by the
-- name of its function, and for every type.
CREATE FUNCTION pg_temp.cost(query text) RETURNS numeric LANGUAGE plpgsql AS $$
DECLARE
    plan json;
BEGIN
    EXECUTE 'EXPLAIN (FORMAT json) ' || query INTO plan;
    RETURN plan->0->'Plan'->>'Total Cost';
END
$$;
CREATE TABLE costs (v2 vector(2), v400 vector(400), v700 vector(700), v2000 vector(2000), h2 halfvec(2), h900 halfvec(900), h1100 halfvec(1100),
    s2 sparsevec(2), s400 sparsevec(400), b8 bit(8), b15000 bit(15000));
INSERT INTO costs (v2) SELECT '[1,2]' FROM generate_series(1, 5000);
ANALYZE costs;
CREATE TABLE cost AS SELECT kind, distance, pg_temp.cost(format('SELECT %s FROM costs', distance)) - pg_temp.cost(format('SELECT %s FROM costs', kind)) AS cost
FROM (VALUES ('v2', 'v2 <-> ''[1]'''), ('v400', 'v400 <-> ''[1]'''), ('v700', 'v700 <-> ''[1]'''), ('v2000', 'v2000 <-> ''[1]'''),
             ('v700', 'l2_distance(v700, ''[1]'')'), ('h2', 'h2 <#> ''[1]'''), ('h900', 'h900 <#> ''[1]'''), ('h1100', 'h1100 <#> ''[1]'''),
             ('s2', 's2 <=> ''{1:1}/2'''), ('s400', 's400 <=> ''{1:1}/2'''), ('b8', 'b8 <~> ''1'''), ('b15000', 'b15000 <~> ''1''')) AS list(kind, distance);
SELECT distance, cost > 0 AS costs, cost > lag(cost) OVER (PARTITION BY left(kind, 1) ORDER BY cost) AS more,
       cost > 10 * lag(cost) OVER (PARTITION BY left(kind, 1) ORDER BY cost) AS tenfold
FROM cost WHERE distance NOT LIKE 'l2_%' ORDER BY left(kind, 1), cost;
SELECT count(*), count(DISTINCT cost) FROM cost WHERE kind = 'v700';
-- Statistics say how many elements a sparse vector holds, which its dimensions do not, and whether values
-- lie in their rows, which their sizes do not.
CREATE TABLE stored (few sparsevec(1000000), dozens sparsevec(1000000), hundreds sparsevec(1000000), beside vector(700), apart vector(700)) WITH (autovacuum_enabled = off);
ALTER TABLE stored ALTER beside SET STORAGE plain;
CREATE FUNCTION pg_temp.sparse(elements int) RETURNS sparsevec LANGUAGE sql AS
    $$SELECT format('{%s}/1000000', string_agg(i || ':1', ',' ORDER BY i))::sparsevec FROM generate_series(1, elements) AS i$$;
INSERT INTO stored
SELECT few, dozens, hundreds, v, v
FROM pg_temp.sparse(3) AS few, pg_temp.sparse(100) AS dozens, pg_temp.sparse(600) AS hundreds, (SELECT array_fill(0.5, ARRAY[700])::vector) AS v (v),
     generate_series(1, 300);
CREATE VIEW pg_temp.costs_of_stored AS
SELECT name, pg_temp.cost(format('SELECT %I <-> %L FROM stored', name, query)) - pg_temp.cost(format('SELECT %I FROM stored', name)) AS cost
FROM (VALUES ('few', '{}/1'), ('dozens', '{}/1'), ('hundreds', '{}/1'), ('beside', '[1]'), ('apart', '[1]')) AS list(name, query);
SELECT string_agg(name, ', ' ORDER BY name) AS alike FROM pg_temp.costs_of_stored GROUP BY cost ORDER BY cost;
ANALYZE stored;
SELECT string_agg(name, ', ' ORDER BY cost) AS by_cost, count(DISTINCT cost) FROM pg_temp.costs_of_stored;

-- The same of hnsw: the nearest few of a large table, of each type; not all rows, nor those of a
-- small table.
DROP TABLE small;
DROP INDEX item_v, item_grp;
CREATE INDEX item_graph ON item USING hnsw (v vector_cosine_ops) WITH (m = 8, ef_construction = 20);
EXPLAIN (COSTS OFF) SELECT id FROM item ORDER BY v <=> '[0]' LIMIT 10;
SELECT pg_temp.nodes($$SELECT id FROM item ORDER BY v <=> '[0]' LIMIT 40$$);
SET plan_cache_mode = force_generic_plan;
SELECT pg_temp.nodes('EXECUTE nearest(NULL, 5)');
RESET plan_cache_mode;
SET hnsw.ef_search = 200;
SELECT pg_temp.nodes($$SELECT id FROM item ORDER BY v <=> '[0]' LIMIT 10$$);
SET hnsw.iterative_scan = strict_order;
SELECT pg_temp.nodes($$SELECT id FROM item ORDER BY v <=> '[0]' LIMIT 10$$);
RESET hnsw.iterative_scan;
RESET hnsw.ef_search;
EXPLAIN (COSTS OFF) SELECT id FROM item ORDER BY v <=> '[0]';
SELECT pg_temp.nodes($$SELECT id FROM item WHERE v <=> '[0]' < 0.5 ORDER BY v <=> '[0]'$$);
SELECT pg_temp.nodes($$SELECT id FROM item ORDER BY v <-> '[0]' LIMIT 10$$);
-- A condition that few rows meet is left to the index on it.
CREATE INDEX item_grp ON item (grp);
EXPLAIN (COSTS OFF) SELECT id FROM item WHERE grp = 7 ORDER BY v <=> '[0]' LIMIT 10;
EXPLAIN (COSTS OFF) SELECT id FROM item WHERE grp < 500 ORDER BY v <=> '[0]' LIMIT 10;
CREATE INDEX item_part ON item USING hnsw (v vector_cosine_ops) WHERE grp < 10;
EXPLAIN (COSTS OFF) SELECT id FROM item WHERE grp < 10 ORDER BY v <=> '[0]' LIMIT 10;
CREATE TABLE small AS SELECT * FROM item WHERE id <= 60;
CREATE INDEX small_graph ON small USING hnsw (v vector_cosine_ops);
ANALYZE small;
EXPLAIN (COSTS OFF) SELECT id FROM small ORDER BY v <=> '[0]' LIMIT 10;
CREATE TABLE other (id int, h halfvec(64), b bit(64), s sparsevec(1000000000));
INSERT INTO other SELECT id, v, binary_quantize(v), format('{%s:1,%s:2}/1000000000', id, 1000000 + id % 97)::sparsevec FROM item;
ANALYZE other;
CREATE INDEX other_h ON other USING hnsw (h halfvec_l1_ops) WITH (m = 4, ef_construction = 8);
CREATE INDEX other_b ON other USING hnsw (b bit_jaccard_ops) WITH (m = 4, ef_construction = 8);
CREATE INDEX other_s ON other USING hnsw (s sparsevec_ip_ops) WITH (m = 4, ef_construction = 8);
EXPLAIN (COSTS OFF) SELECT id FROM other ORDER BY h <+> '[0]' LIMIT 10;
EXPLAIN (COSTS OFF) SELECT id FROM other ORDER BY b <%> repeat('01', 32)::bit(64) LIMIT 10;
EXPLAIN (COSTS OFF) SELECT id FROM other ORDER BY s <#> '{1:1}/1000000000' LIMIT 10;

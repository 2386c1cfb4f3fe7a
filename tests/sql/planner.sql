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

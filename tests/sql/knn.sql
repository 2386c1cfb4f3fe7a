\pset format unaligned
\pset tuples_only on
-- pgnear_knn: exact search of many queries in one pass over the rows.
CREATE EXTENSION pgnear;
\set ECHO none
\i sql/support/ask.psql
\set ECHO all
CREATE TABLE item (id int PRIMARY KEY, name text, v vector(3), h halfvec(3));
INSERT INTO item SELECT i, 'row ' || i, v, v FROM generate_series(1, 500) AS i,
    LATERAL (SELECT ARRAY[sin(i), cos(i * 7), sin(i * i)]::vector(3) AS v) AS v;
INSERT INTO item VALUES (501, 'none', NULL, NULL);
CREATE TABLE query (id bigint, q vector(3), h halfvec(3));
INSERT INTO query SELECT i, v, v FROM generate_series(1, 40) AS i, LATERAL (SELECT ARRAY[i * 3 % 7, sin(i), 1]::vector(3) AS v) AS v;

SELECT * FROM pgnear_knn('SELECT id, q FROM query WHERE id < 3', 'SELECT id, v FROM item', 3) AS near(query bigint, id int, distance float8);
-- The same rows and distances, to the bit, as a search of each.
CREATE FUNCTION same(queries text, rows text, k int, operator text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    differences bigint;
    found bigint;
BEGIN
    EXECUTE format('
        WITH one AS (SELECT * FROM pgnear_knn(%1$L, %2$L, %3$s, %4$L) AS near(query bigint, id int, distance float8)),
             other AS (SELECT q.a, near.* FROM (%1$s) AS q(a, b),
                           LATERAL (SELECT r.a, r.b OPERATOR(public.%4$s) q.b FROM (%2$s) AS r(a, b) WHERE r.b IS NOT NULL ORDER BY 2, 1 LIMIT %3$s) AS near)
        SELECT (SELECT count(*) FROM ((TABLE one EXCEPT TABLE other) UNION ALL (TABLE other EXCEPT TABLE one)) AS all_of_them), (SELECT count(*) FROM one)',
        queries, rows, k, operator) INTO differences, found;
    RETURN format('%s differences, %s rows', differences, found);
END
$$;
SELECT operator, same('SELECT id, q FROM query', 'SELECT id, v FROM item', 7, operator) AS vector,
       same('SELECT id, h FROM query', 'SELECT id, h FROM item', 7, operator) AS halfvec
FROM unnest(ARRAY['<->', '<#>', '<=>', '<+>']) AS operator;
SET pgnear.max_threads = 3;
SELECT same('SELECT id, q FROM query', 'SELECT id, v FROM item', 600, '<->');
SET pgnear.max_threads = 1;
SELECT same('SELECT id, q FROM query', 'SELECT id, v FROM item', 600, '<->');
RESET pgnear.max_threads;
-- More queries than work_mem holds go through the rows in turn.
SET work_mem = '64kB';
SELECT count(*), count(DISTINCT query), sum(distance) = 0 AS itself
FROM pgnear_knn('SELECT i, v FROM item, generate_series(1, 10) AS i WHERE v IS NOT NULL', 'SELECT id, v FROM item', 1) AS near(query int, id int, distance float8);
SELECT count(*) FROM pgnear_knn('SELECT id, v FROM item, generate_series(1, 10)', 'SELECT id, v FROM item', 1) AS near(query int, id int, distance float8);
RESET work_mem;

-- Ids of any type, also none, also twice; rows in any order, of any source.
SELECT * FROM pgnear_knn('SELECT NULL::uuid, ''[1,1,1]''::vector', 'SELECT name, v FROM item', 2, '<=>') AS near(query uuid, id text, distance float8);
SELECT * FROM pgnear_knn('SELECT point(id, 0)::text, q FROM query WHERE id = 5', 'SELECT 1, v FROM item', 2) AS near(query text, id int, distance float8);
SELECT near.query, item.name, near.distance < 0.5 AS near
FROM pgnear_knn('SELECT id, v FROM item WHERE id IN (7, 8)', 'SELECT id, v FROM item', 2) AS near(query int, id int, distance float8) JOIN item USING (id);
-- Equally near rows come as they came: the first.
SELECT array_agg(id) FROM pgnear_knn('SELECT 1, ''[1,1,1]''::vector', 'SELECT i, ''[1,2,3]''::vector FROM generate_series(10, 1, -1) AS i', 4) AS near(query int, id int, distance float8);

-- Near-duplicates: all rows up to a distance.
SELECT query, id FROM pgnear_knn('SELECT id, v FROM item', 'SELECT id, v FROM item', 100, '<->', 0.05) AS near(query int, id int, distance float8)
WHERE query < id ORDER BY distance, query LIMIT 5;
SELECT count(*), max(distance) <= 0.5 AS near FROM pgnear_knn('SELECT id, v FROM item', 'SELECT id, v FROM item', 1000, '<->', 0.5) AS near(query int, id int, distance float8);
SELECT count(*) FROM item AS a, item AS b WHERE a.v <-> b.v <= 0.5;

-- Nothing to find, or nobody who asks.
SELECT count(*) FROM pgnear_knn('SELECT id, q FROM query', 'SELECT id, v FROM item', 0) AS near(query bigint, id int, distance float8);
SELECT count(*) FROM pgnear_knn('SELECT id, q FROM query WHERE false', 'SELECT id, v FROM item', 5) AS near(query bigint, id int, distance float8);
SELECT count(*) FROM pgnear_knn('SELECT id, q FROM query', 'SELECT id, v FROM item WHERE false', 5) AS near(query bigint, id int, distance float8);
SELECT count(*) FROM pgnear_knn('SELECT id, v FROM item WHERE v IS NULL', 'SELECT id, v FROM item', 5) AS near(query int, id int, distance float8);

-- What cannot be.
SELECT pg_temp.try(format('SELECT * FROM pgnear_knn(%L, %L, %s) AS near(query %s, id %s, distance float8)', queries, rows, rest, query_type, id_type))
FROM (VALUES
    ('SELECT id, q FROM query', 'SELECT id, v FROM item', '-1', 'bigint', 'int'),
    ('SELECT id, q FROM query', 'SELECT id, v FROM item', 'NULL', 'bigint', 'int'),
    ('SELECT id, q FROM query', 'SELECT id, v FROM item', '1, ''<~>''', 'bigint', 'int'),
    ('SELECT id, q FROM query', 'SELECT id, v FROM item', '1', 'int', 'int'),
    ('SELECT id, q FROM query', 'SELECT id, v, name FROM item', '1', 'bigint', 'int'),
    ('SELECT id, q FROM query', 'SELECT id, name FROM item', '1', 'bigint', 'int'),
    ('SELECT id, q FROM query', 'SELECT id, h FROM item', '1', 'bigint', 'int'),
    ('SELECT id, q FROM query', 'SELECT id, v FROM nothing', '1', 'bigint', 'int'),
    ('SELECT id, q FROM query', 'DELETE FROM item RETURNING id, v', '1', 'bigint', 'int'),
    ('VACUUM', 'SELECT id, v FROM item', '1', 'bigint', 'int'),
    ('', 'SELECT id, v FROM item', '1', 'bigint', 'int'),
    ('SELECT id, q FROM query', 'SELECT 1, ''[1,2]''::vector', '1', 'bigint', 'int'),
    ('SELECT 1, ''[1,2]''::vector UNION ALL SELECT 2, ''[1,2,3]''', 'SELECT id, v FROM item', '1', 'int', 'int'),
    ('SELECT id, q FROM query', 'SELECT id, v FROM item WHERE 1 / (id - 300) > -1', '1', 'bigint', 'int')
) AS list(queries, rows, rest, query_type, id_type);
SELECT count(*) FROM item;

-- It is the caller who reads: with the caller's rights, and no rows that a policy hides.
CREATE ROLE t_knn_reader;
GRANT SELECT ON item TO t_knn_reader;
ALTER TABLE item ENABLE ROW LEVEL SECURITY;
CREATE POLICY odd ON item TO t_knn_reader USING (id % 2 = 1);
SET ROLE t_knn_reader;
SELECT count(*), count(*) FILTER (WHERE id % 2 = 0) AS hidden
FROM pgnear_knn('SELECT id, v FROM item', 'SELECT id, v FROM item', 3) AS near(query int, id int, distance float8);
SELECT pg_temp.try('SELECT * FROM pgnear_knn(''SELECT id, q FROM query'', ''SELECT id, v FROM item'', 1) AS near(query bigint, id int, distance float8)');
RESET ROLE;
DROP OWNED BY t_knn_reader;
DROP ROLE t_knn_reader;

-- A cancel ends it.
SET statement_timeout = '100ms';
SELECT count(*) FROM pgnear_knn('SELECT a.id, a.v FROM item a, item b, item c', 'SELECT a.id, a.v FROM item a, item b', 1) AS near(query int, id int, distance float8);
RESET statement_timeout;
SELECT count(*) FROM pgnear_knn('SELECT id, q FROM query', 'SELECT id, v FROM item', 2) AS near(query bigint, id int, distance float8);

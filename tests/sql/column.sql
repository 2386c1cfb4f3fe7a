-- Columns: NULLs, domains, arrays, composite types, defaults, storage, statistics, views.
CREATE EXTENSION pgnear;
\set ECHO none
\i sql/support/ask.psql
\set ECHO all
CREATE TABLE t (id int, v vector(3) DEFAULT '[0,0,0]', h halfvec, s sparsevec(3));
INSERT INTO t (id) VALUES (1);
INSERT INTO t VALUES (2, NULL, NULL, NULL), (3, '[1,2,3]', '[1,2]', '{1:1}/3');
SELECT * FROM t ORDER BY id;
SELECT id, v <-> '[1,2,3]' FROM t ORDER BY v <-> '[1,2,3]', id;
SELECT id FROM t WHERE v <-> '[0,0,1]' < 2 ORDER BY id;
UPDATE t SET v = v + '[1,1,1]' WHERE id = 3;
SELECT v FROM t WHERE id = 3;
SELECT attname, format_type(atttypid, atttypmod), attstorage, attlen
FROM pg_attribute WHERE attrelid = 't'::regclass AND attnum > 1 ORDER BY attnum;

-- A long vector lies out of line, uncompressed, and comes back.
CREATE TABLE long (v vector(16000), h halfvec(16000), s sparsevec);
INSERT INTO long SELECT a, a, a FROM (SELECT array_agg(i % 100) AS a FROM generate_series(1, 16000) i) x;
SELECT vector_dims(v), vector_dims(h), v = h::vector, s::vector = v, pg_column_size(v), pg_column_size(h), pg_column_size(s) FROM long;
SELECT v <-> h::vector, l1_distance(v, v), subvector(v, 15999, 2) FROM long;

-- ANALYZE keeps statistics (values wider than 1 kB are left out of them).
CREATE TABLE a AS SELECT i AS id, ARRAY[i % 4, i]::vector(2) AS v, ARRAY[i % 4]::halfvec(1) AS h FROM generate_series(1, 1000) i;
ANALYZE a;
SELECT attname, null_frac, avg_width, n_distinct, cardinality(most_common_vals::text::text[]) AS common
FROM pg_stats WHERE tablename = 'a' ORDER BY attname;

-- Domains.
CREATE DOMAIN unit AS vector(2) CHECK (vector_norm(VALUE) = 1);
SELECT pg_temp.ask($$
'[0,1]'::unit
'[1,1]'::unit
'[1,0,0]'::unit
'[0,1]'::unit <-> '[0,0]'
'[0,1]'::unit + '[0,1]'
vector_dims('[0,1]'::unit)
$$);

-- Arrays of vectors, composite types.
CREATE TABLE many (vs vector(2)[], hs halfvec[], ss sparsevec[]);
INSERT INTO many VALUES ('{"[1,2]","[3,4]",NULL}', ARRAY['[1]', '[1,2]']::halfvec[], ARRAY['{1:1}/2'::sparsevec]);
SELECT vs, hs, ss, vs[2], array_length(vs, 1), vs @> ARRAY['[3,4]'::vector] FROM many;
SELECT unnest(vs) FROM many;
SELECT pg_temp.ask($$
'{"[1,2,3]"}'::vector(2)[]
'{"[1,2]"}'::vector(2)[]
ARRAY['[1,2]'::vector, '[3]']
array_agg(v)::text FROM unnest('{"[1,2]","[3,4]"}'::vector[]) v
'[1,2]'::vector = ANY ('{"[1,2]","[3,4]"}'::vector[])
array_position('{"[1,2]","[3,4]"}'::vector[], '[3,4]')
'[1,2]'::vector IN ('[1,2]', '[2,3]')
greatest('[1,2]'::vector, '[1,3]', NULL)
coalesce(NULL, '[1,2]'::halfvec)
CASE WHEN true THEN '[1]'::vector ELSE '[2]' END
ROW('[1,2]'::vector, 1)
ROW('[1,2]'::vector) < ROW('[1,3]'::vector)
to_jsonb('[1,2]'::vector)
to_json('{1:1}/2'::sparsevec)
array_to_string('{"[1,2]"}'::vector[], ';')
format('%s', '[1,2]'::vector)
'[1,2]'::vector IS NULL
'[1,2]'::vector IS DISTINCT FROM NULL
nullif('[1,2]'::vector, '[1,2]')
$$);

-- Generated columns, check constraints, expression indexes, prepared statements.
CREATE TABLE g (v vector(2), n float8 GENERATED ALWAYS AS (vector_norm(v)) STORED, b bit(2) GENERATED ALWAYS AS (binary_quantize(v)::bit(2)) STORED, CHECK (vector_norm(v) > 0));
INSERT INTO g VALUES ('[3,-4]');
SELECT * FROM g;
SELECT pg_temp.try($$INSERT INTO g VALUES ('[0,0]')$$);
CREATE INDEX ON g (l2_normalize(v));
CREATE INDEX ON g (v) WHERE v <> '[0,0]';
PREPARE near(vector) AS SELECT v FROM g ORDER BY v <-> $1 LIMIT 1;
EXECUTE near('[1,1]');
PREPARE near_untyped AS SELECT v <-> $1, $1 <=> v, v + $1 FROM g;
EXECUTE near_untyped('[3,-4]');
SELECT pg_temp.try($$EXECUTE near('[1,1,1]')$$);
SELECT pg_temp.try($$EXECUTE near('x')$$);

-- Views and functions over vectors.
CREATE VIEW w AS SELECT v <-> '[0,0]' AS d, v::halfvec(2) AS h FROM g;
SELECT * FROM w;
CREATE FUNCTION twice(vector) RETURNS vector LANGUAGE sql IMMUTABLE AS 'SELECT $1 + $1';
SELECT twice('[1,2]');
CREATE FUNCTION loop_vector() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v vector(2) := '[1,2]';
    h halfvec;
BEGIN
    v := v + '[1,1]';
    h := v;
    v := ARRAY[h <-> '[2,3]', 7];
    RETURN v::text || h::text;
END $$;
SELECT loop_vector();

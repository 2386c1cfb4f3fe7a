-- Beyond pgvector: numbers as factors, subscripts, further arrays, JSON.
CREATE EXTENSION pgnear;
\set ECHO none
\i sql/support/ask.psql
\set ECHO all
-- A vector times or by a number of any type.
PREPARE typed(float8, int) AS SELECT '[1,2]'::vector * $1, $2 * '[1,2]'::halfvec;
EXECUTE typed(2, 3);
SELECT pg_temp.ask($$
'[1,2,-3]'::vector * 2
'[1,2,-3]'::vector * 2.5
2.5 * '[1,2,-3]'::vector
'[1,2]'::vector * 2::smallint
2::bigint * '[1,2]'::vector
'[1,2]'::vector * 2::real
'[1,2]'::vector * '2'::float8
'[1,2]'::vector / 2
'[1,2]'::vector / 4::numeric
2 / '[1,2]'::vector
'[1,2,-3]'::halfvec * 2
0.5 * '[1,2,-3]'::halfvec
'[1,2]'::halfvec / 2
pg_typeof('[1]'::halfvec * 2)
pg_typeof(2 * '[1]'::vector)
'{1:1}/2'::sparsevec * 2
'[1,2]'::vector * 0
'[1,2]'::vector * 0.1
'[1,2]'::vector / 3
'[1,2]'::vector * NULL::int
NULL::vector * 2
'[1,2]'::vector / 0
'[1,2]'::halfvec / 0
'[1,2]'::vector * 1e39
'[3e38]'::vector * 2
'[3e38]'::vector / 0.1
'[40000]'::halfvec * 2
'[1e-40]'::vector * 1e-40
'[1e-7]'::halfvec * 1e-7
'[1,2]'::vector * 'NaN'::float8
'[1,2]'::vector * 'Infinity'::float8
'[1,2]'::vector / 'Infinity'::float8
'[1,2]'::halfvec / 'NaN'::float8
2 * '[1,2]'::vector <-> '[2,4]'
$$);

-- Elements, counted from 1.
CREATE TABLE t (id int, v vector(3), h halfvec(3));
INSERT INTO t VALUES (1, '[1,2.5,-3]', '[1,2.5,-3]'), (2, NULL, NULL);
SELECT id, v[1], v[2], h[3], v[0], v[4], v[NULL], v[id + 1], pg_typeof(v[1]), pg_typeof(h[1]) FROM t ORDER BY id;
SELECT id FROM t WHERE v[2] > 2 ORDER BY h[1];
CREATE INDEX ON t ((v[1]));
SELECT pg_temp.ask($$
('[1,2]'::vector)[2]
('[1,2]'::halfvec)[-1]
('[1,2]'::vector)[2147483647]
('[1,2]'::vector)['1']
('[1,2]'::vector)[1.6]
('[1,2]'::vector)[2::bigint]
('[1,2]'::vector)['x']
('[1,2]'::vector)[true]
('[1,2]'::vector)[1:2]
('[1,2]'::vector)[:]
('[1,2]'::vector)[1][1]
('{1:1}/2'::sparsevec)[1]
('{"[1,2]","[3,4]"}'::vector[])[2]
(('{"[1,2]","[3,4]"}'::vector[])[2])[1]
sum(v[1] * v[2]) FROM t
$$);
SELECT pg_temp.try($$UPDATE t SET v[1] = 2$$);
SELECT pg_temp.try($$INSERT INTO t (v[1]) VALUES (1)$$);
-- Long values lie out of line.
CREATE TABLE long AS SELECT array_agg(i)::vector AS v FROM generate_series(1, 16000) i;
SELECT v[1], v[16000], v[16001] FROM long;

-- Arrays of bigint and smallint, on assignment and by cast as integer[].
SELECT pg_temp.ask($$
'{1,0,-3}'::bigint[]::vector
'{1,0,-3}'::smallint[]::vector(3)
'{1,0,-3}'::bigint[]::halfvec
'{1,0,-3}'::smallint[]::halfvec
'{1,0,-3}'::bigint[]::sparsevec
'{1,0,-3}'::smallint[]::sparsevec
'{1,2}'::bigint[]::vector(3)
'{1,NULL}'::bigint[]::vector
'{{1}}'::smallint[]::vector
'{}'::bigint[]::vector
'{9223372036854775807}'::bigint[]::vector
'{70000}'::bigint[]::halfvec
'{32767,-32768}'::smallint[]::halfvec
'[1,2]'::vector <-> '{1,2}'::bigint[]
$$);
CREATE TABLE a (v vector, h halfvec, s sparsevec);
INSERT INTO a SELECT b, b, b FROM (SELECT array_agg(i::bigint) AS b FROM generate_series(1, 3) i) x;
INSERT INTO a SELECT b, b, b FROM (SELECT array_agg(i::smallint) AS b FROM generate_series(1, 3) i) x;
SELECT * FROM a;

-- A JSON array of numbers, by cast only.
SELECT pg_temp.ask($$
'[1, 2.5, -3e2]'::jsonb::vector
'[1, 2.5, -3e2]'::jsonb::vector(3)
'[1, 2.5]'::jsonb::vector(3)
'[1, 2.5]'::jsonb::halfvec
'[1, 2.5]'::jsonb::vector::sparsevec
('{"embedding": [1, 2]}'::jsonb -> 'embedding')::vector
NULL::jsonb::vector
'[]'::jsonb::vector
'[1, null]'::jsonb::vector
'["1"]'::jsonb::vector
'[[1]]'::jsonb::vector
'{"a": 1}'::jsonb::vector
'1'::jsonb::vector
'"[1,2]"'::jsonb::vector
'null'::jsonb::vector
'[1e39]'::jsonb::vector
'[1e5]'::jsonb::halfvec
'[1e400]'::jsonb::vector
'[1]'::json::vector
'[1,2]'::vector <-> '[1,2]'::jsonb
$$);
SELECT pg_temp.try($$INSERT INTO a (v) VALUES ('[1, 2]'::jsonb)$$);

-- Casts: arrays, the types among each other, text, assignment.
CREATE EXTENSION pgnear;
\set ECHO none
\i sql/support/ask.psql
\set ECHO all
-- Arrays to vector.
SELECT pg_temp.ask($$
ARRAY[1,0,3]::vector
ARRAY[1.5,0.0,3.25]::vector
'{1,0,3}'::real[]::vector
'{1,0,3}'::double precision[]::vector
'{1,0,3}'::numeric[]::vector
'{1,0,3}'::integer[]::vector(3)
'{1,0,3}'::real[]::vector(2)
'{1,0,3}'::double precision[]::vector(3)
'{1,0,3}'::numeric[]::vector(4)
'{2147483647,-2147483648}'::integer[]::vector
'{16777217,0.1,1e-3}'::numeric[]::vector
'[0:2]={1,2,3}'::real[]::vector
'{NULL}'::real[]::vector
'{1,NULL}'::integer[]::vector
'{NaN}'::real[]::vector
'{NaN}'::numeric[]::vector
'{Infinity}'::real[]::vector
'{-Infinity}'::double precision[]::vector
'{Infinity}'::numeric[]::vector
'{}'::real[]::vector
'{{1}}'::real[]::vector
'{{1},{2}}'::integer[]::vector
'{4e38,-4e38}'::double precision[]::vector
'{1e400}'::numeric[]::vector
'{1e-46,-1e-46}'::double precision[]::vector
'{65520}'::real[]::vector
'{1e-8,-1e-8}'::real[]::vector
array_agg(n)::vector IS NULL FROM generate_series(1, 16001) n
array_to_vector(array_agg(n), 16001, false) IS NULL FROM generate_series(1, 16001) n
array_to_vector(ARRAY[1,2], -1, false)
'{a,b}'::text[]::vector
NULL::real[]::vector
$$);

-- Arrays to halfvec.
SELECT pg_temp.ask($$
ARRAY[1,0,3]::halfvec
ARRAY[1.5,0.0,3.25]::halfvec
'{1,0,3}'::real[]::halfvec
'{1,0,3}'::double precision[]::halfvec
'{1,0,3}'::numeric[]::halfvec
'{1,0,3}'::integer[]::halfvec(3)
'{1,0,3}'::real[]::halfvec(2)
'{1,0,3}'::double precision[]::halfvec(3)
'{1,0,3}'::numeric[]::halfvec(4)
'{2147483647,-2147483648}'::integer[]::halfvec
'{16777217,0.1,1e-3}'::numeric[]::halfvec
'[0:2]={1,2,3}'::real[]::halfvec
'{NULL}'::real[]::halfvec
'{1,NULL}'::integer[]::halfvec
'{NaN}'::real[]::halfvec
'{NaN}'::numeric[]::halfvec
'{Infinity}'::real[]::halfvec
'{-Infinity}'::double precision[]::halfvec
'{Infinity}'::numeric[]::halfvec
'{}'::real[]::halfvec
'{{1}}'::real[]::halfvec
'{{1},{2}}'::integer[]::halfvec
'{4e38,-4e38}'::double precision[]::halfvec
'{1e400}'::numeric[]::halfvec
'{1e-46,-1e-46}'::double precision[]::halfvec
'{65520}'::real[]::halfvec
'{1e-8,-1e-8}'::real[]::halfvec
array_agg(n)::halfvec IS NULL FROM generate_series(1, 16001) n
array_to_halfvec(array_agg(n), 16001, false) IS NULL FROM generate_series(1, 16001) n
array_to_halfvec(ARRAY[1,2], -1, false)
'{a,b}'::text[]::halfvec
NULL::real[]::halfvec
$$);

-- Arrays to sparsevec.
SELECT pg_temp.ask($$
ARRAY[1,0,3]::sparsevec
ARRAY[1.5,0.0,3.25]::sparsevec
'{1,0,3}'::real[]::sparsevec
'{1,0,3}'::double precision[]::sparsevec
'{1,0,3}'::numeric[]::sparsevec
'{1,0,3}'::integer[]::sparsevec(3)
'{1,0,3}'::real[]::sparsevec(2)
'{1,0,3}'::double precision[]::sparsevec(3)
'{1,0,3}'::numeric[]::sparsevec(4)
'{2147483647,-2147483648}'::integer[]::sparsevec
'{16777217,0.1,1e-3}'::numeric[]::sparsevec
'[0:2]={1,2,3}'::real[]::sparsevec
'{NULL}'::real[]::sparsevec
'{1,NULL}'::integer[]::sparsevec
'{NaN}'::real[]::sparsevec
'{NaN}'::numeric[]::sparsevec
'{Infinity}'::real[]::sparsevec
'{-Infinity}'::double precision[]::sparsevec
'{Infinity}'::numeric[]::sparsevec
'{}'::real[]::sparsevec
'{{1}}'::real[]::sparsevec
'{{1},{2}}'::integer[]::sparsevec
'{4e38,-4e38}'::double precision[]::sparsevec
'{1e400}'::numeric[]::sparsevec
'{1e-46,-1e-46}'::double precision[]::sparsevec
'{65520}'::real[]::sparsevec
'{1e-8,-1e-8}'::real[]::sparsevec
array_agg(n)::sparsevec IS NULL FROM generate_series(1, 16001) n
array_to_sparsevec(array_agg(n), 16001, false) IS NULL FROM generate_series(1, 16001) n
array_to_sparsevec(ARRAY[1,2], -1, false)
'{a,b}'::text[]::sparsevec
NULL::real[]::sparsevec
$$);

-- To arrays and between the types.
SELECT pg_temp.ask($$
'[1,2.5,-3]'::vector::real[]
'[1,2.5,-3]'::halfvec::real[]
'[1,2]'::vector::double precision[]
'[1,2]'::vector::integer[]
'{1:1}/2'::sparsevec::real[]
'[1,2,3]'::vector::halfvec
'[1,2,3]'::vector::halfvec(3)
'[1,2,3]'::vector::halfvec(2)
'[65519]'::vector::halfvec
'[65520]'::vector::halfvec
'[-3e38]'::vector::halfvec
'[1e-8]'::vector::halfvec
'[0,1.5,0,3.5,0]'::vector::sparsevec
'[0,1.5,0,3.5,0]'::vector::sparsevec(5)
'[0,1.5,0,3.5,0]'::vector::sparsevec(4)
'[0,-0]'::vector::sparsevec
'[1,2,3]'::halfvec::vector
'[1,2,3]'::halfvec::vector(3)
'[1,2,3]'::halfvec::vector(2)
'[0.1]'::halfvec::vector
'[0,1.5,0,3.5,0]'::halfvec::sparsevec
'[0,1.5,0,3.5,0]'::halfvec::sparsevec(5)
'[0,1.5,0,3.5,0]'::halfvec::sparsevec(4)
'{2:1.5,4:3.5}/5'::sparsevec::vector
'{2:1.5,4:3.5}/5'::sparsevec::vector(5)
'{2:1.5,4:3.5}/5'::sparsevec::vector(4)
vector_dims('{}/16000'::sparsevec::vector)
'{}/16001'::sparsevec::vector
'{2:1.5,4:3.5}/5'::sparsevec::halfvec
'{2:1.5,4:3.5}/5'::sparsevec::halfvec(5)
'{2:1.5,4:3.5}/5'::sparsevec::halfvec(4)
'{}/16001'::sparsevec::halfvec
'{1:65520}/1'::sparsevec::halfvec
'{1:1e-8}/1'::sparsevec::halfvec
array_fill(1, ARRAY[16000])::vector::sparsevec::vector = array_fill(1, ARRAY[16000])::vector
'[1,2]'::vector::text
'[1,2]'::text::vector
'[1,2]'::varchar::halfvec
'{1:1}/2'::text::sparsevec
'[1,2]'::text::vector(3)
'[1,2]'::vector::bytea
ARRAY[1,2,3] = ARRAY[1,2,3]
$$);

-- What assignment converts.
CREATE TABLE t (v vector(3), h halfvec(3), s sparsevec(3), r real[]);
INSERT INTO t (v) VALUES (ARRAY[1,2,3]), (ARRAY[1.5,2,3]), ('{1,2,3}'::real[]), ('[1,2,3]'::halfvec), ('{1:1}/3'::sparsevec);
INSERT INTO t (h) VALUES (ARRAY[1,2,3]), ('[1,2,3]'::vector), ('{1:1}/3'::sparsevec);
INSERT INTO t (s) VALUES (ARRAY[1,2,3]), ('[1,0,3]'::vector), ('[1,0,3]'::halfvec);
INSERT INTO t (r) VALUES ('[1,2,3]'::vector), ('[1,2,3]'::halfvec);
SELECT * FROM t;
SELECT pg_temp.try($$INSERT INTO t (v) VALUES ('[1,2]')$$);
SELECT pg_temp.try($$INSERT INTO t (v) VALUES (ARRAY[1,2])$$);
SELECT pg_temp.try($$INSERT INTO t (h) VALUES ('[1,2]'::vector)$$);
SELECT pg_temp.try($$INSERT INTO t (s) VALUES ('[1,2]'::vector)$$);
SELECT pg_temp.try($$INSERT INTO t (v) VALUES ('[1,2,3]'::text)$$);
SELECT pg_temp.try($$INSERT INTO t (v) VALUES (1)$$);
SELECT pg_temp.try($$INSERT INTO t (r) VALUES ('{1:1}/3'::sparsevec)$$);
ALTER TABLE t ALTER v TYPE halfvec(3), ALTER h TYPE vector(3);
SELECT pg_temp.try($$ALTER TABLE t ALTER v TYPE halfvec(2)$$);
SELECT count(v), count(h), pg_typeof((array_agg(v))[1]), pg_typeof((array_agg(h))[1]) FROM t;

-- The type sparsevec: text, comparison, distances.
CREATE EXTENSION pgnear;
\set ECHO none
\i sql/support/ask.psql
\set ECHO all
-- Text input and output.
SELECT pg_temp.ask($$
'{1:1.5,3:3.5}/5'::sparsevec
'{1:-2,3:-4}/5'::sparsevec
'{1:2.,3:.5}/5'::sparsevec
E' { 1 : 1.5 ,  3  :\t 3.5\n } / 5 '::sparsevec
'{1:1.23456}/1'::sparsevec
'{3:3,1:1,2:2}/3'::sparsevec
'{1:0,2:1,3:0}/3'::sparsevec
'{1:-0}/1'::sparsevec
'{1:hello,2:1}/2'::sparsevec
'{1:NaN,2:1}/2'::sparsevec
'{1:Infinity,2:1}/2'::sparsevec
'{1:-Infinity,2:1}/2'::sparsevec
'{1:1.5e38,2:-1.5e38}/2'::sparsevec
'{1:1.5e-38,2:-1.5e-38}/2'::sparsevec
'{1:4e38,2:1}/2'::sparsevec
'{1:-4e38,2:1}/2'::sparsevec
'{1:1e-46,2:1}/2'::sparsevec
'{1:-1e-46,2:1}/2'::sparsevec
''::sparsevec
'{'::sparsevec
'{ '::sparsevec
'{:'::sparsevec
'{,'::sparsevec
'{}'::sparsevec
'{}/'::sparsevec
'{}/1'::sparsevec
'{}/1a'::sparsevec
'{}/1 '::sparsevec
'{}/1 x'::sparsevec
'{ }/1'::sparsevec
'{:}/1'::sparsevec
'{,}/1'::sparsevec
'{1,}/1'::sparsevec
'{1}/1'::sparsevec
'{:1}/1'::sparsevec
'{1:}/1'::sparsevec
'{1a:1}/1'::sparsevec
'{1:1a}/1'::sparsevec
'{1:1,}/1'::sparsevec
'{1:1 2:2}/2'::sparsevec
'{1:1}5'::sparsevec
'{1:1}'::sparsevec
'[1,2]'::sparsevec
'1:1/1'::sparsevec
'{2:1,1:1}/2'::sparsevec
'{1:1,1:1}/2'::sparsevec
'{1:1,2:1,1:1}/2'::sparsevec
'{}/5'::sparsevec
'{}/0'::sparsevec
'{}/-1'::sparsevec
'{}/1000000000'::sparsevec
'{1000000000:1}/1000000000'::sparsevec
'{}/1000000001'::sparsevec
'{}/2147483648'::sparsevec
'{}/-2147483649'::sparsevec
'{}/9223372036854775808'::sparsevec
'{}/-9223372036854775809'::sparsevec
'{2147483647:1}/1'::sparsevec
'{2147483648:1}/1'::sparsevec
'{-2147483648:1}/1'::sparsevec
'{-2147483649:1}/1'::sparsevec
'{0:1}/1'::sparsevec
'{-1:1}/1'::sparsevec
'{2:1}/1'::sparsevec
'{1:1,2:2}/1'::sparsevec
length((SELECT '{' || string_agg(i || ':1', ',') || '}/16000' FROM generate_series(1, 16000) i)::sparsevec::text)
(SELECT '{' || string_agg(i || ':1', ',') || '}/20000' FROM generate_series(1, 16001) i)::sparsevec IS NULL
(SELECT '{' || string_agg(i || ':1', ',') || '}/20000' FROM generate_series(1, 16000) i)::sparsevec IS NULL
pg_column_size('{1:1,3:2}/5'::sparsevec)
$$);

-- The number of dimensions in the type.
SELECT pg_temp.ask($$
'{}/3'::sparsevec(3)
'{}/3'::sparsevec(2)
'{}/3'::sparsevec(3, 2)
'{}/3'::sparsevec('a')
'{}/3'::sparsevec(0)
'{}/3'::sparsevec(1000000000)
'{}/3'::sparsevec(1000000001)
format_type('sparsevec'::regtype, 3)
'{}/3'::sparsevec::sparsevec(2)
$$);

-- Comparison, as of the vectors written out.
SELECT pg_temp.ask($$
'{1:1,2:2,3:3}/3'::sparsevec < '{1:1,2:2,3:3}/3'
'{1:1,2:2,3:3}/3'::sparsevec < '{1:1,2:2}/2'
'{1:1,2:2,3:3}/3'::sparsevec <= '{1:1,2:2,3:3}/3'
'{1:1,2:2,3:3}/3'::sparsevec <= '{1:1,2:2}/2'
'{1:1,2:2,3:3}/3'::sparsevec = '{1:1,2:2,3:3}/3'
'{1:1,2:2,3:3}/3'::sparsevec = '{1:1,2:2}/2'
'{1:1}/2'::sparsevec = '{1:1}/3'
'{1:1,2:2,3:3}/3'::sparsevec <> '{1:1,2:2,3:3}/3'
'{1:1,2:2,3:3}/3'::sparsevec != '{1:1,2:2}/2'
'{1:1,2:2,3:3}/3'::sparsevec >= '{1:1,2:2,3:3}/3'
'{1:1,2:2,3:3}/3'::sparsevec >= '{1:1,2:2}/2'
'{1:1,2:2,3:3}/3'::sparsevec > '{1:1,2:2,3:3}/3'
'{1:1,2:2,3:3}/3'::sparsevec > '{1:1,2:2}/2'
sparsevec_cmp('{1:1,2:2,3:3}/3', '{1:1,2:2,3:3}/3')
sparsevec_cmp('{1:1,2:2,3:3}/3', '{}/3')
sparsevec_cmp('{}/3', '{1:1,2:2,3:3}/3')
sparsevec_cmp('{1:1,2:2}/2', '{1:1,2:2,3:3}/3')
sparsevec_cmp('{1:1,2:2,3:3}/3', '{1:1,2:2}/2')
sparsevec_cmp('{1:1,2:2}/2', '{1:2,2:3,3:4}/3')
sparsevec_cmp('{1:2,2:3}/2', '{1:1,2:2,3:3}/3')
sparsevec_cmp('{2:1}/2', '{1:1}/2')
sparsevec_cmp('{2:-1}/2', '{}/2')
sparsevec_cmp('{}/2', '{1:-1}/2')
sparsevec_cmp('{2:-1}/2', '{1:-1}/2')
sparsevec_cmp('{}/2', '{}/3')
sparsevec_cmp('{1:1}/2', '{1:1,3:-1}/3')
$$);

-- Distances and norms.
SELECT pg_temp.ask($$
l2_distance('{}/2'::sparsevec, '{1:3,2:4}/2')
l2_distance('{1:3}/2'::sparsevec, '{2:4}/2')
l2_distance('{2:4}/2'::sparsevec, '{1:3}/2')
l2_distance('{1:3,2:4}/2'::sparsevec, '{}/2')
l2_distance('{1:1}/1'::sparsevec, '{1:1}/2')
'{}/2'::sparsevec <-> '{1:3,2:4}/2'
inner_product('{1:1,2:2}/2'::sparsevec, '{1:2,2:4}/2')
inner_product('{1:1,2:2}/2'::sparsevec, '{1:3}/1')
inner_product('{1:1,3:3}/4'::sparsevec, '{2:2,4:4}/4')
inner_product('{2:2,4:4}/4'::sparsevec, '{1:1,3:3}/4')
inner_product('{1:1,3:3,5:5}/5'::sparsevec, '{2:4,3:6,4:8}/5')
inner_product('{1:1}/2'::sparsevec, '{}/2')
inner_product('{}/2'::sparsevec, '{1:1}/2')
inner_product('{1:3e38}/1'::sparsevec, '{1:3e38}/1')
'{1:1,2:2}/2'::sparsevec <#> '{1:3,2:4}/2'
'{1:1}/2'::sparsevec <#> '{}/2'
cosine_distance('{1:1,2:2}/2'::sparsevec, '{1:2,2:4}/2')
cosine_distance('{1:1,2:2}/2'::sparsevec, '{}/2')
cosine_distance('{1:1,2:1}/2'::sparsevec, '{1:1,2:1}/2')
cosine_distance('{1:1}/2'::sparsevec, '{2:2}/2')
cosine_distance('{1:1,2:1}/2'::sparsevec, '{1:-1,2:-1}/2')
cosine_distance('{1:1,2:2}/2'::sparsevec, '{1:3}/1')
cosine_distance('{1:1,2:1}/2'::sparsevec, '{1:1.1,2:1.1}/2')
cosine_distance('{1:1,2:1}/2'::sparsevec, '{1:-1.1,2:-1.1}/2')
cosine_distance('{1:3e38}/1'::sparsevec, '{1:3e38}/1')
cosine_distance('{}/1'::sparsevec, '{}/1')
'{1:1,2:2}/2'::sparsevec <=> '{1:2,2:4}/2'
l1_distance('{}/2'::sparsevec, '{1:3,2:4}/2')
l1_distance('{}/2'::sparsevec, '{2:1}/2')
l1_distance('{1:1,2:2}/2'::sparsevec, '{1:3}/1')
l1_distance('{1:3e38}/1'::sparsevec, '{1:-3e38}/1')
l1_distance('{1:1,3:3,5:5,7:7}/8'::sparsevec, '{2:2,4:4,6:6,8:8}/8')
l1_distance('{1:1,3:3,5:5,7:7,9:9}/9'::sparsevec, '{2:2,4:4,6:6,8:8}/9')
'{}/2'::sparsevec <+> '{1:3,2:-4}/2'
'{1000000000:3}/1000000000'::sparsevec <-> '{1:4}/1000000000'
sparsevec_l2_squared_distance('{}/2', '{1:3,2:4}/2')
sparsevec_negative_inner_product('{1:1,2:2}/2', '{1:3,2:4}/2')
round(l2_norm('{1:1,2:1}/2'::sparsevec)::numeric, 5)
l2_norm('{1:3,2:4}/2'::sparsevec)
l2_norm('{1:3e37,2:4e37}/2'::sparsevec)::real
l2_norm('{}/2'::sparsevec)
l2_normalize('{1:3,2:4}/2'::sparsevec)
l2_normalize('{1:3}/2'::sparsevec)
l2_normalize('{2:0.1}/2'::sparsevec)
l2_normalize('{}/2'::sparsevec)
l2_normalize('{1:3e38}/1'::sparsevec)
l2_normalize('{1:3e38,2:1e-37}/2'::sparsevec)
l2_normalize('{2:3e37,4:3e-37,6:4e37,8:4e-37}/9'::sparsevec)
$$);

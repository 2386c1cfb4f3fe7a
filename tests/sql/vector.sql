-- The type vector: text, arithmetic, comparison, distances, parts.
CREATE EXTENSION pgnear;
\set ECHO none
\i sql/support/ask.psql
\set ECHO all
-- Text input and output.
SELECT pg_temp.ask($$
'[1,2,3]'::vector
'[-1,-2,-3]'::vector
'[+1,.5,5.,1e2,1E-2]'::vector
'[-0,0]'::vector
E' [ 1,  2 ,\t 3\n ] '::vector
'[1.23456]'::vector
'[hello,1]'::vector
'[NaN,1]'::vector
'[nan]'::vector
'[Infinity,1]'::vector
'[-inf]'::vector
'[1,2,3'::vector
'[1,2,3]9'::vector
'[1,2,3] '::vector
'[1,2,3] x'::vector
'1,2,3'::vector
'(1,2)'::vector
''::vector
' '::vector
'['::vector
'[ '::vector
'[,'::vector
'[]'::vector
'[ ]'::vector
'[,]'::vector
'[1,]'::vector
'[,1]'::vector
'[1a]'::vector
'[1 2]'::vector
'[1,,3]'::vector
'[1, ,3]'::vector
'[1,2]]'::vector
'[[1]]'::vector
'[1e]'::vector
'[-]'::vector
'[1e400]'::vector
length(('[' || repeat('1,', 15999) || '1]')::vector::text)
('[' || repeat('1,', 16000) || '1]')::vector IS NULL
('[' || repeat('1,', 100000) || 'x]')::vector IS NULL
$$);

-- The number of dimensions in the type.
SELECT pg_temp.ask($$
'[1,2,3]'::vector(3)
'[1,2,3]'::vector(2)
'[1,2,3]'::vector(4)
'[1,2,3]'::vector(3, 2)
'[1,2,3]'::vector('a')
'[1,2,3]'::vector(0)
'[1,2,3]'::vector(-1)
'[1,2,3]'::vector(16000)
'[1,2,3]'::vector(16001)
format_type('vector'::regtype, 3)
'[1,2,3]'::vector::vector(3)
'[1,2,3]'::vector::vector(2)
NULL::vector(3)
$$);

-- Arithmetic.
SELECT pg_temp.ask($$
'[1,2,3]'::vector + '[4,5,6]'
'[1,2]'::vector + '[3]'
'[1,2,3]'::vector - '[4,5,7]'
'[1,2]'::vector - '[3]'
'[1,2,3]'::vector * '[4,5,-6]'
'[0,0]'::vector * '[0,5]'
'[1,2]'::vector * '[3]'
'[1,2,3]'::vector || '[4,5]'
vector_dims(array_fill(0, ARRAY[8000])::vector || array_fill(0, ARRAY[8000])::vector)
array_fill(0, ARRAY[16000])::vector || '[1]'::vector
'[1,2]'::vector + NULL
'[1,2]'::vector || NULL
$$);

-- Comparison: the elements first, then their number.
SELECT pg_temp.ask($$
'[1,2,3]'::vector < '[1,2,3]'
'[1,2,3]'::vector < '[1,2]'
'[1,2]'::vector < '[1,2,3]'
'[1,2,3]'::vector <= '[1,2,3]'
'[1,2,3]'::vector <= '[1,2]'
'[1,2,3]'::vector = '[1,2,3]'
'[1,2,3]'::vector = '[1,2]'
'[0]'::vector = '[-0]'
'[1,2,3]'::vector <> '[1,2,3]'
'[1,2,3]'::vector != '[1,2]'
'[1,2,3]'::vector >= '[1,2,3]'
'[1,2,3]'::vector >= '[1,2]'
'[1,2,3]'::vector > '[1,2,3]'
'[1,2,3]'::vector > '[1,2]'
vector_cmp('[1,2,3]', '[1,2,3]')
vector_cmp('[1,2,3]', '[0,0,0]')
vector_cmp('[0,0,0]', '[1,2,3]')
vector_cmp('[1,2]', '[1,2,3]')
vector_cmp('[1,2,3]', '[1,2]')
vector_cmp('[1,2]', '[2,3,4]')
vector_cmp('[2,3]', '[1,2,3]')
vector_cmp('[-1]', '[1]')
vector_lt('[1]', '[2]')
vector_ne('[1]', NULL)
$$);

-- Distances and norms.
SELECT pg_temp.ask($$
l2_distance('[0,0]'::vector, '[3,4]')
l2_distance('[0,0]'::vector, '[0,1]')
l2_distance('[1,2]'::vector, '[3]')
l2_distance('[1,1,1,1,1,1,1,1,1]'::vector, '[1,1,1,1,1,1,1,4,5]')
l2_distance('[1,2]'::vector, NULL)
'[0,0]'::vector <-> '[3,4]'
'[1]'::vector <-> '[1,2]'
inner_product('[1,2]'::vector, '[3,4]')
inner_product('[1,2]'::vector, '[3]')
inner_product('[1,1,1,1,1,1,1,1,1]'::vector, '[1,2,3,4,5,6,7,8,9]')
'[1,2]'::vector <#> '[3,4]'
'[1]'::vector <#> '[1,2]'
cosine_distance('[1,2]'::vector, '[2,4]')
cosine_distance('[1,2]'::vector, '[0,0]')
cosine_distance('[0,0]'::vector, '[0,0]')
cosine_distance('[1,1]'::vector, '[1,1]')
cosine_distance('[1,0]'::vector, '[0,2]')
cosine_distance('[1,1]'::vector, '[-1,-1]')
cosine_distance('[1,2]'::vector, '[3]')
cosine_distance('[1,1]'::vector, '[1.1,1.1]')
cosine_distance('[1,1]'::vector, '[-1.1,-1.1]')
cosine_distance('[1,2,3,4,5,6,7,8,9]'::vector, '[1,2,3,4,5,6,7,8,9]')
cosine_distance('[1,2,3,4,5,6,7,8,9]'::vector, '[-1,-2,-3,-4,-5,-6,-7,-8,-9]')
'[1,2]'::vector <=> '[2,4]'
'[1]'::vector <=> '[1,2]'
l1_distance('[0,0]'::vector, '[3,4]')
l1_distance('[0,0]'::vector, '[0,1]')
l1_distance('[1,2]'::vector, '[3]')
l1_distance('[1,2,3,4,5,6,7,8,9]'::vector, '[1,2,3,4,5,6,7,8,9]')
l1_distance('[1,2,3,4,5,6,7,8,9]'::vector, '[0,3,2,5,4,7,6,9,8]')
'[0,0]'::vector <+> '[3,-4]'
'[1]'::vector <+> '[1,2]'
vector_l2_squared_distance('[0,0]', '[3,4]')
vector_negative_inner_product('[1,2]', '[3,4]')
vector_spherical_distance('[1,0]', '[0,1]')
vector_spherical_distance('[1,0]', '[1,0]')
vector_spherical_distance('[1,0]', '[-1,0]')
vector_spherical_distance('[2,0]', '[2,0]')
vector_spherical_distance('[1,0]', '[1]')
vector_dims('[1,2,3]'::vector)
round(vector_norm('[1,1]'::vector)::numeric, 5)
vector_norm('[3,4]'::vector)
vector_norm('[0,1]'::vector)
vector_norm('[0,0]'::vector)
vector_norm('[2]'::vector)
l2_normalize('[3,4]'::vector)
l2_normalize('[3,0]'::vector)
l2_normalize('[0,0.1]'::vector)
l2_normalize('[0,0]'::vector)
l2_normalize('[-5]'::vector)
$$);

-- Every number of dimensions up to a few registers; the sums are exact.
SELECT count(*) AS dimensions,
       count(*) FILTER (WHERE a <-> b = sqrt(n)) AS l2,
       count(*) FILTER (WHERE a <#> b = -(SELECT sum((i % 3) * (i % 3 + 1)) FROM generate_series(1, n) i)) AS ip,
       count(*) FILTER (WHERE a <+> b = n) AS l1
FROM generate_series(1, 100) n,
     LATERAL (SELECT array_agg(i % 3 ORDER BY i)::vector AS a, array_agg(i % 3 + 1 ORDER BY i)::vector AS b
              FROM generate_series(1, n) i) v;

-- Bits and parts.
SELECT pg_temp.ask($$
binary_quantize('[1,0,-1]'::vector)
binary_quantize('[0,0.1,-0.2,-0.3,0.4,0.5,0.6,-0.7,0.8,-0.9,1]'::vector)
binary_quantize('[1,2,3,-4,5,6,-7,8,1,-2,-3,4,5,-6,7,8,-1,2,3]'::vector)
pg_typeof(binary_quantize('[1]'::vector))
subvector('[1,2,3,4,5]'::vector, 1, 3)
subvector('[1,2,3,4,5]'::vector, 3, 2)
subvector('[1,2,3,4,5]'::vector, 5, 1)
subvector('[1,2,3,4,5]'::vector, 6, 1)
subvector('[1,2,3,4,5]'::vector, -1, 3)
subvector('[1,2,3,4,5]'::vector, 0, 2)
subvector('[1,2,3,4,5]'::vector, 3, 9)
subvector('[1,2,3,4,5]'::vector, 1, 0)
subvector('[1,2,3,4,5]'::vector, 3, -1)
subvector('[1,2,3,4,5]'::vector, -1, 2)
subvector('[1,2,3,4,5]'::vector, 2147483647, 10)
subvector('[1,2,3,4,5]'::vector, 3, 2147483647)
subvector('[1,2,3,4,5]'::vector, -2147483644, 2147483647)
subvector('[1,2,3,4,5]'::vector, -2147483648, -2147483648)
$$);

-- The range of single precision.
SELECT pg_temp.ask($$
'[1.5e38,-1.5e38]'::vector
'[1.5e+38,-1.5e+38]'::vector
'[1.5e-38,-1.5e-38]'::vector
'[3.4028235e38,1.17549435e-38]'::vector
'[100000,1000000,1234567,0.0001,0.00001]'::vector
'[0.1,0.2,16777217,3.14159265358979]'::vector
'[4e38,1]'::vector
'[-4e38,1]'::vector
'[1e-45,1.5e-45]'::vector
'[1e-46,1]'::vector
'[-1e-46,1]'::vector
'[3e38]'::vector + '[3e38]'
'[-3e38]'::vector - '[3e38]'
'[1e37]'::vector * '[1e37]'
'[1e-37]'::vector * '[1e-37]'
vector_norm('[3e37,4e37]')::real
l2_distance('[3e38]'::vector, '[-3e38]')
inner_product('[3e38]'::vector, '[3e38]')
cosine_distance('[3e38]'::vector, '[3e38]')
l1_distance('[3e38]'::vector, '[-3e38]')
l2_normalize('[3e38]'::vector)
pg_column_size('[1,2,3]'::vector)
pg_column_size('[1,2,3,4]'::halfvec)
$$);

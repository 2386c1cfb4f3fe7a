-- The type halfvec: text, arithmetic, comparison, distances, parts.
CREATE EXTENSION pgnear;
\set ECHO none
\i sql/support/ask.psql
\set ECHO all
-- Text input and output.
SELECT pg_temp.ask($$
'[1,2,3]'::halfvec
'[-1,-2,-3]'::halfvec
'[+1,.5,5.,1e2,1E-2]'::halfvec
'[-0,0]'::halfvec
E' [ 1,  2 ,\t 3\n ] '::halfvec
'[1.23456]'::halfvec
'[hello,1]'::halfvec
'[NaN,1]'::halfvec
'[nan]'::halfvec
'[Infinity,1]'::halfvec
'[-inf]'::halfvec
'[1,2,3'::halfvec
'[1,2,3]9'::halfvec
'[1,2,3] '::halfvec
'[1,2,3] x'::halfvec
'1,2,3'::halfvec
'(1,2)'::halfvec
''::halfvec
' '::halfvec
'['::halfvec
'[ '::halfvec
'[,'::halfvec
'[]'::halfvec
'[ ]'::halfvec
'[,]'::halfvec
'[1,]'::halfvec
'[,1]'::halfvec
'[1a]'::halfvec
'[1 2]'::halfvec
'[1,,3]'::halfvec
'[1, ,3]'::halfvec
'[1,2]]'::halfvec
'[[1]]'::halfvec
'[1e]'::halfvec
'[-]'::halfvec
'[1e400]'::halfvec
length(('[' || repeat('1,', 15999) || '1]')::halfvec::text)
('[' || repeat('1,', 16000) || '1]')::halfvec IS NULL
('[' || repeat('1,', 100000) || 'x]')::halfvec IS NULL
$$);

-- The number of dimensions in the type.
SELECT pg_temp.ask($$
'[1,2,3]'::halfvec(3)
'[1,2,3]'::halfvec(2)
'[1,2,3]'::halfvec(4)
'[1,2,3]'::halfvec(3, 2)
'[1,2,3]'::halfvec('a')
'[1,2,3]'::halfvec(0)
'[1,2,3]'::halfvec(-1)
'[1,2,3]'::halfvec(16000)
'[1,2,3]'::halfvec(16001)
format_type('halfvec'::regtype, 3)
'[1,2,3]'::halfvec::halfvec(3)
'[1,2,3]'::halfvec::halfvec(2)
NULL::halfvec(3)
$$);

-- Arithmetic.
SELECT pg_temp.ask($$
'[1,2,3]'::halfvec + '[4,5,6]'
'[1,2]'::halfvec + '[3]'
'[1,2,3]'::halfvec - '[4,5,7]'
'[1,2]'::halfvec - '[3]'
'[1,2,3]'::halfvec * '[4,5,-6]'
'[0,0]'::halfvec * '[0,5]'
'[1,2]'::halfvec * '[3]'
'[1,2,3]'::halfvec || '[4,5]'
vector_dims(array_fill(0, ARRAY[8000])::halfvec || array_fill(0, ARRAY[8000])::halfvec)
array_fill(0, ARRAY[16000])::halfvec || '[1]'::halfvec
'[1,2]'::halfvec + NULL
'[1,2]'::halfvec || NULL
$$);

-- Comparison: the elements first, then their number.
SELECT pg_temp.ask($$
'[1,2,3]'::halfvec < '[1,2,3]'
'[1,2,3]'::halfvec < '[1,2]'
'[1,2]'::halfvec < '[1,2,3]'
'[1,2,3]'::halfvec <= '[1,2,3]'
'[1,2,3]'::halfvec <= '[1,2]'
'[1,2,3]'::halfvec = '[1,2,3]'
'[1,2,3]'::halfvec = '[1,2]'
'[0]'::halfvec = '[-0]'
'[1,2,3]'::halfvec <> '[1,2,3]'
'[1,2,3]'::halfvec != '[1,2]'
'[1,2,3]'::halfvec >= '[1,2,3]'
'[1,2,3]'::halfvec >= '[1,2]'
'[1,2,3]'::halfvec > '[1,2,3]'
'[1,2,3]'::halfvec > '[1,2]'
halfvec_cmp('[1,2,3]', '[1,2,3]')
halfvec_cmp('[1,2,3]', '[0,0,0]')
halfvec_cmp('[0,0,0]', '[1,2,3]')
halfvec_cmp('[1,2]', '[1,2,3]')
halfvec_cmp('[1,2,3]', '[1,2]')
halfvec_cmp('[1,2]', '[2,3,4]')
halfvec_cmp('[2,3]', '[1,2,3]')
halfvec_cmp('[-1]', '[1]')
halfvec_lt('[1]', '[2]')
halfvec_ne('[1]', NULL)
$$);

-- Distances and norms.
SELECT pg_temp.ask($$
l2_distance('[0,0]'::halfvec, '[3,4]')
l2_distance('[0,0]'::halfvec, '[0,1]')
l2_distance('[1,2]'::halfvec, '[3]')
l2_distance('[1,1,1,1,1,1,1,1,1]'::halfvec, '[1,1,1,1,1,1,1,4,5]')
l2_distance('[1,2]'::halfvec, NULL)
'[0,0]'::halfvec <-> '[3,4]'
'[1]'::halfvec <-> '[1,2]'
inner_product('[1,2]'::halfvec, '[3,4]')
inner_product('[1,2]'::halfvec, '[3]')
inner_product('[1,1,1,1,1,1,1,1,1]'::halfvec, '[1,2,3,4,5,6,7,8,9]')
'[1,2]'::halfvec <#> '[3,4]'
'[1]'::halfvec <#> '[1,2]'
cosine_distance('[1,2]'::halfvec, '[2,4]')
cosine_distance('[1,2]'::halfvec, '[0,0]')
cosine_distance('[0,0]'::halfvec, '[0,0]')
cosine_distance('[1,1]'::halfvec, '[1,1]')
cosine_distance('[1,0]'::halfvec, '[0,2]')
cosine_distance('[1,1]'::halfvec, '[-1,-1]')
cosine_distance('[1,2]'::halfvec, '[3]')
cosine_distance('[1,1]'::halfvec, '[1.1,1.1]')
cosine_distance('[1,1]'::halfvec, '[-1.1,-1.1]')
cosine_distance('[1,2,3,4,5,6,7,8,9]'::halfvec, '[1,2,3,4,5,6,7,8,9]')
cosine_distance('[1,2,3,4,5,6,7,8,9]'::halfvec, '[-1,-2,-3,-4,-5,-6,-7,-8,-9]')
'[1,2]'::halfvec <=> '[2,4]'
'[1]'::halfvec <=> '[1,2]'
l1_distance('[0,0]'::halfvec, '[3,4]')
l1_distance('[0,0]'::halfvec, '[0,1]')
l1_distance('[1,2]'::halfvec, '[3]')
l1_distance('[1,2,3,4,5,6,7,8,9]'::halfvec, '[1,2,3,4,5,6,7,8,9]')
l1_distance('[1,2,3,4,5,6,7,8,9]'::halfvec, '[0,3,2,5,4,7,6,9,8]')
'[0,0]'::halfvec <+> '[3,-4]'
'[1]'::halfvec <+> '[1,2]'
halfvec_l2_squared_distance('[0,0]', '[3,4]')
halfvec_negative_inner_product('[1,2]', '[3,4]')
halfvec_spherical_distance('[1,0]', '[0,1]')
halfvec_spherical_distance('[1,0]', '[1,0]')
halfvec_spherical_distance('[1,0]', '[-1,0]')
halfvec_spherical_distance('[2,0]', '[2,0]')
halfvec_spherical_distance('[1,0]', '[1]')
vector_dims('[1,2,3]'::halfvec)
round(l2_norm('[1,1]'::halfvec)::numeric, 5)
l2_norm('[3,4]'::halfvec)
l2_norm('[0,1]'::halfvec)
l2_norm('[0,0]'::halfvec)
l2_norm('[2]'::halfvec)
l2_normalize('[3,4]'::halfvec)
l2_normalize('[3,0]'::halfvec)
l2_normalize('[0,0.1]'::halfvec)
l2_normalize('[0,0]'::halfvec)
l2_normalize('[-5]'::halfvec)
$$);

-- Every number of dimensions up to a few registers; the sums are exact.
SELECT count(*) AS dimensions,
       count(*) FILTER (WHERE a <-> b = sqrt(n)) AS l2,
       count(*) FILTER (WHERE a <#> b = -(SELECT sum((i % 3) * (i % 3 + 1)) FROM generate_series(1, n) i)) AS ip,
       count(*) FILTER (WHERE a <+> b = n) AS l1
FROM generate_series(1, 100) n,
     LATERAL (SELECT array_agg(i % 3 ORDER BY i)::halfvec AS a, array_agg(i % 3 + 1 ORDER BY i)::halfvec AS b
              FROM generate_series(1, n) i) v;

-- Bits and parts.
SELECT pg_temp.ask($$
binary_quantize('[1,0,-1]'::halfvec)
binary_quantize('[0,0.1,-0.2,-0.3,0.4,0.5,0.6,-0.7,0.8,-0.9,1]'::halfvec)
binary_quantize('[1,2,3,-4,5,6,-7,8,1,-2,-3,4,5,-6,7,8,-1,2,3]'::halfvec)
pg_typeof(binary_quantize('[1]'::halfvec))
subvector('[1,2,3,4,5]'::halfvec, 1, 3)
subvector('[1,2,3,4,5]'::halfvec, 3, 2)
subvector('[1,2,3,4,5]'::halfvec, 5, 1)
subvector('[1,2,3,4,5]'::halfvec, 6, 1)
subvector('[1,2,3,4,5]'::halfvec, -1, 3)
subvector('[1,2,3,4,5]'::halfvec, 0, 2)
subvector('[1,2,3,4,5]'::halfvec, 3, 9)
subvector('[1,2,3,4,5]'::halfvec, 1, 0)
subvector('[1,2,3,4,5]'::halfvec, 3, -1)
subvector('[1,2,3,4,5]'::halfvec, -1, 2)
subvector('[1,2,3,4,5]'::halfvec, 2147483647, 10)
subvector('[1,2,3,4,5]'::halfvec, 3, 2147483647)
subvector('[1,2,3,4,5]'::halfvec, -2147483644, 2147483647)
subvector('[1,2,3,4,5]'::halfvec, -2147483648, -2147483648)
$$);

-- The range of half precision.
SELECT pg_temp.ask($$
'[65504,-65504]'::halfvec
'[65519,-65519]'::halfvec
'[65520,-65520]'::halfvec
'[-65520]'::halfvec
'[4e38,1]'::halfvec
'[1e-46,1]'::halfvec
'[1e-8,-1e-8]'::halfvec
'[5.9604645e-8,2.9802322e-8,2.9802323e-8]'::halfvec
'[2049,2050,2051,4097]'::halfvec
'[0.1,0.2,0.3,3.14159]'::halfvec
'[65519]'::halfvec + '[65519]'
'[-65519]'::halfvec - '[65519]'
'[65519]'::halfvec * '[65519]'
'[1e-7]'::halfvec * '[1e-7]'
inner_product('[65504]'::halfvec, '[65504]')
l2_distance('[65504]'::halfvec, '[-65504]')
l1_distance('[65504]'::halfvec, '[-65504]')
l2_norm('[65504,65504]'::halfvec)::real
l2_normalize('[65504]'::halfvec)
pg_column_size('[1,2,3]'::halfvec)
$$);

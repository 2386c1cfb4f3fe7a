-- What statements written for pgvector resolve to: nothing of ours may change it.
CREATE EXTENSION pgnear;
\set ECHO none
\i sql/support/ask.psql
\set ECHO all
-- A literal or an untyped parameter beside a vector is a vector.
SELECT pg_temp.ask($$
'[1,2]'::vector * '[3,4]'
'[3,4]' * '[1,2]'::vector
'[1,2]'::halfvec * '[3,4]'
'[3,4]' * '[1,2]'::halfvec
'[1,2]'::vector * '2'
'2' * '[1,2]'::vector
'[1,2]'::halfvec * '2'
'[1,2]'::vector * NULL
'[1,2]'::vector + '[3,4]'
'[1,2]'::vector - '[3,4]'
'[1,2]'::vector || '[3,4]'
'[1,2]'::vector <-> '[3,4]'
'[1,2]' <=> '[1,2]'::halfvec
'[1,2]'::vector = '[1,2]'
'[1,2]'::vector <-> '{1:1}/2'
pg_typeof('[1,2]'::vector * '[3,4]')
'[1,2]' * '[3,4]'
'[1,2]' <-> '[3,4]'
'[1,2]' = '[1,2]'
2 * '3'
2.5 * '2'
2::float8 * '3'
2::bigint * NULL
'{1,2}'::real[] || '[3]'::vector
$$);
PREPARE times AS SELECT $1 * '[1,2]'::vector, '[1,2]'::vector * $2, '[3,4]'::halfvec * $3;
SELECT parameter_types FROM pg_prepared_statements WHERE name = 'times';
EXECUTE times('[3,4]', '[5,6]', '[1,1]');
PREPARE distance AS SELECT '[1,2]'::vector <-> $1, $2 <#> '[1,2]'::halfvec, $3 <=> '{1:1}/2'::sparsevec;
SELECT parameter_types FROM pg_prepared_statements WHERE name = 'distance';

-- Mixed types.
SELECT pg_temp.ask($$
'[1,2]'::vector <-> '[3,4]'::halfvec
'[1,2]'::vector <-> '{1:1}/2'::sparsevec
'[1,2]'::halfvec <-> '{1:1}/2'::sparsevec
pg_typeof('[1,2]'::vector * '[3,4]'::halfvec)
pg_typeof('[1,2]'::halfvec + '[3,4]'::vector)
pg_typeof('[1,2]'::vector || '[3,4]'::halfvec)
'[1,2]'::vector = '[1,2]'::halfvec
'[1,2]'::vector < '{1:1}/2'::sparsevec
'[1,2]'::vector = '{1,2}'::real[]
'[1,2]'::halfvec = '{1,2}'::real[]
'[1,2]'::vector = ARRAY[1,2]
'[1,2]'::vector <-> ARRAY[1,2]
'[1,2]'::vector <-> ARRAY[1,2]::real[]
'[1,2]'::vector <-> '[1,2]'::text
'[1,2]'::vector * ARRAY[1,2]
'[1,2]'::vector * '[1,2]'::text
'[1,2]'::vector + 1
'[1,2]'::vector - 1
'[1,2]'::vector || 1
- '[1,2]'::vector
'{1:1}/2'::sparsevec + '{1:1}/2'::sparsevec
'{1:1}/2'::sparsevec * '{1:1}/2'::sparsevec
'[1,2]'::vector + '{1:1}/2'::sparsevec
cosine_distance('[1,2]'::vector, '[1,2]'::halfvec)
l2_distance('[1,2]', '[3,4]')
vector_dims('[1,2]')
l2_norm('[3,4]'::vector)
vector_norm('[3,4]'::halfvec)
avg('[1,2]')
array_length('[1,2]'::vector, 1)
unnest('[1,2]'::vector)
cardinality('[1,2]'::vector)
array_to_vector('{1,2}', 2, false)
vector('[1,2]', 2, true)
coalesce('[1,2]'::vector, '[1,2]'::halfvec)
pg_typeof(coalesce('[1,2]'::vector, '[1,2]'::halfvec))
pg_typeof(CASE WHEN true THEN '[1]'::halfvec ELSE '[2]'::sparsevec::halfvec END)
$$);
SELECT pg_typeof(x) FROM (SELECT '[1]'::vector UNION SELECT '[1]'::halfvec) u(x) LIMIT 1;

-- What clients read of the types.
SELECT typname, typelem, typcategory, typispreferred, typarray::regtype FROM pg_type
WHERE typname IN ('vector', 'halfvec', 'sparsevec') ORDER BY 1;
SELECT to_regtype('vector'), to_regtype('_halfvec'), to_regtype('sparsevec[]'), to_regtype('vector(3)') IS NOT NULL;

-- avg and sum, alone and in parallel.
CREATE EXTENSION pgnear;
\set ECHO none
\i sql/support/ask.psql
\set ECHO all
-- vector
SELECT pg_temp.ask($$
avg(v) FROM unnest(ARRAY['[1,2,3]'::vector, '[3,5,7]']) v
avg(v) FROM unnest(ARRAY['[1,2,3]'::vector, '[3,5,7]', NULL]) v
avg(v) FROM unnest(ARRAY[NULL]::vector[]) v
avg(v) FROM unnest(ARRAY[]::vector[]) v
avg(v) FROM unnest(ARRAY['[1,2]'::vector, '[3]']) v
avg(v) FROM unnest(ARRAY['[3e38]'::vector, '[3e38]']) v
avg(DISTINCT v) FROM unnest(ARRAY['[1]'::vector, '[1]', '[4]']) v
avg(v) FILTER (WHERE v > '[2]') FROM unnest(ARRAY['[1]'::vector, '[3]']) v
string_agg(a::text, ' ' ORDER BY n) FROM (SELECT n, avg(v) OVER (ORDER BY n) AS a FROM unnest(ARRAY['[1]'::vector, '[2]', '[6]']) WITH ORDINALITY x(v, n)) w
sum(v) FROM unnest(ARRAY['[1,2,3]'::vector, '[3,5,7]']) v
sum(v) FROM unnest(ARRAY['[1,2,3]'::vector, '[3,5,7]', NULL]) v
sum(v) FROM unnest(ARRAY[]::vector[]) v
sum(v) FROM unnest(ARRAY['[1,2]'::vector, '[3]']) v
string_agg(a::text, ' ' ORDER BY n) FROM (SELECT n, sum(v) OVER (ORDER BY n) AS a FROM unnest(ARRAY['[1]'::vector, '[2]', '[6]']) WITH ORDINALITY x(v, n)) w
string_agg(a::text, ' ' ORDER BY n) FROM (SELECT n, sum(v) OVER (ORDER BY n ROWS 1 PRECEDING) AS a FROM unnest(ARRAY['[1]'::vector, '[2]', '[6]']) WITH ORDINALITY x(v, n)) w
(sum(v + v))[40] || ' ' || (sum(v))[40] FROM (SELECT array_fill(i::real, ARRAY[40])::vector AS v FROM generate_series(1, 3) i OFFSET 0) x
sum(v ORDER BY v DESC)::text || ' ' || string_agg(v::text, ' ' ORDER BY v) FROM (SELECT '[1]'::vector AS v UNION ALL SELECT '[2]') x
sum(v) FROM unnest(ARRAY['[3e38]'::vector, '[3e38]']) v
pg_typeof(avg(v)) || ' ' || pg_typeof(sum(v)) FROM unnest(ARRAY['[1]'::vector]) v
min(v::text) || max(v::text) FROM unnest(ARRAY['[1]'::vector, '[2]']) v
vector_avg('{2,2,4,6}')
vector_avg('{0}')
vector_avg('{1}')
vector_avg('{{2,2,4,6}}')
vector_avg('{NULL,2,4,6}')
vector_avg('{}')
vector_avg(array_agg(n)) FROM generate_series(1, 16002) n
vector_accum('{0}', '[1,2,3]')
vector_accum('{0,0,0,0}', '[1,2,3]')
vector_accum('{2,1,1,1}', '[1,2,3]')
vector_accum('{{0}}', '[1,2,3]')
vector_accum('{NULL}', '[1,2,3]')
vector_accum('{}', '[1,2,3]')
vector_accum('{0,0}', '[1,2,3]')
vector_accum('{1,1e308}', '[1]')
vector_accum('{1,1.7976931348623157e308}', '[3e38]')
vector_combine('{1,2}', '{3,4}')
vector_combine('{1,2}', '{3,4,5}')
vector_combine('{{1,2}}', '{3,4}')
vector_combine('{1,2}', '{{3,4}}')
vector_combine('{NULL,2}', '{3,4}')
vector_combine('{1,2}', '{3,NULL}')
vector_combine('{}', '{0}')
vector_combine('{0}', '{}')
vector_combine('{0}', '{0}')
vector_combine('{0}', '{2,3}')
vector_combine('{2,3}', '{0}')
vector_combine('{1,1.7e308}', '{1,1.7e308}')
vector_combine('{0}', (SELECT array_agg(n) FROM generate_series(1, 16002) n))
vector_combine((SELECT array_agg(n) FROM generate_series(1, 16002) n), '{0}')
$$);

-- halfvec
SELECT pg_temp.ask($$
avg(v) FROM unnest(ARRAY['[1,2,3]'::halfvec, '[3,5,7]']) v
avg(v) FROM unnest(ARRAY['[1,2,3]'::halfvec, '[3,5,7]', NULL]) v
avg(v) FROM unnest(ARRAY[NULL]::halfvec[]) v
avg(v) FROM unnest(ARRAY[]::halfvec[]) v
avg(v) FROM unnest(ARRAY['[1,2]'::halfvec, '[3]']) v
avg(v) FROM unnest(ARRAY['[65504]'::halfvec, '[65504]']) v
avg(DISTINCT v) FROM unnest(ARRAY['[1]'::halfvec, '[1]', '[4]']) v
avg(v) FILTER (WHERE v > '[2]') FROM unnest(ARRAY['[1]'::halfvec, '[3]']) v
string_agg(a::text, ' ' ORDER BY n) FROM (SELECT n, avg(v) OVER (ORDER BY n) AS a FROM unnest(ARRAY['[1]'::halfvec, '[2]', '[6]']) WITH ORDINALITY x(v, n)) w
sum(v) FROM unnest(ARRAY['[1,2,3]'::halfvec, '[3,5,7]']) v
sum(v) FROM unnest(ARRAY['[1,2,3]'::halfvec, '[3,5,7]', NULL]) v
sum(v) FROM unnest(ARRAY[]::halfvec[]) v
sum(v) FROM unnest(ARRAY['[1,2]'::halfvec, '[3]']) v
string_agg(a::text, ' ' ORDER BY n) FROM (SELECT n, sum(v) OVER (ORDER BY n) AS a FROM unnest(ARRAY['[1]'::halfvec, '[2]', '[6]']) WITH ORDINALITY x(v, n)) w
string_agg(a::text, ' ' ORDER BY n) FROM (SELECT n, sum(v) OVER (ORDER BY n ROWS 1 PRECEDING) AS a FROM unnest(ARRAY['[1]'::halfvec, '[2]', '[6]']) WITH ORDINALITY x(v, n)) w
(sum(v + v))[40] || ' ' || (sum(v))[40] FROM (SELECT array_fill(i::real, ARRAY[40])::halfvec AS v FROM generate_series(1, 3) i OFFSET 0) x
sum(v ORDER BY v DESC)::text || ' ' || string_agg(v::text, ' ' ORDER BY v) FROM (SELECT '[1]'::halfvec AS v UNION ALL SELECT '[2]') x
sum(v) FROM unnest(ARRAY['[65504]'::halfvec, '[65504]']) v
pg_typeof(avg(v)) || ' ' || pg_typeof(sum(v)) FROM unnest(ARRAY['[1]'::halfvec]) v
min(v::text) || max(v::text) FROM unnest(ARRAY['[1]'::halfvec, '[2]']) v
halfvec_avg('{2,2,4,6}')
halfvec_avg('{0}')
halfvec_avg('{1}')
halfvec_avg('{{2,2,4,6}}')
halfvec_avg('{NULL,2,4,6}')
halfvec_avg('{}')
halfvec_avg(array_agg(n)) FROM generate_series(1, 16002) n
halfvec_accum('{0}', '[1,2,3]')
halfvec_accum('{0,0,0,0}', '[1,2,3]')
halfvec_accum('{2,1,1,1}', '[1,2,3]')
halfvec_accum('{{0}}', '[1,2,3]')
halfvec_accum('{NULL}', '[1,2,3]')
halfvec_accum('{}', '[1,2,3]')
halfvec_accum('{0,0}', '[1,2,3]')
halfvec_accum('{1,1e308}', '[1]')
halfvec_accum('{1,1.7976931348623157e308}', '[65504]')
halfvec_combine('{1,2}', '{3,4}')
halfvec_combine('{1,2}', '{3,4,5}')
halfvec_combine('{{1,2}}', '{3,4}')
halfvec_combine('{1,2}', '{{3,4}}')
halfvec_combine('{NULL,2}', '{3,4}')
halfvec_combine('{1,2}', '{3,NULL}')
halfvec_combine('{}', '{0}')
halfvec_combine('{0}', '{}')
halfvec_combine('{0}', '{0}')
halfvec_combine('{0}', '{2,3}')
halfvec_combine('{2,3}', '{0}')
halfvec_combine('{1,1.7e308}', '{1,1.7e308}')
halfvec_combine('{0}', (SELECT array_agg(n) FROM generate_series(1, 16002) n))
halfvec_combine((SELECT array_agg(n) FROM generate_series(1, 16002) n), '{0}')
$$);

-- Parallel workers add up to the same: every partial sum is exact.
CREATE TABLE t (g int, v vector(3), h halfvec(3));
INSERT INTO t SELECT i % 3, ARRAY[i, -i, 1], ARRAY[(i % 10 = 0)::int, -(i % 20 = 0)::int, 0.5 * (i % 30 = 0)::int] FROM generate_series(1, 9000) i;
INSERT INTO t VALUES (0, NULL, NULL);
ANALYZE t;
-- The state of sum is changed in place: the rows that it began with stay as they are.
CREATE TABLE kept (g int, v vector(3), h halfvec(3));
INSERT INTO kept VALUES (1, '[1,2,3]', '[1,2,3]'), (1, '[3,4,5]', '[3,4,5]'), (2, '[0,0,1]', '[0,0,1]');
SELECT g, sum(v), sum(h) FROM kept GROUP BY g ORDER BY g;
SELECT sum(v), sum(h) FROM kept;
SELECT g, v, h, sum(v) OVER w, sum(h) OVER w FROM kept WINDOW w AS (PARTITION BY g) ORDER BY v;
TABLE kept;
-- Only values of more than 127 bytes can be changed where they lie.
CREATE TABLE long AS SELECT g, array_fill(g::real, ARRAY[200])::vector AS v, array_fill(g::real, ARRAY[200])::halfvec AS h FROM generate_series(1, 3) AS g;
SELECT g, (sum(v) OVER w)[1] AS v, (sum(h) OVER w)[200] AS h FROM long WINDOW w AS (ORDER BY g);
SELECT (sum(v))[1] AS v, (sum(h))[200] AS h FROM long;
SELECT g, v[1], h[200] FROM long;
SELECT avg(v), sum(v), avg(h), sum(h) FROM t WHERE g = 1;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET max_parallel_workers_per_gather = 2;
SELECT pg_temp.nodes('SELECT avg(v), sum(v), avg(h), sum(h) FROM t');
SELECT avg(v), sum(v), avg(h), sum(h) FROM t WHERE g = 1;
SELECT g, avg(v), sum(v), avg(h), sum(h) FROM t GROUP BY g ORDER BY g;
SELECT avg(v), sum(v) FROM t WHERE g = 7;

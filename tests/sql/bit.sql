-- Distances of the server's type bit.
CREATE EXTENSION pgnear;
\set ECHO none
\i sql/support/ask.psql
\set ECHO all
SELECT pg_temp.ask($$
hamming_distance('111', '111')
hamming_distance('111', '110')
hamming_distance('111', '100')
hamming_distance('111', '000')
hamming_distance('10101010101010101010', '01010101010101010101')
hamming_distance('', '')
hamming_distance('111', '00')
hamming_distance('111', '000'::varbit(4))
hamming_distance('111', '0000'::varbit(4))
hamming_distance('111', NULL)
B'1011' <~> B'0010'
B'1' <~> B'10'
jaccard_distance('1111', '1111')
jaccard_distance('1111', '1110')
jaccard_distance('1111', '1100')
jaccard_distance('1111', '1000')
jaccard_distance('1111', '0000')
jaccard_distance('1100', '1000')
jaccard_distance('0000', '0000')
jaccard_distance('10101010101010101010', '01010101010101010101')
jaccard_distance('', '')
jaccard_distance('1111', '000')
jaccard_distance('1111', '0000'::varbit(5))
jaccard_distance('1111', '00000'::varbit(5))
B'1110' <%> B'0110'
B'1' <%> B'10'
binary_quantize('[1,-1,1]'::vector) <~> binary_quantize('[1,1,-1]'::vector)
binary_quantize('[1,-1,1]'::halfvec) <%> B'111'
$$);
-- Every length up to a few registers, and a long one.
SELECT count(*) AS lengths,
       count(*) FILTER (WHERE repeat('10', n)::varbit::bit(200) <~> repeat('01', n)::varbit::bit(200) = 2 * n) AS padded,
       count(*) FILTER (WHERE hamming_distance(substr(repeat('1', 200), 1, n)::varbit, substr(repeat('0', 200), 1, n)::varbit) = n) AS hamming,
       count(*) FILTER (WHERE jaccard_distance(substr(repeat('1', 200), 1, n)::varbit, substr(repeat('10', 100), 1, n)::varbit)
                              = 1 - ((n + 1) / 2)::float8 / n) AS jaccard
FROM generate_series(1, 100) n;
SELECT pg_temp.ask($$
repeat('1', 64000)::varbit <~> repeat('0', 64000)::varbit
repeat('1', 64000)::varbit <%> repeat('10', 32000)::varbit
$$);

-- Every operator class of ivfflat: the index is used for its operator, and with all lists probed it
-- gives the rows of a sequential scan in the same order, while rows come and go.
CREATE EXTENSION pgnear;
\set ECHO none
\i sql/support/ask.psql
\i sql/support/search.psql
\set ECHO all
-- Each vector comes three times, so that there are ties; every 50th row is NULL.
CREATE TABLE item (id int PRIMARY KEY, v vector(5), h halfvec(5), b bit(40));
CREATE FUNCTION vector_of(i int) RETURNS vector LANGUAGE sql AS
    'SELECT array_agg(i * (j * j + 3) % (23 + 4 * j) - 11.5 ORDER BY j)::vector FROM generate_series(1, 5) AS j';
INSERT INTO item SELECT i, v, v, (abs(i * 2654435761) % 1099511627776)::bit(40)
FROM generate_series(1, 600) AS i, vector_of(i % 200) AS v;
UPDATE item SET v = NULL, h = NULL, b = NULL WHERE id % 50 = 0;
VACUUM (FREEZE, ANALYZE) item;
CREATE INDEX v_l2 ON item USING ivfflat (v) WITH (lists = 7);
CREATE INDEX v_ip ON item USING ivfflat (v vector_ip_ops) WITH (lists = 7);
CREATE INDEX v_cosine ON item USING ivfflat (v vector_cosine_ops) WITH (lists = 7);
CREATE INDEX h_l2 ON item USING ivfflat (h halfvec_l2_ops) WITH (lists = 7);
CREATE INDEX h_ip ON item USING ivfflat (h halfvec_ip_ops) WITH (lists = 7);
CREATE INDEX h_cosine ON item USING ivfflat (h halfvec_cosine_ops) WITH (lists = 7);
CREATE INDEX b_hamming ON item USING ivfflat (b bit_hamming_ops) WITH (lists = 7);

-- The operator's own index.
SET enable_seqscan = off;
EXPLAIN (COSTS OFF) SELECT id FROM item ORDER BY v <-> '[1,2,3,4,5]' LIMIT 3;
EXPLAIN (COSTS OFF) SELECT id FROM item ORDER BY v <#> '[1,2,3,4,5]' LIMIT 3;
EXPLAIN (COSTS OFF) SELECT id FROM item ORDER BY v <=> '[1,2,3,4,5]' LIMIT 3;
EXPLAIN (COSTS OFF) SELECT id FROM item ORDER BY h <-> '[1,2,3,4,5]' LIMIT 3;
EXPLAIN (COSTS OFF) SELECT id FROM item ORDER BY h <#> '[1,2,3,4,5]' LIMIT 3;
EXPLAIN (COSTS OFF) SELECT id FROM item ORDER BY h <=> '[1,2,3,4,5]' LIMIT 3;
EXPLAIN (COSTS OFF) SELECT id FROM item ORDER BY b <~> (repeat('10', 20)::bit(40)) LIMIT 3;
-- The operand on the left, and a parameter.
EXPLAIN (COSTS OFF) SELECT id FROM item ORDER BY '[1,2,3,4,5]' <-> v LIMIT 3;
PREPARE nearest(vector) AS SELECT id FROM item ORDER BY v <-> $1 LIMIT 3;
SET plan_cache_mode = force_generic_plan;
EXPLAIN (COSTS OFF) EXECUTE nearest('[1,2,3,4,5]');
RESET plan_cache_mode;
-- Operators without an operator class, and descending order, are left to a sort.
SELECT pg_temp.nodes('SELECT id FROM item ORDER BY v <+> ''[1,2,3,4,5]'' LIMIT 3');
SELECT pg_temp.nodes('SELECT id FROM item ORDER BY b <%> repeat(''1'', 40)::bit(40) LIMIT 3');
SELECT pg_temp.nodes('SELECT id FROM item ORDER BY v <-> ''[1,2,3,4,5]'' DESC LIMIT 3');
RESET enable_seqscan;

-- The same answers as a sequential scan, for several queries: one row's own vector, one far away, the
-- zero vector.
SET ivfflat.probes = 7;
CREATE VIEW answers AS
SELECT operator, query, pg_temp.compare('item', operator || quote_literal(query)) AS all_rows,
       pg_temp.compare('item', operator || quote_literal(query), '10') AS nearest
FROM unnest(ARRAY['v <->', 'v <#>', 'v <=>', 'h <->', 'h <#>', 'h <=>']) AS operator,
     unnest(ARRAY['[1.5,2,-3,4.25,0]', vector_of(77)::text, '[1000,-2000,3000,0,1]', '[0,0,0,0,0]']) AS query
UNION ALL
SELECT 'b <~>', query, pg_temp.compare('item', format('b <~> %L::bit(40)', query)),
       pg_temp.compare('item', format('b <~> %L::bit(40)', query), '10')
FROM unnest(ARRAY[repeat('1', 40), repeat('0', 40), repeat('0110', 10), repeat('00101110', 5)]) AS query;
SELECT * FROM answers;
-- There are ties, so order by place was put to the test.
SELECT count(*) AS rows, count(DISTINCT v) AS vectors, count(DISTINCT b) AS bits FROM item WHERE v IS NOT NULL;

-- Fewer lists find a part of the rows, in order, each once.
SET ivfflat.probes = 1;
SET enable_seqscan = off;
SELECT count(*) BETWEEN 1 AND 587 AS some, count(*) = count(DISTINCT id) AS each_once,
       count(*) FILTER (WHERE distance < before) AS out_of_order
FROM (SELECT id, distance, lag(distance) OVER () AS before
      FROM (SELECT id, v <-> '[1,2,3,4,5]' AS distance FROM item ORDER BY v <-> '[1,2,3,4,5]') AS answer) AS answer;
RESET enable_seqscan;
-- More probes than lists are all lists.
SET ivfflat.probes = 32768;

-- Rows inserted, changed and removed after the build.
INSERT INTO item SELECT i, v, v, (abs(i * 2654435761) % 1099511627776)::bit(40)
FROM generate_series(601, 1000) AS i, vector_of(i % 230) AS v;
UPDATE item SET v = vector_of(id + 3), h = vector_of(id + 5), b = ~b WHERE id % 7 = 0;
DELETE FROM item WHERE id % 5 = 0;
SELECT operator, query, all_rows, nearest FROM answers WHERE query NOT LIKE '[1000%';
VACUUM item;
SELECT count(DISTINCT all_rows), min(all_rows), count(DISTINCT nearest), min(nearest) FROM answers;
INSERT INTO item SELECT i, v, v, (abs(i * 2654435761) % 1099511627776)::bit(40)
FROM generate_series(1001, 1300) AS i, vector_of(i % 90) AS v;
SELECT count(DISTINCT all_rows), min(all_rows), count(DISTINCT nearest), min(nearest) FROM answers;
SELECT relname, finding.* FROM pg_class, pgnear_index_check(oid) AS finding
WHERE relam = (SELECT oid FROM pg_am WHERE amname = 'ivfflat');

REINDEX TABLE item;
SELECT count(DISTINCT all_rows), min(all_rows), count(DISTINCT nearest), min(nearest) FROM answers;

-- Everything gone, and filled again.
DELETE FROM item;
VACUUM item;
SELECT count(DISTINCT all_rows), min(all_rows) FROM answers;
INSERT INTO item SELECT i, v, v, (abs(i * 2654435761) % 1099511627776)::bit(40)
FROM generate_series(1, 300) AS i, vector_of(i) AS v;
SELECT count(DISTINCT all_rows), min(all_rows) FROM answers;
SET client_min_messages = warning;
TRUNCATE item;
RESET client_min_messages;
SELECT count(DISTINCT all_rows), min(all_rows) FROM answers;
INSERT INTO item SELECT i, v, v, i::bit(40) FROM generate_series(1, 20) AS i, vector_of(i) AS v;
SELECT count(DISTINCT all_rows), min(all_rows) FROM answers;
SELECT relname, finding.* FROM pg_class, pgnear_index_check(oid) AS finding
WHERE relam = (SELECT oid FROM pg_am WHERE amname = 'ivfflat');

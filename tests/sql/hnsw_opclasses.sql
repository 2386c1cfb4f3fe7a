-- Every operator class of hnsw: the index is used for its operator, and as wide a search as there are
-- rows gives those of a sequential scan in the same order, while rows come and go.
CREATE EXTENSION pgnear;
\set ECHO none
\i sql/support/ask.psql
\i sql/support/search.psql
\set ECHO all
-- Each vector comes three times, so that there are ties; every 50th row is NULL.
CREATE TABLE item (id int PRIMARY KEY, v vector(5), h halfvec(5), b bit(40), s sparsevec(5));
CREATE FUNCTION vector_of(i int) RETURNS vector LANGUAGE sql AS
    'SELECT array_agg(i * (j * j + 3) % (23 + 4 * j) - 11.5 ORDER BY j)::vector FROM generate_series(1, 5) AS j';
CREATE FUNCTION fill(first int, last int, modulus int) RETURNS void LANGUAGE sql AS $$
    INSERT INTO item SELECT i, v, v, (abs(i * 2654435761) % 1099511627776)::bit(40), (v * array_fill(1, ARRAY[5])::vector)::sparsevec
    FROM generate_series(first, last) AS i, vector_of(i % modulus) AS v
$$;
SELECT fill(1, 600, 200);
UPDATE item SET v = NULL, h = NULL, b = NULL, s = NULL WHERE id % 50 = 0;
-- Zeros are not stored in sparse vectors.
UPDATE item SET s = v * '[1,0,1,0,1]' WHERE id % 3 = 0;
-- Ties are broken by place: that of a row which was changed in place is its first.
VACUUM (FULL, ANALYZE) item;
CREATE INDEX v_l2 ON item USING hnsw (v vector_l2_ops);
CREATE INDEX v_ip ON item USING hnsw (v vector_ip_ops) WITH (m = 4, ef_construction = 16);
CREATE INDEX v_cosine ON item USING hnsw (v vector_cosine_ops) WITH (rerank = 'index');
CREATE INDEX v_l1 ON item USING hnsw (v vector_l1_ops);
CREATE INDEX h_l2 ON item USING hnsw (h halfvec_l2_ops) WITH (rerank = 'index');
CREATE INDEX h_ip ON item USING hnsw (h halfvec_ip_ops);
CREATE INDEX h_cosine ON item USING hnsw (h halfvec_cosine_ops);
CREATE INDEX h_l1 ON item USING hnsw (h halfvec_l1_ops);
CREATE INDEX b_hamming ON item USING hnsw (b bit_hamming_ops);
CREATE INDEX b_jaccard ON item USING hnsw (b bit_jaccard_ops);
CREATE INDEX s_l2 ON item USING hnsw (s sparsevec_l2_ops);
CREATE INDEX s_ip ON item USING hnsw (s sparsevec_ip_ops);
CREATE INDEX s_cosine ON item USING hnsw (s sparsevec_cosine_ops);
CREATE INDEX s_l1 ON item USING hnsw (s sparsevec_l1_ops);

-- The operator's own index.
SET enable_seqscan = off;
EXPLAIN (COSTS OFF) SELECT id FROM item ORDER BY v <-> '[1,2,3,4,5]' LIMIT 3;
EXPLAIN (COSTS OFF) SELECT id FROM item ORDER BY v <#> '[1,2,3,4,5]' LIMIT 3;
EXPLAIN (COSTS OFF) SELECT id FROM item ORDER BY v <=> '[1,2,3,4,5]' LIMIT 3;
EXPLAIN (COSTS OFF) SELECT id FROM item ORDER BY v <+> '[1,2,3,4,5]' LIMIT 3;
EXPLAIN (COSTS OFF) SELECT id FROM item ORDER BY h <-> '[1,2,3,4,5]' LIMIT 3;
EXPLAIN (COSTS OFF) SELECT id FROM item ORDER BY h <#> '[1,2,3,4,5]' LIMIT 3;
EXPLAIN (COSTS OFF) SELECT id FROM item ORDER BY h <=> '[1,2,3,4,5]' LIMIT 3;
EXPLAIN (COSTS OFF) SELECT id FROM item ORDER BY h <+> '[1,2,3,4,5]' LIMIT 3;
EXPLAIN (COSTS OFF) SELECT id FROM item ORDER BY b <~> (repeat('10', 20)::bit(40)) LIMIT 3;
EXPLAIN (COSTS OFF) SELECT id FROM item ORDER BY b <%> (repeat('10', 20)::bit(40)) LIMIT 3;
EXPLAIN (COSTS OFF) SELECT id FROM item ORDER BY s <-> '{1:1}/5' LIMIT 3;
EXPLAIN (COSTS OFF) SELECT id FROM item ORDER BY s <#> '{1:1}/5' LIMIT 3;
EXPLAIN (COSTS OFF) SELECT id FROM item ORDER BY s <=> '{1:1}/5' LIMIT 3;
EXPLAIN (COSTS OFF) SELECT id FROM item ORDER BY s <+> '{1:1}/5' LIMIT 3;
SELECT pg_temp.nodes('SELECT id FROM item ORDER BY v <-> ''[1,2,3,4,5]'' DESC LIMIT 3');
RESET enable_seqscan;

-- The same answers as a sequential scan, for several queries: one row's own vector, one far away, the
-- zero vector.
SET hnsw.ef_search = 1000;
CREATE VIEW answers AS
SELECT operator, query, pg_temp.compare('item', operator || quote_literal(query)) AS all_rows,
       pg_temp.compare('item', operator || quote_literal(query), '10') AS nearest
FROM unnest(ARRAY['v <->', 'v <#>', 'v <=>', 'v <+>', 'h <->', 'h <#>', 'h <=>', 'h <+>']) AS operator,
     unnest(ARRAY['[1.5,2,-3,4.25,0]', vector_of(77)::text, '[1000,-2000,3000,0,1]', '[0,0,0,0,0]']) AS query
UNION ALL
SELECT operator, query, pg_temp.compare('item', format('b %s %L::bit(40)', operator, query)),
       pg_temp.compare('item', format('b %s %L::bit(40)', operator, query), '10')
FROM unnest(ARRAY['<~>', '<%>']) AS operator,
     unnest(ARRAY[repeat('1', 40), repeat('0', 40), repeat('0110', 10), repeat('00101110', 5)]) AS query
UNION ALL
SELECT operator, query, pg_temp.compare('item', operator || quote_literal(query)),
       pg_temp.compare('item', operator || quote_literal(query), '10')
FROM unnest(ARRAY['s <->', 's <#>', 's <=>', 's <+>']) AS operator,
     unnest(ARRAY['{1:1.5,2:2,3:-3,4:4.25}/5', vector_of(77)::sparsevec::text, '{2:-1000}/5', '{}/5']) AS query;
SELECT * FROM answers;
-- There are ties, so order by place was put to the test.
SELECT count(*) AS rows, count(DISTINCT v) AS vectors, count(DISTINCT b) AS bits FROM item WHERE v IS NOT NULL;

-- Rows inserted, changed and removed after the build.
SELECT fill(601, 850, 230);
UPDATE item SET v = vector_of(id + 3), h = vector_of(id + 5), b = ~b, s = vector_of(id + 7) WHERE id % 7 = 0;
DELETE FROM item WHERE id % 5 = 0;
SELECT operator, query, all_rows, nearest FROM answers WHERE query NOT LIKE '[1000%';
VACUUM item;
SELECT count(DISTINCT all_rows), min(all_rows), count(DISTINCT nearest), min(nearest) FROM answers;
SELECT fill(851, 1100, 90);
SELECT count(DISTINCT all_rows), min(all_rows), count(DISTINCT nearest), min(nearest) FROM answers;
SELECT relname, finding.* FROM pg_class, pgnear_index_check(oid) AS finding
WHERE relam = (SELECT oid FROM pg_am WHERE amname = 'hnsw') AND NOT harmless;

REINDEX TABLE item;
SELECT count(DISTINCT all_rows), min(all_rows), count(DISTINCT nearest), min(nearest) FROM answers;

-- Everything gone, and filled again.
DELETE FROM item;
VACUUM item;
SELECT count(DISTINCT all_rows), min(all_rows) FROM answers;
SELECT fill(1, 300, 1000);
SELECT count(DISTINCT all_rows), min(all_rows) FROM answers;
TRUNCATE item;
SELECT count(DISTINCT all_rows), min(all_rows) FROM answers;
SELECT fill(1, 20, 1000);
SELECT count(DISTINCT all_rows), min(all_rows) FROM answers;
SELECT relname, finding.* FROM pg_class, pgnear_index_check(oid) AS finding
WHERE relam = (SELECT oid FROM pg_am WHERE amname = 'hnsw') AND NOT harmless;

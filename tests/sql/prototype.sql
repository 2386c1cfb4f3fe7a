\pset format unaligned
\pset tuples_only on
-- The prototype that everybody starts with: random rows, ivfflat on inner product, the 5 nearest with
-- ids and scores, with and without a condition on another column. Scores are random, so what is
-- shown is what must hold of them.
CREATE EXTENSION pgnear;
\set ECHO none
\i sql/support/ask.psql
\set ECHO all
CREATE TABLE item (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    category int NOT NULL,
    embedding vector(768) NOT NULL
);
DO 'BEGIN PERFORM setseed(0.5); END';
INSERT INTO item (category, embedding)
SELECT i % 5, ARRAY(SELECT random() FROM generate_series(1, 768) WHERE i > 0)::vector
FROM generate_series(1, 1000) AS i;
SELECT count(*), count(DISTINCT embedding), min(id), max(id) FROM item;
CREATE INDEX item_embedding ON item USING ivfflat (embedding vector_ip_ops) WITH (lists = 100);
SELECT * FROM pgnear_index_check('item_embedding');
ANALYZE item;

-- The query, once; a plain SELECT would have it as a parameter.
CREATE TABLE query AS SELECT ARRAY(SELECT random() FROM generate_series(1, 768))::vector(768) AS q;
SELECT q AS query FROM query \gset
PREPARE nearest(vector) AS
    SELECT id, -(embedding <#> $1) AS score FROM item ORDER BY embedding <#> $1 LIMIT 5;
PREPARE nearest_in(vector, int) AS
    SELECT id, -(embedding <#> $1) AS score FROM item WHERE category = $2 ORDER BY embedding <#> $1 LIMIT 5;

-- At this size the planner may rightly choose a sequential scan; here each is chosen on purpose.
CREATE TABLE answer (scan text, condition text, rank bigint, id bigint, score float8);
\set ECHO none
CREATE FUNCTION pg_temp.answer(scan text, query text) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('INSERT INTO answer SELECT %L, %L, row_number() OVER (), * FROM (%s) AS a', scan, 'none',
        format('SELECT id, -(embedding <#> %L) FROM item ORDER BY embedding <#> %1$L LIMIT 5', query));
    EXECUTE format('INSERT INTO answer SELECT %L, %L, row_number() OVER (), * FROM (%s) AS a', scan, 'category 3',
        format('SELECT id, -(embedding <#> %L) FROM item WHERE category = 3 ORDER BY embedding <#> %1$L LIMIT 5', query));
    RETURN (SELECT count(*) FROM answer);
END
$$;
\set ECHO all
SET enable_indexscan = off;
SELECT pg_temp.nodes(format('EXECUTE nearest(%L)', :'query')),
       pg_temp.nodes(format('EXECUTE nearest_in(%L, 3)', :'query'));
SELECT pg_temp.answer('exact', :'query') AS answers;
RESET enable_indexscan;
SET enable_seqscan = off;
SET ivfflat.probes = 10;
SELECT pg_temp.nodes(format('EXECUTE nearest(%L)', :'query')),
       pg_temp.nodes(format('EXECUTE nearest_in(%L, 3)', :'query'));
SELECT pg_temp.answer('10 of 100 lists', :'query') AS answers;
SET ivfflat.probes = 100;
SELECT pg_temp.answer('all lists', :'query') AS answers;

-- Each answer has 5 rows, in order, of the table, with the operator's own score, and the condition
-- holds.
SELECT scan, condition, count(*), count(DISTINCT a.id), bool_and(score = -(embedding <#> q)) AS true_score,
       bool_and(condition = 'none' OR category = 3) AS condition_holds,
       array_agg(score ORDER BY rank) = array_agg(score ORDER BY score DESC) AS ordered
FROM answer AS a JOIN item USING (id), query GROUP BY scan, condition ORDER BY 1, 2;

-- With all lists probed the index's answer is the exact one; with a tenth of them its best row is
-- among the best of the table.
SELECT condition, array_agg(id ORDER BY rank) FILTER (WHERE scan = 'all lists')
                = array_agg(id ORDER BY rank) FILTER (WHERE scan = 'exact') AS equal
FROM answer GROUP BY condition ORDER BY condition;
SELECT condition, (SELECT count(*) < 50 FROM item, query WHERE -(embedding <#> q) > score) AS among_the_best
FROM answer WHERE scan LIKE '10 %' AND rank = 1 ORDER BY condition;

-- What it takes to find more: another list at a time until the LIMIT is full.
SET ivfflat.probes = 1;
SELECT count(*) < 40 FROM (SELECT FROM item WHERE category = 3 ORDER BY embedding <#> :'query' LIMIT 40) AS one_list;
SET ivfflat.iterative_scan = relaxed_order;
SELECT count(*) FROM (SELECT FROM item WHERE category = 3 ORDER BY embedding <#> :'query' LIMIT 40) AS further_lists;

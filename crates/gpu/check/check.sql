-- The same rows and distances, to the bit, with a GPU and without; and how long both take.
\set QUIET on
\pset pager off
-- Smaller where the GPU is a stand-in for one.
\if :{?rows} \else
\set rows 100000
\set questions 10000
\set lists 1000
\endif
CREATE EXTENSION pgnear;
-- All queries in one pass.
SET work_mem = '1GB';
SET pgnear.gpu = on;
\x on
SELECT * FROM pgnear_gpu_info();
\x off
SELECT setseed(0.5);
CREATE UNLOGGED TABLE items (id int8, embedding vector(384));
-- What is added makes each row's numbers another draw.
INSERT INTO items SELECT i, ARRAY(SELECT random() - 0.5 + i * 0 FROM generate_series(1, 384))::vector
    FROM generate_series(1, :rows) i;
CREATE UNLOGGED TABLE questions AS
    SELECT id, l2_normalize(embedding + (SELECT embedding FROM items WHERE id = 7)) AS embedding FROM items LIMIT :questions;
VACUUM ANALYZE items, questions;

CREATE FUNCTION answers(operator text, questions int) RETURNS TABLE (query int8, id int8, distance float8)
    LANGUAGE sql AS $$
    SELECT * FROM pgnear_knn('SELECT id, embedding FROM questions ORDER BY id LIMIT ' || questions,
        'SELECT id, embedding FROM items ORDER BY id', 10, operator) AS near(query int8, id int8, distance float8) $$;
-- By a join in plain SQL; the operator is always the same.
CREATE FUNCTION joined(questions int) RETURNS TABLE (query int8, id int8, distance float8) LANGUAGE sql AS $$
    SELECT q.id, near.id, near.distance FROM (SELECT * FROM questions ORDER BY id LIMIT $1) AS q CROSS JOIN LATERAL
        (SELECT items.id, items.embedding <=> q.embedding AS distance FROM items ORDER BY distance LIMIT 10) AS near $$;
CREATE PROCEDURE compare(operator text, questions int) LANGUAGE plpgsql AS $$
DECLARE
    start timestamptz := clock_timestamp();
    gpu interval;
    cpu interval;
    different int8;
BEGIN
    SET LOCAL pgnear.gpu = on;
    CREATE TEMP TABLE by_gpu (query int8, id int8, distance float8) ON COMMIT DROP;
    IF operator = 'a join' THEN
        INSERT INTO by_gpu SELECT * FROM joined(questions);
    ELSE
        INSERT INTO by_gpu SELECT * FROM answers(operator, questions);
    END IF;
    gpu := clock_timestamp() - start;
    start := clock_timestamp();
    SET LOCAL pgnear.gpu = off;
    CREATE TEMP TABLE by_cpu ON COMMIT DROP AS SELECT * FROM answers(replace(operator, 'a join', '<=>'), questions);
    cpu := clock_timestamp() - start;
    SELECT count(*) INTO different FROM (
        (TABLE by_gpu EXCEPT ALL TABLE by_cpu) UNION ALL (TABLE by_cpu EXCEPT ALL TABLE by_gpu)) AS all_of_them;
    ASSERT different = 0 AND (SELECT count(*) FROM by_cpu) = questions * 10, different || ' rows differ';
    RAISE INFO '% queries by % over % rows: same rows; GPU %, CPU %',
        questions, operator, (SELECT count(*) FROM items), gpu, cpu;
    COMMIT;
END $$;
CALL compare('<->', :questions / 100);
CALL compare('<->', :questions / 10);
CALL compare('<=>', :questions);
CALL compare('<#>', :questions);
CALL compare('<+>', :questions / 10);
CALL compare('a join', :questions);

SET enable_seqscan = off;
CREATE TEMP TABLE found (gpu text, query int8, ids int8[]);
CREATE PROCEDURE remember(gpu text) LANGUAGE sql AS $$
    INSERT INTO found SELECT gpu, q.id, ARRAY(SELECT i.id FROM items i ORDER BY i.embedding <=> q.embedding LIMIT 10)
    FROM questions q $$;
\timing on
SET pgnear.gpu = on;
CREATE INDEX made ON items USING ivfflat (embedding vector_cosine_ops) WITH (lists = :lists);
\timing off
CALL remember('on');
DROP INDEX made;
\timing on
SET pgnear.gpu = off;
CREATE INDEX made ON items USING ivfflat (embedding vector_cosine_ops) WITH (lists = :lists);
\timing off
CALL remember('off');
DO $$ BEGIN
    ASSERT (SELECT count(DISTINCT (query, ids)) * 2 = count(*) AND count(*) > 0 FROM found), 'another index';
END $$;
\x on
SELECT * FROM pgnear_gpu_stats();

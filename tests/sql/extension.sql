\pset format unaligned
\pset tuples_only on
-- The extension as an object: in a schema of its own, moved, dropped, under pgvector's name.
\set ECHO none
\i sql/support/ask.psql
\set ECHO all
CREATE SCHEMA near;
CREATE EXTENSION pgnear SCHEMA near;
SELECT count(*) > 100 AS functions, count(*) FILTER (WHERE nspname <> 'near') AS elsewhere
FROM pg_depend JOIN pg_proc ON pg_proc.oid = objid AND classid = 'pg_proc'::regclass JOIN pg_namespace ON pg_namespace.oid = pronamespace
WHERE refobjid = (SELECT oid FROM pg_extension WHERE extname = 'pgnear') AND deptype = 'e';
-- Off the search path everything works by its full name.
CREATE TABLE item (id int, v near.vector(3), h near.halfvec(3));
INSERT INTO item SELECT i, ARRAY[i, i % 7, i % 5], ARRAY[i, i % 7, i % 5] FROM generate_series(1, 100) AS i;
CREATE INDEX item_v ON item USING ivfflat (v) WITH (lists = 2);
CREATE INDEX item_h ON item USING ivfflat (h near.halfvec_cosine_ops) WITH (lists = 2);
SELECT pg_get_indexdef('item_h'::regclass);
SET ivfflat.probes = 2;
SET enable_seqscan = off;
SELECT id FROM item ORDER BY v OPERATOR(near.<->) '[50,1,1]' LIMIT 3;
SELECT pg_temp.nodes($$SELECT id FROM item ORDER BY h OPERATOR(near.<=>) '[50,1,1]' LIMIT 3$$);
SELECT near.avg(v), near.sum(h), count(DISTINCT v), near.l2_distance('[1,2,2]', '[0,0,0]'::near.vector) FROM item;
SELECT id FROM item ORDER BY v <-> '[50,1,1]' LIMIT 3;

-- Moved to another schema, under use.
ALTER EXTENSION pgnear SET SCHEMA public;
SELECT id FROM item ORDER BY v <-> '[50,1,1]' LIMIT 3;
SELECT pg_get_indexdef('item_h'::regclass), format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'item'::regclass AND attname = 'h';
INSERT INTO item VALUES (101, '[50,1,1]', '[50,1,1]');
SELECT id FROM item ORDER BY v <-> '[50,1,1]' LIMIT 1;
REINDEX TABLE item;
SELECT finding.* FROM unnest(ARRAY['item_v', 'item_h']::regclass[]) AS index, pgnear_index_check(index) AS finding;
SELECT avg(v), '[1,2,3]'::vector::halfvec::sparsevec, '{1,2}'::real[]::vector FROM item WHERE id = 101;

-- A second one in the same database, under either name, is refused.
CREATE EXTENSION pgnear;
CREATE EXTENSION IF NOT EXISTS pgnear;
SELECT pg_temp.try('CREATE EXTENSION vector');
SELECT pg_temp.try('CREATE EXTENSION vector SCHEMA near');

-- Dropped: not while something needs it, and then without a trace.
DROP EXTENSION pgnear;
SET client_min_messages = warning;
DROP EXTENSION pgnear CASCADE;
RESET client_min_messages;
\d item
SELECT count(*) FROM pg_am WHERE amname = 'ivfflat';
SELECT count(*) FROM pg_type WHERE typname IN ('vector', 'halfvec', 'sparsevec', '_vector', '_halfvec', '_sparsevec');

-- Under pgvector's name it has the same objects; so what was written for that finds them.
CREATE EXTENSION IF NOT EXISTS vector;
SELECT extname, extversion, extrelocatable FROM pg_extension WHERE extname <> 'plpgsql';
CREATE TABLE other (id int, v vector(3));
INSERT INTO other SELECT i, ARRAY[i, i % 7, i % 5] FROM generate_series(1, 100) AS i;
CREATE INDEX ON other USING ivfflat (v vector_l2_ops) WITH (lists = 2);
SELECT id FROM other ORDER BY v <-> '[50,1,1]' LIMIT 3;
SELECT pg_temp.nodes($$SELECT id FROM other ORDER BY v <-> '[50,1,1]' LIMIT 3$$);
SELECT pg_temp.try('CREATE EXTENSION pgnear');
DROP EXTENSION vector CASCADE;
CREATE EXTENSION pgnear;
SELECT '[1,2,3]'::vector <-> '[1,2,4]';

-- Not for everybody to create.
DROP EXTENSION pgnear;
CREATE ROLE t_extension_user;
GRANT CREATE ON SCHEMA public TO t_extension_user;
SET ROLE t_extension_user;
CREATE EXTENSION pgnear;
RESET ROLE;
DROP OWNED BY t_extension_user;
DROP ROLE t_extension_user;

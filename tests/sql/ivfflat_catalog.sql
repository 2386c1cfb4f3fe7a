-- ivfflat in the catalog: what it can do, its settings, operator classes, and its check.
CREATE EXTENSION pgnear;
\set ECHO none
\i sql/support/ask.psql
\set ECHO all
CREATE TABLE item (id int PRIMARY KEY, v vector(3));
INSERT INTO item SELECT i, ARRAY[i, i * i % 31, 1] FROM generate_series(1, 100) AS i;
CREATE INDEX item_v ON item USING ivfflat (v) WITH (lists = 4);
\pset tuples_only off
\pset format aligned
\d item
\dA ivfflat
\pset format unaligned
\pset tuples_only on

SELECT property, pg_indexam_has_property(oid, property)
FROM pg_am, unnest(ARRAY['can_order', 'can_unique', 'can_multi_col', 'can_exclude', 'can_include']) AS property WHERE amname = 'ivfflat';
SELECT property, pg_index_has_property('item_v'::regclass, property)
FROM unnest(ARRAY['clusterable', 'index_scan', 'bitmap_scan', 'backward_scan']) AS property;
SELECT property, pg_index_column_has_property('item_v'::regclass, 1, property)
FROM unnest(ARRAY['asc', 'desc', 'nulls_first', 'nulls_last', 'orderable', 'distance_orderable', 'returnable', 'search_array', 'search_nulls']) AS property;

-- Phases of a build.
SELECT phase, pg_indexam_progress_phasename(oid, phase) FROM pg_am, generate_series(0, 5) AS phase WHERE amname = 'ivfflat';

-- Settings.
SELECT name, setting, min_val, max_val, enumvals, context, category FROM pg_settings
WHERE name LIKE 'ivfflat.%' OR name LIKE 'pgnear.%' ORDER BY name;
SET ivfflat.probes = 0;
SET ivfflat.probes = 32769;
SET ivfflat.max_probes = 0;
SET ivfflat.max_probes = 32769;
SET ivfflat.iterative_scan = on;
SET pgnear.max_threads = -1;
SET pgnear.max_threads = 1025;
SET ivfflat.prober = 1;
SET pgnear.maximal_threads = 1;
-- For one transaction, one function, one role.
BEGIN;
SET LOCAL ivfflat.probes = 7;
SHOW ivfflat.probes;
COMMIT;
SHOW ivfflat.probes;
CREATE FUNCTION wide_search() RETURNS text LANGUAGE sql SET ivfflat.probes = 20 AS $$ SELECT current_setting('ivfflat.probes') $$;
SELECT wide_search(), current_setting('ivfflat.probes');

-- Operator classes are complete.
SELECT opcname, opcintype::regtype, opcdefault, amvalidate(opclass.oid)
FROM pg_opclass AS opclass JOIN pg_am AS am ON am.oid = opcmethod WHERE amname = 'ivfflat' ORDER BY 1;
-- One of a user's own works like those.
CREATE OPERATOR CLASS own_ops FOR TYPE vector USING ivfflat AS
    OPERATOR 1 <#>(vector, vector) FOR ORDER BY float_ops,
    FUNCTION 1 vector_negative_inner_product(vector, vector), FUNCTION 3 vector_spherical_distance(vector, vector), FUNCTION 4 vector_norm(vector);
SELECT amvalidate(oid) FROM pg_opclass WHERE opcname = 'own_ops';
CREATE INDEX own ON item USING ivfflat (v own_ops) WITH (lists = 4);
SET enable_seqscan = off;
EXPLAIN (COSTS OFF) SELECT id FROM item ORDER BY v <#> '[1,2,3]' LIMIT 3;
RESET enable_seqscan;
DROP INDEX own;
-- One that lacks its distance, or is for searching, is found out, and makes no index.
CREATE OPERATOR CLASS no_distance_ops FOR TYPE vector USING ivfflat AS OPERATOR 1 <->(vector, vector) FOR ORDER BY float_ops;
SELECT amvalidate(oid) FROM pg_opclass WHERE opcname = 'no_distance_ops';
CREATE INDEX ON item USING ivfflat (v no_distance_ops);
CREATE OPERATOR CLASS search_ops FOR TYPE vector USING ivfflat AS OPERATOR 1 =(vector, vector), FUNCTION 1 vector_l2_squared_distance(vector, vector);
SELECT amvalidate(oid) FROM pg_opclass WHERE opcname = 'search_ops';
CREATE OPERATOR CLASS many_ops FOR TYPE vector USING ivfflat AS
    OPERATOR 1 <->(vector, vector) FOR ORDER BY float_ops, OPERATOR 2 <#>(vector, vector) FOR ORDER BY float_ops,
    FUNCTION 1 vector_l2_squared_distance(vector, vector), FUNCTION 5 hashint4(int);
SELECT amvalidate(oid) FROM pg_opclass WHERE opcname = 'many_ops';
-- One whose functions are not what their numbers say, or that is sorted as something else.
CREATE OPERATOR CLASS odd_ops FOR TYPE vector USING ivfflat AS
    OPERATOR 1 <->(vector, vector) FOR ORDER BY integer_ops,
    FUNCTION 1 vector_cmp(vector, vector), FUNCTION 2 vector_dims(vector), FUNCTION 3 vector_norm(vector), FUNCTION 5 vector_norm(vector);
SELECT amvalidate(oid) FROM pg_opclass WHERE opcname = 'odd_ops';
CREATE OPERATOR CLASS mixed_ops FOR TYPE vector USING ivfflat AS
    OPERATOR 1 <->(halfvec, halfvec) FOR ORDER BY float_ops, FUNCTION 1 (vector, vector) l2_distance(halfvec, halfvec);
SELECT amvalidate(oid) FROM pg_opclass WHERE opcname = 'mixed_ops';
CREATE OPERATOR CLASS foreign_ops FOR TYPE int4 USING ivfflat AS
    OPERATOR 1 -(int4, int4) FOR ORDER BY integer_ops, FUNCTION 1 int4mi(int4, int4);
SELECT amvalidate(oid) FROM pg_opclass WHERE opcname = 'foreign_ops';
CREATE INDEX ON item USING ivfflat (id foreign_ops);
CREATE OPERATOR CLASS sum_ops FOR TYPE vector USING ivfflat AS
    OPERATOR 1 <->(vector, vector) FOR ORDER BY float_ops, FUNCTION 1 l1_distance(vector, vector);
CREATE INDEX ON item USING ivfflat (v sum_ops);
CREATE OPERATOR CLASS sixth_ops FOR TYPE vector USING ivfflat AS
    OPERATOR 1 <->(vector, vector) FOR ORDER BY float_ops,
    FUNCTION 1 vector_l2_squared_distance(vector, vector), FUNCTION 6 vector_norm(vector);
SELECT count(*) AS indexes FROM pg_index WHERE indrelid = 'item'::regclass;

-- pgnear_index_check: nothing to say of a good index; an error for what is none of ours.
SELECT * FROM pgnear_index_check('item_v');
SELECT * FROM pgnear_index_check('item');
SELECT * FROM pgnear_index_check('item_pkey');
SELECT * FROM pgnear_index_check('no_such_index');
SELECT * FROM pgnear_index_check(4294967295::oid);
SELECT * FROM pgnear_index_check(NULL);
CREATE TABLE whole (v vector(3)) PARTITION BY HASH (v);
CREATE INDEX whole_v ON whole USING ivfflat (v);
SELECT split_part(pg_temp.try($$SELECT * FROM pgnear_index_check('whole_v')$$), ':', 1) AS of_a_partitioned_index;
-- Only for the index's owner.
CREATE ROLE t_ivfflat_reader;
GRANT SELECT ON item TO t_ivfflat_reader;
SET ROLE t_ivfflat_reader;
SELECT count(*) > 0 FROM (SELECT FROM item ORDER BY v <-> '[1,2,3]' LIMIT 1) AS answer;
SELECT * FROM pgnear_index_check('item_v');
RESET ROLE;
ALTER TABLE item OWNER TO t_ivfflat_reader;
SET ROLE t_ivfflat_reader;
SELECT * FROM pgnear_index_check('item_v');
RESET ROLE;
DROP OWNED BY t_ivfflat_reader;
DROP ROLE t_ivfflat_reader;

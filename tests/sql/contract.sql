-- The installed catalog against the facts in contract/*.tsv.
CREATE EXTENSION pgnear;
\pset format unaligned
\pset fieldsep ' | '

-- What is installed, in the columns of the facts.
CREATE TEMP VIEW member AS
SELECT classid, objid FROM pg_depend
WHERE deptype = 'e' AND refclassid = 'pg_extension'::regclass
  AND refobjid = (SELECT oid FROM pg_extension WHERE extname IN ('pgnear', 'vector'));

CREATE TEMP VIEW have_types AS
SELECT typname AS type, typlen, typbyval, typalign, typstorage, typdelim,
       typinput, typoutput, typreceive, typsend, typmodin, typmodout, typanalyze, typsubscript,
       typcategory, CASE typarray WHEN 0 THEN '-' ELSE format_type(typarray, NULL) END AS "array"
FROM pg_type
WHERE oid IN (SELECT objid FROM member WHERE classid = 'pg_type'::regclass)
   OR typelem IN (SELECT objid FROM member WHERE classid = 'pg_type'::regclass);

CREATE TEMP VIEW have_functions AS
SELECT proname AS function, pg_get_function_arguments(p.oid) AS arguments,
       pg_get_function_result(p.oid) AS result,
       CASE prokind WHEN 'a' THEN '(aggregate)' ELSE prosrc END AS c_symbol,
       provolatile AS volatility, proisstrict AS strict, proparallel AS parallel, procost AS cost
FROM pg_proc p JOIN member ON classid = 'pg_proc'::regclass AND objid = p.oid;

CREATE TEMP VIEW have_aggregates AS
SELECT proname AS aggregate, pg_get_function_arguments(p.oid) AS arguments,
       aggtransfn AS sfunc, format_type(aggtranstype, NULL) AS stype, aggfinalfn AS finalfunc,
       aggcombinefn AS combinefunc, agginitval AS initcond, proparallel AS parallel
FROM pg_aggregate a JOIN pg_proc p ON p.oid = aggfnoid
JOIN member ON classid = 'pg_proc'::regclass AND objid = p.oid;

CREATE TEMP VIEW have_operators AS
SELECT oprname AS operator, format_type(oprleft, NULL) AS "left", format_type(oprright, NULL) AS "right",
       format_type(oprresult, NULL) AS result, oprcode AS function,
       oprcom::regoperator AS commutator, nullif(oprnegate, 0)::regoperator AS negator,
       oprrest AS restrict, oprjoin AS "join", oprcanhash AS hashes, oprcanmerge AS merges
FROM pg_operator o JOIN member ON classid = 'pg_operator'::regclass AND objid = o.oid;

CREATE TEMP VIEW have_casts AS
SELECT format_type(castsource, NULL) AS source, format_type(casttarget, NULL) AS target,
       castfunc::regprocedure AS function, castcontext AS context, castmethod AS method
FROM pg_cast c JOIN member ON classid = 'pg_cast'::regclass AND objid = c.oid;

CREATE TEMP VIEW have_opclasses AS
SELECT amname AS method, opcname AS opclass, format_type(opcintype, NULL) AS type,
       opcdefault AS is_default, nullif(opckeytype, 0)::regtype AS key_type, opfname AS family,
       (SELECT string_agg(format('%s:%s:%s:%s', amopstrategy, amopopr::regoperator, amoppurpose, sf.opfname),
                          ' ' ORDER BY amopstrategy)
        FROM pg_amop LEFT JOIN pg_opfamily sf ON sf.oid = amopsortfamily WHERE amopfamily = f.oid) AS operators,
       (SELECT string_agg(format('%s:%s', amprocnum, amproc::oid::regprocedure), ' ' ORDER BY amprocnum)
        FROM pg_amproc WHERE amprocfamily = f.oid) AS support
FROM pg_opclass c JOIN pg_opfamily f ON f.oid = opcfamily JOIN pg_am a ON a.oid = opcmethod
JOIN member ON classid = 'pg_opclass'::regclass AND objid = c.oid;

CREATE TEMP VIEW have_access_methods AS
SELECT amname, amhandler, amtype, obj_description(a.oid, 'pg_am')
FROM pg_am a JOIN member ON classid = 'pg_am'::regclass AND objid = a.oid;

-- Settings are there once the library is loaded.
SELECT '[1]'::vector;
CREATE TEMP VIEW have_settings AS
SELECT name, vartype, boot_val, min_val, max_val, enumvals, context, short_desc
FROM pg_settings WHERE name ~ '^(hnsw|ivfflat|pgnear)\.';

-- The facts.
CREATE TEMP TABLE want_types (type text, typlen text, typbyval text, typalign text, typstorage text, typdelim text, typinput text, typoutput text, typreceive text, typsend text, typmodin text, typmodout text, typanalyze text, typsubscript text, typcategory text, "array" text);
CREATE TEMP TABLE want_functions (function text, arguments text, result text, c_symbol text, volatility text, strict text, parallel text, cost text);
CREATE TEMP TABLE want_aggregates (aggregate text, arguments text, sfunc text, stype text, finalfunc text, combinefunc text, initcond text, parallel text);
CREATE TEMP TABLE want_operators (operator text, "left" text, "right" text, result text, function text, commutator text, negator text, restrict text, "join" text, hashes text, merges text);
CREATE TEMP TABLE want_casts (source text, target text, function text, context text, method text);
CREATE TEMP TABLE want_opclasses (method text, opclass text, type text, is_default text, key_type text, family text, operators text, support text);
CREATE TEMP TABLE want_access_methods (amname text, amhandler text, amtype text, obj_description text);
CREATE TEMP TABLE want_settings (name text, vartype text, boot_val text, min_val text, max_val text, enumvals text, context text, short_desc text);
CREATE TEMP TABLE not_yet (kind text, key text, comes_with text);
\copy want_types FROM 'contract/types.tsv' (FORMAT csv, DELIMITER E'\t', QUOTE E'\b', HEADER)
\copy want_functions FROM 'contract/functions.tsv' (FORMAT csv, DELIMITER E'\t', QUOTE E'\b', HEADER)
\copy want_aggregates FROM 'contract/aggregates.tsv' (FORMAT csv, DELIMITER E'\t', QUOTE E'\b', HEADER)
\copy want_operators FROM 'contract/operators.tsv' (FORMAT csv, DELIMITER E'\t', QUOTE E'\b', HEADER)
\copy want_casts FROM 'contract/casts.tsv' (FORMAT csv, DELIMITER E'\t', QUOTE E'\b', HEADER)
\copy want_opclasses FROM 'contract/opclasses.tsv' (FORMAT csv, DELIMITER E'\t', QUOTE E'\b', HEADER)
\copy want_access_methods FROM 'contract/access_methods.tsv' (FORMAT csv, DELIMITER E'\t', QUOTE E'\b', HEADER)
\copy want_settings FROM 'contract/settings.tsv' (FORMAT csv, DELIMITER E'\t', QUOTE E'\b', HEADER)
\copy not_yet FROM 'contract/not_yet.tsv' (FORMAT csv, DELIMITER E'\t', QUOTE E'\b', HEADER)

-- Both sides as (kind, key, column, value).
CREATE TEMP TABLE cell (side text, kind text, key text, col text, value text);
CREATE FUNCTION pg_temp.load_cells(kind text, key text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    side text;
BEGIN
    FOREACH side IN ARRAY ARRAY['want', 'have'] LOOP
        -- A boolean is t or f in the facts; NULL is empty.
        EXECUTE format(
            'INSERT INTO cell SELECT %L, %L, %s, col,
                    CASE WHEN jsonb_typeof(value) = ''boolean'' THEN left(value #>> ''{}'', 1)
                         WHEN jsonb_typeof(value) = ''array''
                         THEN (SELECT ''{'' || string_agg(e, '','' ORDER BY n) || ''}'' FROM jsonb_array_elements_text(value) WITH ORDINALITY AS x(e, n))
                         ELSE value #>> ''{}'' END
             FROM %I AS r, jsonb_each(to_jsonb(r)) AS c(col, value)',
            side, kind, key, side || '_' || kind);
    END LOOP;
END
$$;
SELECT count(pg_temp.load_cells(kind, key)) AS kinds FROM (VALUES
    ('types', 'type'),
    ('functions', 'function || ''('' || arguments || '')'''),
    ('aggregates', 'aggregate || ''('' || arguments || '')'''),
    ('operators', 'operator || ''('' || "left" || '','' || "right" || '')'''),
    ('casts', 'source || '' AS '' || target'),
    ('opclasses', 'method || '' '' || opclass'),
    ('access_methods', 'amname'),
    ('settings', 'name')) AS k(kind, key);

-- How many facts there are, how many of them hold.
CREATE TEMP VIEW fact AS SELECT DISTINCT kind, key FROM cell WHERE side = 'want';
CREATE TEMP VIEW installed AS SELECT DISTINCT kind, key FROM cell WHERE side = 'have';
SELECT kind, count(*) AS facts,
       count(*) FILTER (WHERE (kind, key) IN (SELECT kind, key FROM installed)) AS installed,
       count(*) FILTER (WHERE (kind, key) IN (SELECT kind, key FROM not_yet)) AS not_yet
FROM fact GROUP BY kind ORDER BY kind;

-- Missing, and not said to be: must be none.
SELECT kind, key FROM fact
EXCEPT SELECT kind, key FROM installed
EXCEPT SELECT kind, key FROM not_yet ORDER BY 1, 2;

-- Said to be missing, but installed or no fact: must be none.
SELECT kind, key, (kind, key) IN (SELECT kind, key FROM fact) AS is_fact
FROM not_yet
WHERE (kind, key) IN (SELECT kind, key FROM installed) OR (kind, key) NOT IN (SELECT kind, key FROM fact)
ORDER BY 1, 2;

-- Installed with another value than the fact.
CREATE TEMP VIEW difference AS
SELECT kind, key, col, w.value AS fact, h.value AS installed,
       col = 'cost'
       OR (kind = 'operators' AND col = 'hashes' AND key ~ '^=\(' AND h.value = 't')
       OR (kind = 'types' AND col = 'typsubscript' AND w.value = '-') AS allowed
FROM cell w JOIN cell h USING (kind, key, col)
WHERE w.side = 'want' AND h.side = 'have' AND w.value IS DISTINCT FROM h.value;

-- Must be none.
SELECT kind, key, col, fact, installed FROM difference WHERE NOT allowed ORDER BY 1, 2, 3;

-- Where we offer more. The cost of functions is left out: it is ours to choose.
SELECT kind, key, col, fact, installed FROM difference WHERE allowed AND col <> 'cost' ORDER BY 1, 2, 3;

-- Objects beyond the facts.
SELECT kind, key, string_agg(format('%s=%s', col, value), ' ' ORDER BY col) FILTER (WHERE col <> 'cost') AS columns
FROM cell WHERE side = 'have' AND (kind, key) NOT IN (SELECT kind, key FROM fact)
GROUP BY kind, key ORDER BY kind, key;

-- Every object has a comment: must be none. (Array types are members on some majors.)
SELECT pg_describe_object(classid, objid, 0)
FROM member JOIN pg_class c ON c.oid = classid
WHERE obj_description(objid, c.relname) IS NULL
  AND (classid, objid) NOT IN (SELECT 'pg_type'::regclass, typarray FROM pg_type)
ORDER BY 1;

-- Functions for whoever looks after an index.

CREATE FUNCTION pgnear_index_check(
        index regclass,
        OUT block bigint, OUT list integer, OUT entry integer,
        OUT kind text, OUT harmless boolean, OUT message text)
    RETURNS SETOF record
    AS 'MODULE_PATHNAME', 'pgnear_index_check' LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;

COMMENT ON FUNCTION pgnear_index_check(regclass) IS
    'verifies an index page by page; returns a row for each finding';

-- Exact search of many queries in one pass over the rows.

CREATE FUNCTION pgnear_knn(
        queries text, rows text, k integer,
        operator text DEFAULT '<->', within double precision DEFAULT NULL)
    RETURNS SETOF record
    AS 'MODULE_PATHNAME', 'pgnear_knn' LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000;

COMMENT ON FUNCTION pgnear_knn(text, text, integer, text, double precision) IS
    'the k rows nearest to each query, of two SELECTs of an id and a vector: exact, in one pass, on all cores';

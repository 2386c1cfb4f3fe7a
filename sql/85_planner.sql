-- What the planner is told about distances: their cost grows with the dimensions and with where the
-- vectors are stored, so that exact search over a large table runs in parallel.

CREATE FUNCTION pgnear_distance_support(internal) RETURNS internal
    AS 'MODULE_PATHNAME', 'pgnear_distance_support' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION pgnear_distance_support(internal) IS
    'tells the planner what a distance costs';

ALTER FUNCTION l2_distance(vector, vector) SUPPORT pgnear_distance_support;
ALTER FUNCTION inner_product(vector, vector) SUPPORT pgnear_distance_support;
ALTER FUNCTION cosine_distance(vector, vector) SUPPORT pgnear_distance_support;
ALTER FUNCTION l1_distance(vector, vector) SUPPORT pgnear_distance_support;
ALTER FUNCTION vector_l2_squared_distance(vector, vector) SUPPORT pgnear_distance_support;
ALTER FUNCTION vector_negative_inner_product(vector, vector) SUPPORT pgnear_distance_support;
ALTER FUNCTION vector_spherical_distance(vector, vector) SUPPORT pgnear_distance_support;

ALTER FUNCTION l2_distance(halfvec, halfvec) SUPPORT pgnear_distance_support;
ALTER FUNCTION inner_product(halfvec, halfvec) SUPPORT pgnear_distance_support;
ALTER FUNCTION cosine_distance(halfvec, halfvec) SUPPORT pgnear_distance_support;
ALTER FUNCTION l1_distance(halfvec, halfvec) SUPPORT pgnear_distance_support;
ALTER FUNCTION halfvec_l2_squared_distance(halfvec, halfvec) SUPPORT pgnear_distance_support;
ALTER FUNCTION halfvec_negative_inner_product(halfvec, halfvec) SUPPORT pgnear_distance_support;
ALTER FUNCTION halfvec_spherical_distance(halfvec, halfvec) SUPPORT pgnear_distance_support;

ALTER FUNCTION l2_distance(sparsevec, sparsevec) SUPPORT pgnear_distance_support;
ALTER FUNCTION inner_product(sparsevec, sparsevec) SUPPORT pgnear_distance_support;
ALTER FUNCTION cosine_distance(sparsevec, sparsevec) SUPPORT pgnear_distance_support;
ALTER FUNCTION l1_distance(sparsevec, sparsevec) SUPPORT pgnear_distance_support;
ALTER FUNCTION sparsevec_l2_squared_distance(sparsevec, sparsevec) SUPPORT pgnear_distance_support;
ALTER FUNCTION sparsevec_negative_inner_product(sparsevec, sparsevec) SUPPORT pgnear_distance_support;

ALTER FUNCTION hamming_distance(bit, bit) SUPPORT pgnear_distance_support;
ALTER FUNCTION jaccard_distance(bit, bit) SUPPORT pgnear_distance_support;

-- Plans call it for the distance of a row that an index hands out; nobody else needs to.

CREATE FUNCTION pgnear_scan_distance(index regclass, ctid tid, distance regprocedure, "any", "any") RETURNS double precision
    AS 'MODULE_PATHNAME', 'pgnear_scan_distance' LANGUAGE C VOLATILE PARALLEL SAFE COST 1;

COMMENT ON FUNCTION pgnear_scan_distance(regclass, tid, regprocedure, "any", "any") IS
    'in plans: the distance of the row that an index scan has just handed out';

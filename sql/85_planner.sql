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

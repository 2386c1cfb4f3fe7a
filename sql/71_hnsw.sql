-- The access method hnsw and its operator classes.
-- Support functions: 1 distance for the order of the scan, 2 norm (a row whose norm is zero is not
-- indexed), 3 what the access method has to know of a type other than vector.

CREATE FUNCTION hnswhandler(internal) RETURNS index_am_handler
    AS 'MODULE_PATHNAME', 'hnswhandler' LANGUAGE C;

CREATE FUNCTION hnsw_halfvec_support(internal) RETURNS internal
    AS 'MODULE_PATHNAME', 'hnsw_halfvec_support' LANGUAGE C;

CREATE FUNCTION hnsw_bit_support(internal) RETURNS internal
    AS 'MODULE_PATHNAME', 'hnsw_bit_support' LANGUAGE C;

CREATE FUNCTION hnsw_sparsevec_support(internal) RETURNS internal
    AS 'MODULE_PATHNAME', 'hnsw_sparsevec_support' LANGUAGE C;

CREATE ACCESS METHOD hnsw TYPE INDEX HANDLER hnswhandler;

COMMENT ON ACCESS METHOD hnsw IS 'hnsw index access method';
COMMENT ON FUNCTION hnswhandler(internal) IS 'hnsw index access method handler';
COMMENT ON FUNCTION hnsw_halfvec_support(internal) IS 'type support of hnsw for halfvec';
COMMENT ON FUNCTION hnsw_bit_support(internal) IS 'type support of hnsw for bit';
COMMENT ON FUNCTION hnsw_sparsevec_support(internal) IS 'type support of hnsw for sparsevec';

CREATE OPERATOR CLASS vector_l2_ops
    FOR TYPE vector USING hnsw AS
    OPERATOR 1 <->(vector, vector) FOR ORDER BY float_ops,
    FUNCTION 1 vector_l2_squared_distance(vector, vector);

CREATE OPERATOR CLASS vector_ip_ops
    FOR TYPE vector USING hnsw AS
    OPERATOR 1 <#>(vector, vector) FOR ORDER BY float_ops,
    FUNCTION 1 vector_negative_inner_product(vector, vector);

CREATE OPERATOR CLASS vector_cosine_ops
    FOR TYPE vector USING hnsw AS
    OPERATOR 1 <=>(vector, vector) FOR ORDER BY float_ops,
    FUNCTION 1 vector_negative_inner_product(vector, vector),
    FUNCTION 2 vector_norm(vector);

CREATE OPERATOR CLASS vector_l1_ops
    FOR TYPE vector USING hnsw AS
    OPERATOR 1 <+>(vector, vector) FOR ORDER BY float_ops,
    FUNCTION 1 l1_distance(vector, vector);

CREATE OPERATOR CLASS halfvec_l2_ops
    FOR TYPE halfvec USING hnsw AS
    OPERATOR 1 <->(halfvec, halfvec) FOR ORDER BY float_ops,
    FUNCTION 1 halfvec_l2_squared_distance(halfvec, halfvec),
    FUNCTION 3 hnsw_halfvec_support(internal);

CREATE OPERATOR CLASS halfvec_ip_ops
    FOR TYPE halfvec USING hnsw AS
    OPERATOR 1 <#>(halfvec, halfvec) FOR ORDER BY float_ops,
    FUNCTION 1 halfvec_negative_inner_product(halfvec, halfvec),
    FUNCTION 3 hnsw_halfvec_support(internal);

CREATE OPERATOR CLASS halfvec_cosine_ops
    FOR TYPE halfvec USING hnsw AS
    OPERATOR 1 <=>(halfvec, halfvec) FOR ORDER BY float_ops,
    FUNCTION 1 halfvec_negative_inner_product(halfvec, halfvec),
    FUNCTION 2 l2_norm(halfvec),
    FUNCTION 3 hnsw_halfvec_support(internal);

CREATE OPERATOR CLASS halfvec_l1_ops
    FOR TYPE halfvec USING hnsw AS
    OPERATOR 1 <+>(halfvec, halfvec) FOR ORDER BY float_ops,
    FUNCTION 1 l1_distance(halfvec, halfvec),
    FUNCTION 3 hnsw_halfvec_support(internal);

CREATE OPERATOR CLASS sparsevec_l2_ops
    FOR TYPE sparsevec USING hnsw AS
    OPERATOR 1 <->(sparsevec, sparsevec) FOR ORDER BY float_ops,
    FUNCTION 1 sparsevec_l2_squared_distance(sparsevec, sparsevec),
    FUNCTION 3 hnsw_sparsevec_support(internal);

CREATE OPERATOR CLASS sparsevec_ip_ops
    FOR TYPE sparsevec USING hnsw AS
    OPERATOR 1 <#>(sparsevec, sparsevec) FOR ORDER BY float_ops,
    FUNCTION 1 sparsevec_negative_inner_product(sparsevec, sparsevec),
    FUNCTION 3 hnsw_sparsevec_support(internal);

CREATE OPERATOR CLASS sparsevec_cosine_ops
    FOR TYPE sparsevec USING hnsw AS
    OPERATOR 1 <=>(sparsevec, sparsevec) FOR ORDER BY float_ops,
    FUNCTION 1 sparsevec_negative_inner_product(sparsevec, sparsevec),
    FUNCTION 2 l2_norm(sparsevec),
    FUNCTION 3 hnsw_sparsevec_support(internal);

CREATE OPERATOR CLASS sparsevec_l1_ops
    FOR TYPE sparsevec USING hnsw AS
    OPERATOR 1 <+>(sparsevec, sparsevec) FOR ORDER BY float_ops,
    FUNCTION 1 l1_distance(sparsevec, sparsevec),
    FUNCTION 3 hnsw_sparsevec_support(internal);

CREATE OPERATOR CLASS bit_hamming_ops
    FOR TYPE bit USING hnsw AS
    OPERATOR 1 <~>(bit, bit) FOR ORDER BY float_ops,
    FUNCTION 1 hamming_distance(bit, bit),
    FUNCTION 3 hnsw_bit_support(internal);

CREATE OPERATOR CLASS bit_jaccard_ops
    FOR TYPE bit USING hnsw AS
    OPERATOR 1 <%>(bit, bit) FOR ORDER BY float_ops,
    FUNCTION 1 jaccard_distance(bit, bit),
    FUNCTION 3 hnsw_bit_support(internal);

COMMENT ON OPERATOR CLASS vector_l2_ops USING hnsw IS 'vector by Euclidean distance';
COMMENT ON OPERATOR FAMILY vector_l2_ops USING hnsw IS 'vector by Euclidean distance';
COMMENT ON OPERATOR CLASS vector_ip_ops USING hnsw IS 'vector by inner product';
COMMENT ON OPERATOR FAMILY vector_ip_ops USING hnsw IS 'vector by inner product';
COMMENT ON OPERATOR CLASS vector_cosine_ops USING hnsw IS 'vector by cosine distance';
COMMENT ON OPERATOR FAMILY vector_cosine_ops USING hnsw IS 'vector by cosine distance';
COMMENT ON OPERATOR CLASS vector_l1_ops USING hnsw IS 'vector by Manhattan distance';
COMMENT ON OPERATOR FAMILY vector_l1_ops USING hnsw IS 'vector by Manhattan distance';
COMMENT ON OPERATOR CLASS halfvec_l2_ops USING hnsw IS 'halfvec by Euclidean distance';
COMMENT ON OPERATOR FAMILY halfvec_l2_ops USING hnsw IS 'halfvec by Euclidean distance';
COMMENT ON OPERATOR CLASS halfvec_ip_ops USING hnsw IS 'halfvec by inner product';
COMMENT ON OPERATOR FAMILY halfvec_ip_ops USING hnsw IS 'halfvec by inner product';
COMMENT ON OPERATOR CLASS halfvec_cosine_ops USING hnsw IS 'halfvec by cosine distance';
COMMENT ON OPERATOR FAMILY halfvec_cosine_ops USING hnsw IS 'halfvec by cosine distance';
COMMENT ON OPERATOR CLASS halfvec_l1_ops USING hnsw IS 'halfvec by Manhattan distance';
COMMENT ON OPERATOR FAMILY halfvec_l1_ops USING hnsw IS 'halfvec by Manhattan distance';
COMMENT ON OPERATOR CLASS sparsevec_l2_ops USING hnsw IS 'sparsevec by Euclidean distance';
COMMENT ON OPERATOR FAMILY sparsevec_l2_ops USING hnsw IS 'sparsevec by Euclidean distance';
COMMENT ON OPERATOR CLASS sparsevec_ip_ops USING hnsw IS 'sparsevec by inner product';
COMMENT ON OPERATOR FAMILY sparsevec_ip_ops USING hnsw IS 'sparsevec by inner product';
COMMENT ON OPERATOR CLASS sparsevec_cosine_ops USING hnsw IS 'sparsevec by cosine distance';
COMMENT ON OPERATOR FAMILY sparsevec_cosine_ops USING hnsw IS 'sparsevec by cosine distance';
COMMENT ON OPERATOR CLASS sparsevec_l1_ops USING hnsw IS 'sparsevec by Manhattan distance';
COMMENT ON OPERATOR FAMILY sparsevec_l1_ops USING hnsw IS 'sparsevec by Manhattan distance';
COMMENT ON OPERATOR CLASS bit_hamming_ops USING hnsw IS 'bit by Hamming distance';
COMMENT ON OPERATOR FAMILY bit_hamming_ops USING hnsw IS 'bit by Hamming distance';
COMMENT ON OPERATOR CLASS bit_jaccard_ops USING hnsw IS 'bit by Jaccard distance';
COMMENT ON OPERATOR FAMILY bit_jaccard_ops USING hnsw IS 'bit by Jaccard distance';

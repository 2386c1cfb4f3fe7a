-- What pgnear has beyond the pgvector contract. Nothing here may change how a
-- statement which works without it resolves:
--   * a literal or an untyped parameter beside a vector is taken as a vector,
--     since *(vector, vector) exists; only a typed number reaches the scalar
--     operators, and every number type reaches them by its implicit cast to
--     double precision;
--   * the new casts are ASSIGNMENT or explicit only;
--   * subscripts leave typelem 0, for clients take a type with an element type
--     for an array.

-- A vector times or by a number.

CREATE FUNCTION vector_scale(vector, double precision) RETURNS vector
    AS 'MODULE_PATHNAME', 'vector_scale' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION vector_scale_commuted(double precision, vector) RETURNS vector
    AS 'MODULE_PATHNAME', 'vector_scale_commuted' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION vector_divide(vector, double precision) RETURNS vector
    AS 'MODULE_PATHNAME', 'vector_divide' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE OPERATOR * (
    LEFTARG = vector, RIGHTARG = double precision, FUNCTION = vector_scale,
    COMMUTATOR = *
);

CREATE OPERATOR * (
    LEFTARG = double precision, RIGHTARG = vector, FUNCTION = vector_scale_commuted,
    COMMUTATOR = *
);

CREATE OPERATOR / (
    LEFTARG = vector, RIGHTARG = double precision, FUNCTION = vector_divide
);

CREATE FUNCTION halfvec_scale(halfvec, double precision) RETURNS halfvec
    AS 'MODULE_PATHNAME', 'halfvec_scale' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION halfvec_scale_commuted(double precision, halfvec) RETURNS halfvec
    AS 'MODULE_PATHNAME', 'halfvec_scale_commuted' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION halfvec_divide(halfvec, double precision) RETURNS halfvec
    AS 'MODULE_PATHNAME', 'halfvec_divide' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE OPERATOR * (
    LEFTARG = halfvec, RIGHTARG = double precision, FUNCTION = halfvec_scale,
    COMMUTATOR = *
);

CREATE OPERATOR * (
    LEFTARG = double precision, RIGHTARG = halfvec, FUNCTION = halfvec_scale_commuted,
    COMMUTATOR = *
);

CREATE OPERATOR / (
    LEFTARG = halfvec, RIGHTARG = double precision, FUNCTION = halfvec_divide
);

-- embedding[i], 1-based, to read only.

CREATE FUNCTION vector_subscript(internal) RETURNS internal
    AS 'MODULE_PATHNAME', 'vector_subscript' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION halfvec_subscript(internal) RETURNS internal
    AS 'MODULE_PATHNAME', 'halfvec_subscript' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

ALTER TYPE vector SET (SUBSCRIPT = vector_subscript);

ALTER TYPE halfvec SET (SUBSCRIPT = halfvec_subscript);

-- Hashing, for hash joins, hashed GROUP BY and DISTINCT, hash partitions and
-- hash indexes. Equal values hash alike: 0 and -0 do.

CREATE FUNCTION vector_hash(vector) RETURNS integer
    AS 'MODULE_PATHNAME', 'vector_hash' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION vector_hash_extended(vector, bigint) RETURNS bigint
    AS 'MODULE_PATHNAME', 'vector_hash_extended' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE OPERATOR CLASS vector_hash_ops
    DEFAULT FOR TYPE vector USING hash AS
    OPERATOR 1 =,
    FUNCTION 1 vector_hash(vector),
    FUNCTION 2 vector_hash_extended(vector, bigint);

CREATE FUNCTION halfvec_hash(halfvec) RETURNS integer
    AS 'MODULE_PATHNAME', 'halfvec_hash' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION halfvec_hash_extended(halfvec, bigint) RETURNS bigint
    AS 'MODULE_PATHNAME', 'halfvec_hash_extended' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE OPERATOR CLASS halfvec_hash_ops
    DEFAULT FOR TYPE halfvec USING hash AS
    OPERATOR 1 =,
    FUNCTION 1 halfvec_hash(halfvec),
    FUNCTION 2 halfvec_hash_extended(halfvec, bigint);

CREATE FUNCTION sparsevec_hash(sparsevec) RETURNS integer
    AS 'MODULE_PATHNAME', 'sparsevec_hash' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION sparsevec_hash_extended(sparsevec, bigint) RETURNS bigint
    AS 'MODULE_PATHNAME', 'sparsevec_hash_extended' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE OPERATOR CLASS sparsevec_hash_ops
    DEFAULT FOR TYPE sparsevec USING hash AS
    OPERATOR 1 =,
    FUNCTION 1 sparsevec_hash(sparsevec),
    FUNCTION 2 sparsevec_hash_extended(sparsevec, bigint);

-- From arrays of the other two integer types, as from integer[].

CREATE FUNCTION array_to_vector(bigint[], integer, boolean) RETURNS vector
    AS 'MODULE_PATHNAME', 'array_to_vector' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION array_to_halfvec(bigint[], integer, boolean) RETURNS halfvec
    AS 'MODULE_PATHNAME', 'array_to_halfvec' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION array_to_sparsevec(bigint[], integer, boolean) RETURNS sparsevec
    AS 'MODULE_PATHNAME', 'array_to_sparsevec' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION array_to_vector(smallint[], integer, boolean) RETURNS vector
    AS 'MODULE_PATHNAME', 'array_to_vector' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION array_to_halfvec(smallint[], integer, boolean) RETURNS halfvec
    AS 'MODULE_PATHNAME', 'array_to_halfvec' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION array_to_sparsevec(smallint[], integer, boolean) RETURNS sparsevec
    AS 'MODULE_PATHNAME', 'array_to_sparsevec' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE CAST (bigint[] AS vector)
    WITH FUNCTION array_to_vector(bigint[], integer, boolean) AS ASSIGNMENT;
CREATE CAST (bigint[] AS halfvec)
    WITH FUNCTION array_to_halfvec(bigint[], integer, boolean) AS ASSIGNMENT;
CREATE CAST (bigint[] AS sparsevec)
    WITH FUNCTION array_to_sparsevec(bigint[], integer, boolean) AS ASSIGNMENT;
CREATE CAST (smallint[] AS vector)
    WITH FUNCTION array_to_vector(smallint[], integer, boolean) AS ASSIGNMENT;
CREATE CAST (smallint[] AS halfvec)
    WITH FUNCTION array_to_halfvec(smallint[], integer, boolean) AS ASSIGNMENT;
CREATE CAST (smallint[] AS sparsevec)
    WITH FUNCTION array_to_sparsevec(smallint[], integer, boolean) AS ASSIGNMENT;

-- From a JSON array of numbers, by explicit cast only.

CREATE FUNCTION jsonb_to_vector(jsonb, integer, boolean) RETURNS vector
    AS 'MODULE_PATHNAME', 'jsonb_to_vector' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION jsonb_to_halfvec(jsonb, integer, boolean) RETURNS halfvec
    AS 'MODULE_PATHNAME', 'jsonb_to_halfvec' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE CAST (jsonb AS vector)
    WITH FUNCTION jsonb_to_vector(jsonb, integer, boolean);
CREATE CAST (jsonb AS halfvec)
    WITH FUNCTION jsonb_to_halfvec(jsonb, integer, boolean);

-- What psql shows for the objects of this extension (\dT+, \df+, \do+, ...).
-- Objects of the access methods carry theirs in the file which creates them.


-- Types

COMMENT ON TYPE vector IS 'vector of single-precision numbers';
COMMENT ON TYPE halfvec IS 'vector of half-precision numbers';
COMMENT ON TYPE sparsevec IS 'vector of which the non-zero elements are stored';
COMMENT ON FUNCTION vector_in(cstring, oid, integer) IS 'I/O';
COMMENT ON FUNCTION vector_out(vector) IS 'I/O';
COMMENT ON FUNCTION vector_typmod_in(cstring[]) IS 'I/O typmod';
COMMENT ON FUNCTION vector_recv(internal, oid, integer) IS 'I/O';
COMMENT ON FUNCTION vector_send(vector) IS 'I/O';
COMMENT ON FUNCTION halfvec_in(cstring, oid, integer) IS 'I/O';
COMMENT ON FUNCTION halfvec_out(halfvec) IS 'I/O';
COMMENT ON FUNCTION halfvec_typmod_in(cstring[]) IS 'I/O typmod';
COMMENT ON FUNCTION halfvec_recv(internal, oid, integer) IS 'I/O';
COMMENT ON FUNCTION halfvec_send(halfvec) IS 'I/O';
COMMENT ON FUNCTION sparsevec_in(cstring, oid, integer) IS 'I/O';
COMMENT ON FUNCTION sparsevec_out(sparsevec) IS 'I/O';
COMMENT ON FUNCTION sparsevec_typmod_in(cstring[]) IS 'I/O typmod';
COMMENT ON FUNCTION sparsevec_recv(internal, oid, integer) IS 'I/O';
COMMENT ON FUNCTION sparsevec_send(sparsevec) IS 'I/O';

-- Functions for users

COMMENT ON FUNCTION l2_distance(vector, vector) IS 'Euclidean distance';
COMMENT ON FUNCTION inner_product(vector, vector) IS 'inner product';
COMMENT ON FUNCTION cosine_distance(vector, vector) IS 'cosine distance';
COMMENT ON FUNCTION l1_distance(vector, vector) IS 'taxicab distance';
COMMENT ON FUNCTION vector_dims(vector) IS 'number of dimensions';
COMMENT ON FUNCTION vector_norm(vector) IS 'Euclidean norm';
COMMENT ON FUNCTION l2_normalize(vector) IS 'scale to Euclidean norm 1';
COMMENT ON FUNCTION binary_quantize(vector) IS 'a bit for each element, set where it is greater than zero';
COMMENT ON FUNCTION subvector(vector, integer, integer) IS 'elements from a position, so many';
COMMENT ON FUNCTION l2_distance(halfvec, halfvec) IS 'Euclidean distance';
COMMENT ON FUNCTION inner_product(halfvec, halfvec) IS 'inner product';
COMMENT ON FUNCTION cosine_distance(halfvec, halfvec) IS 'cosine distance';
COMMENT ON FUNCTION l1_distance(halfvec, halfvec) IS 'taxicab distance';
COMMENT ON FUNCTION vector_dims(halfvec) IS 'number of dimensions';
COMMENT ON FUNCTION l2_norm(halfvec) IS 'Euclidean norm';
COMMENT ON FUNCTION l2_normalize(halfvec) IS 'scale to Euclidean norm 1';
COMMENT ON FUNCTION binary_quantize(halfvec) IS 'a bit for each element, set where it is greater than zero';
COMMENT ON FUNCTION subvector(halfvec, integer, integer) IS 'elements from a position, so many';
COMMENT ON FUNCTION l2_distance(sparsevec, sparsevec) IS 'Euclidean distance';
COMMENT ON FUNCTION inner_product(sparsevec, sparsevec) IS 'inner product';
COMMENT ON FUNCTION cosine_distance(sparsevec, sparsevec) IS 'cosine distance';
COMMENT ON FUNCTION l1_distance(sparsevec, sparsevec) IS 'taxicab distance';
COMMENT ON FUNCTION l2_norm(sparsevec) IS 'Euclidean norm';
COMMENT ON FUNCTION l2_normalize(sparsevec) IS 'scale to Euclidean norm 1';
COMMENT ON FUNCTION hamming_distance(bit, bit) IS 'number of different bits';
COMMENT ON FUNCTION jaccard_distance(bit, bit) IS 'Jaccard distance of the sets of bits';

-- Functions behind operators, aggregates and operator classes

COMMENT ON FUNCTION vector_add(vector, vector) IS 'implementation of + operator';
COMMENT ON FUNCTION vector_sub(vector, vector) IS 'implementation of - operator';
COMMENT ON FUNCTION vector_mul(vector, vector) IS 'implementation of * operator';
COMMENT ON FUNCTION vector_concat(vector, vector) IS 'implementation of || operator';
COMMENT ON FUNCTION vector_lt(vector, vector) IS 'implementation of < operator';
COMMENT ON FUNCTION vector_le(vector, vector) IS 'implementation of <= operator';
COMMENT ON FUNCTION vector_eq(vector, vector) IS 'implementation of = operator';
COMMENT ON FUNCTION vector_ne(vector, vector) IS 'implementation of <> operator';
COMMENT ON FUNCTION vector_ge(vector, vector) IS 'implementation of >= operator';
COMMENT ON FUNCTION vector_gt(vector, vector) IS 'implementation of > operator';
COMMENT ON FUNCTION vector_cmp(vector, vector) IS 'less-equal-greater';
COMMENT ON FUNCTION vector_negative_inner_product(vector, vector) IS 'implementation of <#> operator';
COMMENT ON FUNCTION vector_l2_squared_distance(vector, vector) IS 'squared Euclidean distance';
COMMENT ON FUNCTION vector_spherical_distance(vector, vector) IS 'angle between vectors of norm 1, by pi';
COMMENT ON FUNCTION vector_accum(double precision[], vector) IS 'aggregate transition function';
COMMENT ON FUNCTION vector_combine(double precision[], double precision[]) IS 'aggregate combine function';
COMMENT ON FUNCTION vector_avg(double precision[]) IS 'aggregate final function';
COMMENT ON FUNCTION vector_hash(vector) IS 'hash';
COMMENT ON FUNCTION vector_hash_extended(vector, bigint) IS 'hash';
COMMENT ON FUNCTION vector_scale(vector, double precision) IS 'implementation of * operator';
COMMENT ON FUNCTION vector_scale_commuted(double precision, vector) IS 'implementation of * operator';
COMMENT ON FUNCTION vector_divide(vector, double precision) IS 'implementation of / operator';
COMMENT ON FUNCTION vector_subscript(internal) IS 'vector subscripting support';
COMMENT ON FUNCTION halfvec_add(halfvec, halfvec) IS 'implementation of + operator';
COMMENT ON FUNCTION halfvec_sub(halfvec, halfvec) IS 'implementation of - operator';
COMMENT ON FUNCTION halfvec_mul(halfvec, halfvec) IS 'implementation of * operator';
COMMENT ON FUNCTION halfvec_concat(halfvec, halfvec) IS 'implementation of || operator';
COMMENT ON FUNCTION halfvec_lt(halfvec, halfvec) IS 'implementation of < operator';
COMMENT ON FUNCTION halfvec_le(halfvec, halfvec) IS 'implementation of <= operator';
COMMENT ON FUNCTION halfvec_eq(halfvec, halfvec) IS 'implementation of = operator';
COMMENT ON FUNCTION halfvec_ne(halfvec, halfvec) IS 'implementation of <> operator';
COMMENT ON FUNCTION halfvec_ge(halfvec, halfvec) IS 'implementation of >= operator';
COMMENT ON FUNCTION halfvec_gt(halfvec, halfvec) IS 'implementation of > operator';
COMMENT ON FUNCTION halfvec_cmp(halfvec, halfvec) IS 'less-equal-greater';
COMMENT ON FUNCTION halfvec_negative_inner_product(halfvec, halfvec) IS 'implementation of <#> operator';
COMMENT ON FUNCTION halfvec_l2_squared_distance(halfvec, halfvec) IS 'squared Euclidean distance';
COMMENT ON FUNCTION halfvec_spherical_distance(halfvec, halfvec) IS 'angle between vectors of norm 1, by pi';
COMMENT ON FUNCTION halfvec_accum(double precision[], halfvec) IS 'aggregate transition function';
COMMENT ON FUNCTION halfvec_combine(double precision[], double precision[]) IS 'aggregate combine function';
COMMENT ON FUNCTION halfvec_avg(double precision[]) IS 'aggregate final function';
COMMENT ON FUNCTION halfvec_hash(halfvec) IS 'hash';
COMMENT ON FUNCTION halfvec_hash_extended(halfvec, bigint) IS 'hash';
COMMENT ON FUNCTION halfvec_scale(halfvec, double precision) IS 'implementation of * operator';
COMMENT ON FUNCTION halfvec_scale_commuted(double precision, halfvec) IS 'implementation of * operator';
COMMENT ON FUNCTION halfvec_divide(halfvec, double precision) IS 'implementation of / operator';
COMMENT ON FUNCTION halfvec_subscript(internal) IS 'halfvec subscripting support';
COMMENT ON FUNCTION sparsevec_lt(sparsevec, sparsevec) IS 'implementation of < operator';
COMMENT ON FUNCTION sparsevec_le(sparsevec, sparsevec) IS 'implementation of <= operator';
COMMENT ON FUNCTION sparsevec_eq(sparsevec, sparsevec) IS 'implementation of = operator';
COMMENT ON FUNCTION sparsevec_ne(sparsevec, sparsevec) IS 'implementation of <> operator';
COMMENT ON FUNCTION sparsevec_ge(sparsevec, sparsevec) IS 'implementation of >= operator';
COMMENT ON FUNCTION sparsevec_gt(sparsevec, sparsevec) IS 'implementation of > operator';
COMMENT ON FUNCTION sparsevec_cmp(sparsevec, sparsevec) IS 'less-equal-greater';
COMMENT ON FUNCTION sparsevec_negative_inner_product(sparsevec, sparsevec) IS 'implementation of <#> operator';
COMMENT ON FUNCTION sparsevec_l2_squared_distance(sparsevec, sparsevec) IS 'squared Euclidean distance';
COMMENT ON FUNCTION sparsevec_hash(sparsevec) IS 'hash';
COMMENT ON FUNCTION sparsevec_hash_extended(sparsevec, bigint) IS 'hash';

-- Aggregates

COMMENT ON AGGREGATE avg(vector) IS 'the average (arithmetic mean) of all vector values, element by element';
COMMENT ON AGGREGATE sum(vector) IS 'sum of all vector values, element by element';
COMMENT ON AGGREGATE avg(halfvec) IS 'the average (arithmetic mean) of all halfvec values, element by element';
COMMENT ON AGGREGATE sum(halfvec) IS 'sum of all halfvec values, element by element';

-- Operators

COMMENT ON OPERATOR <-> (vector, vector) IS 'Euclidean distance';
COMMENT ON OPERATOR <#> (vector, vector) IS 'negative inner product';
COMMENT ON OPERATOR <=> (vector, vector) IS 'cosine distance';
COMMENT ON OPERATOR <+> (vector, vector) IS 'taxicab distance';
COMMENT ON OPERATOR + (vector, vector) IS 'add, element by element';
COMMENT ON OPERATOR - (vector, vector) IS 'subtract, element by element';
COMMENT ON OPERATOR * (vector, vector) IS 'multiply, element by element';
COMMENT ON OPERATOR || (vector, vector) IS 'concatenate';
COMMENT ON OPERATOR * (vector, double precision) IS 'multiply by a number';
COMMENT ON OPERATOR * (double precision, vector) IS 'multiply by a number';
COMMENT ON OPERATOR / (vector, double precision) IS 'divide by a number';
COMMENT ON OPERATOR < (vector, vector) IS 'less than';
COMMENT ON OPERATOR <= (vector, vector) IS 'less than or equal';
COMMENT ON OPERATOR = (vector, vector) IS 'equal';
COMMENT ON OPERATOR <> (vector, vector) IS 'not equal';
COMMENT ON OPERATOR >= (vector, vector) IS 'greater than or equal';
COMMENT ON OPERATOR > (vector, vector) IS 'greater than';
COMMENT ON OPERATOR <-> (halfvec, halfvec) IS 'Euclidean distance';
COMMENT ON OPERATOR <#> (halfvec, halfvec) IS 'negative inner product';
COMMENT ON OPERATOR <=> (halfvec, halfvec) IS 'cosine distance';
COMMENT ON OPERATOR <+> (halfvec, halfvec) IS 'taxicab distance';
COMMENT ON OPERATOR + (halfvec, halfvec) IS 'add, element by element';
COMMENT ON OPERATOR - (halfvec, halfvec) IS 'subtract, element by element';
COMMENT ON OPERATOR * (halfvec, halfvec) IS 'multiply, element by element';
COMMENT ON OPERATOR || (halfvec, halfvec) IS 'concatenate';
COMMENT ON OPERATOR * (halfvec, double precision) IS 'multiply by a number';
COMMENT ON OPERATOR * (double precision, halfvec) IS 'multiply by a number';
COMMENT ON OPERATOR / (halfvec, double precision) IS 'divide by a number';
COMMENT ON OPERATOR < (halfvec, halfvec) IS 'less than';
COMMENT ON OPERATOR <= (halfvec, halfvec) IS 'less than or equal';
COMMENT ON OPERATOR = (halfvec, halfvec) IS 'equal';
COMMENT ON OPERATOR <> (halfvec, halfvec) IS 'not equal';
COMMENT ON OPERATOR >= (halfvec, halfvec) IS 'greater than or equal';
COMMENT ON OPERATOR > (halfvec, halfvec) IS 'greater than';
COMMENT ON OPERATOR <-> (sparsevec, sparsevec) IS 'Euclidean distance';
COMMENT ON OPERATOR <#> (sparsevec, sparsevec) IS 'negative inner product';
COMMENT ON OPERATOR <=> (sparsevec, sparsevec) IS 'cosine distance';
COMMENT ON OPERATOR <+> (sparsevec, sparsevec) IS 'taxicab distance';
COMMENT ON OPERATOR < (sparsevec, sparsevec) IS 'less than';
COMMENT ON OPERATOR <= (sparsevec, sparsevec) IS 'less than or equal';
COMMENT ON OPERATOR = (sparsevec, sparsevec) IS 'equal';
COMMENT ON OPERATOR <> (sparsevec, sparsevec) IS 'not equal';
COMMENT ON OPERATOR >= (sparsevec, sparsevec) IS 'greater than or equal';
COMMENT ON OPERATOR > (sparsevec, sparsevec) IS 'greater than';
COMMENT ON OPERATOR <~> (bit, bit) IS 'number of different bits';
COMMENT ON OPERATOR <%> (bit, bit) IS 'Jaccard distance of the sets of bits';

-- Casts and their functions

COMMENT ON FUNCTION vector(vector, integer, boolean) IS 'apply the number of dimensions of the type';
COMMENT ON CAST (vector AS vector) IS 'apply the number of dimensions of the type';
COMMENT ON FUNCTION halfvec(halfvec, integer, boolean) IS 'apply the number of dimensions of the type';
COMMENT ON CAST (halfvec AS halfvec) IS 'apply the number of dimensions of the type';
COMMENT ON FUNCTION sparsevec(sparsevec, integer, boolean) IS 'apply the number of dimensions of the type';
COMMENT ON CAST (sparsevec AS sparsevec) IS 'apply the number of dimensions of the type';
COMMENT ON FUNCTION array_to_vector(integer[], integer, boolean) IS 'convert integer[] to vector';
COMMENT ON CAST (integer[] AS vector) IS 'convert integer[] to vector';
COMMENT ON FUNCTION array_to_halfvec(integer[], integer, boolean) IS 'convert integer[] to halfvec';
COMMENT ON CAST (integer[] AS halfvec) IS 'convert integer[] to halfvec';
COMMENT ON FUNCTION array_to_sparsevec(integer[], integer, boolean) IS 'convert integer[] to sparsevec';
COMMENT ON CAST (integer[] AS sparsevec) IS 'convert integer[] to sparsevec';
COMMENT ON FUNCTION array_to_vector(bigint[], integer, boolean) IS 'convert bigint[] to vector';
COMMENT ON CAST (bigint[] AS vector) IS 'convert bigint[] to vector';
COMMENT ON FUNCTION array_to_halfvec(bigint[], integer, boolean) IS 'convert bigint[] to halfvec';
COMMENT ON CAST (bigint[] AS halfvec) IS 'convert bigint[] to halfvec';
COMMENT ON FUNCTION array_to_sparsevec(bigint[], integer, boolean) IS 'convert bigint[] to sparsevec';
COMMENT ON CAST (bigint[] AS sparsevec) IS 'convert bigint[] to sparsevec';
COMMENT ON FUNCTION array_to_vector(smallint[], integer, boolean) IS 'convert smallint[] to vector';
COMMENT ON CAST (smallint[] AS vector) IS 'convert smallint[] to vector';
COMMENT ON FUNCTION array_to_halfvec(smallint[], integer, boolean) IS 'convert smallint[] to halfvec';
COMMENT ON CAST (smallint[] AS halfvec) IS 'convert smallint[] to halfvec';
COMMENT ON FUNCTION array_to_sparsevec(smallint[], integer, boolean) IS 'convert smallint[] to sparsevec';
COMMENT ON CAST (smallint[] AS sparsevec) IS 'convert smallint[] to sparsevec';
COMMENT ON FUNCTION array_to_vector(real[], integer, boolean) IS 'convert real[] to vector';
COMMENT ON CAST (real[] AS vector) IS 'convert real[] to vector';
COMMENT ON FUNCTION array_to_halfvec(real[], integer, boolean) IS 'convert real[] to halfvec';
COMMENT ON CAST (real[] AS halfvec) IS 'convert real[] to halfvec';
COMMENT ON FUNCTION array_to_sparsevec(real[], integer, boolean) IS 'convert real[] to sparsevec';
COMMENT ON CAST (real[] AS sparsevec) IS 'convert real[] to sparsevec';
COMMENT ON FUNCTION array_to_vector(double precision[], integer, boolean) IS 'convert double precision[] to vector';
COMMENT ON CAST (double precision[] AS vector) IS 'convert double precision[] to vector';
COMMENT ON FUNCTION array_to_halfvec(double precision[], integer, boolean) IS 'convert double precision[] to halfvec';
COMMENT ON CAST (double precision[] AS halfvec) IS 'convert double precision[] to halfvec';
COMMENT ON FUNCTION array_to_sparsevec(double precision[], integer, boolean) IS 'convert double precision[] to sparsevec';
COMMENT ON CAST (double precision[] AS sparsevec) IS 'convert double precision[] to sparsevec';
COMMENT ON FUNCTION array_to_vector(numeric[], integer, boolean) IS 'convert numeric[] to vector';
COMMENT ON CAST (numeric[] AS vector) IS 'convert numeric[] to vector';
COMMENT ON FUNCTION array_to_halfvec(numeric[], integer, boolean) IS 'convert numeric[] to halfvec';
COMMENT ON CAST (numeric[] AS halfvec) IS 'convert numeric[] to halfvec';
COMMENT ON FUNCTION array_to_sparsevec(numeric[], integer, boolean) IS 'convert numeric[] to sparsevec';
COMMENT ON CAST (numeric[] AS sparsevec) IS 'convert numeric[] to sparsevec';
COMMENT ON FUNCTION vector_to_float4(vector, integer, boolean) IS 'convert vector to real[]';
COMMENT ON CAST (vector AS real[]) IS 'convert vector to real[]';
COMMENT ON FUNCTION halfvec_to_float4(halfvec, integer, boolean) IS 'convert halfvec to real[]';
COMMENT ON CAST (halfvec AS real[]) IS 'convert halfvec to real[]';
COMMENT ON FUNCTION vector_to_halfvec(vector, integer, boolean) IS 'convert vector to halfvec';
COMMENT ON CAST (vector AS halfvec) IS 'convert vector to halfvec';
COMMENT ON FUNCTION vector_to_sparsevec(vector, integer, boolean) IS 'convert vector to sparsevec';
COMMENT ON CAST (vector AS sparsevec) IS 'convert vector to sparsevec';
COMMENT ON FUNCTION halfvec_to_vector(halfvec, integer, boolean) IS 'convert halfvec to vector';
COMMENT ON CAST (halfvec AS vector) IS 'convert halfvec to vector';
COMMENT ON FUNCTION halfvec_to_sparsevec(halfvec, integer, boolean) IS 'convert halfvec to sparsevec';
COMMENT ON CAST (halfvec AS sparsevec) IS 'convert halfvec to sparsevec';
COMMENT ON FUNCTION sparsevec_to_vector(sparsevec, integer, boolean) IS 'convert sparsevec to vector';
COMMENT ON CAST (sparsevec AS vector) IS 'convert sparsevec to vector';
COMMENT ON FUNCTION sparsevec_to_halfvec(sparsevec, integer, boolean) IS 'convert sparsevec to halfvec';
COMMENT ON CAST (sparsevec AS halfvec) IS 'convert sparsevec to halfvec';
COMMENT ON FUNCTION jsonb_to_vector(jsonb, integer, boolean) IS 'convert a JSON array of numbers to vector';
COMMENT ON CAST (jsonb AS vector) IS 'convert a JSON array of numbers to vector';
COMMENT ON FUNCTION jsonb_to_halfvec(jsonb, integer, boolean) IS 'convert a JSON array of numbers to halfvec';
COMMENT ON CAST (jsonb AS halfvec) IS 'convert a JSON array of numbers to halfvec';

-- Operator classes

COMMENT ON OPERATOR CLASS vector_ops USING btree IS 'vector in order';
COMMENT ON OPERATOR FAMILY vector_ops USING btree IS 'vector in order';
COMMENT ON OPERATOR CLASS vector_hash_ops USING hash IS 'vector by hash';
COMMENT ON OPERATOR FAMILY vector_hash_ops USING hash IS 'vector by hash';
COMMENT ON OPERATOR CLASS halfvec_ops USING btree IS 'halfvec in order';
COMMENT ON OPERATOR FAMILY halfvec_ops USING btree IS 'halfvec in order';
COMMENT ON OPERATOR CLASS halfvec_hash_ops USING hash IS 'halfvec by hash';
COMMENT ON OPERATOR FAMILY halfvec_hash_ops USING hash IS 'halfvec by hash';
COMMENT ON OPERATOR CLASS sparsevec_ops USING btree IS 'sparsevec in order';
COMMENT ON OPERATOR FAMILY sparsevec_ops USING btree IS 'sparsevec in order';
COMMENT ON OPERATOR CLASS sparsevec_hash_ops USING hash IS 'sparsevec by hash';
COMMENT ON OPERATOR FAMILY sparsevec_hash_ops USING hash IS 'sparsevec by hash';

-- What users see of the GPU.

CREATE FUNCTION pgnear_gpu_info(
        OUT device text, OUT compute_capability text, OUT cuda_driver text,
        OUT memory_bytes bigint, OUT free_bytes bigint, OUT problem text)
    RETURNS SETOF record
    AS 'MODULE_PATHNAME', 'pgnear_gpu_info' LANGUAGE C VOLATILE PARALLEL RESTRICTED;

COMMENT ON FUNCTION pgnear_gpu_info() IS
    'the GPU that batch work of this session may use, or why there is none';

CREATE FUNCTION pgnear_gpu_stats(
        OUT requests bigint, OUT vectors bigint, OUT bytes bigint,
        OUT milliseconds bigint, OUT fallbacks bigint, OUT last_error text)
    RETURNS SETOF record
    AS 'MODULE_PATHNAME', 'pgnear_gpu_stats' LANGUAGE C VOLATILE PARALLEL RESTRICTED;

COMMENT ON FUNCTION pgnear_gpu_stats() IS
    'what the GPU did in this session';

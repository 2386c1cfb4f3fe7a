// Exact search of many queries over rows that come in chunks. See README.md in this folder's parent
// for the stages, the bounds and what a thread, a warp and a block own.
//
// No header is included: NVRTC compiles this text alone. `PGNEAR_EMULATED` is defined where it is
// compiled as C++ instead, under the emulation in ../standin.

typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#ifndef PGNEAR_EMULATED
__device__ static inline u16 half_bits(float x) {
    u16 bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(x));
    return bits;
}

// c (16 x 8) += a (16 x 16, by rows) * b (16 x 8, by columns), all threads of a warp together. Of
// thread 4 g + t: a[0], a[1] are rows g and g + 8 at columns 2 t and 2 t + 1, a[2] and a[3] the same
// 8 columns on; b[0] is column g at rows 2 t and 2 t + 1, b[1] the same 8 rows on; c[0] and c[1] are
// row g at columns 2 t and 2 t + 1, c[2] and c[3] row g + 8 (PTX ISA, mma.m16n8k16).
__device__ static inline void mma(float c[4], const u32 a[4], const u32 b[2]) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
                 "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// Places in shared memory.
typedef u32 Shared;

__device__ static inline Shared shared_at(const char *at) {
    return (u32)__cvta_generic_to_shared(at);
}

// Four 8 x 8 matrices out of shared memory, all threads of a warp together: thread 8 i + r names where
// row r of matrix i lies, and of thread 4 r + c, to[i] is row r at columns 2 c and 2 c + 1 of matrix i
// (PTX ISA, ldmatrix).
__device__ static inline void read_matrices(u32 to[4], Shared from) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(from)
                 : "memory");
}

// Starts to copy 16 bytes into shared memory.
__device__ static inline void copy_16(Shared to, const void *from) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" : : "r"(to), "l"(from) : "memory");
}

// Ends a group of copies, which may be empty.
__device__ static inline void end_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Waits for this thread's groups but the last.
__device__ static inline void wait_for_copies() {
    asm volatile("cp.async.wait_group 1;" ::: "memory");
}
#endif

// Metrics, as the host numbers them.
enum { L2 = 0, INNER_PRODUCT = 1, COSINE = 2, L1 = 3 };

#define WARP 32u
#define ALL_LANES 0xffffffffu
#define THREADS 256u
#define WARPS (THREADS / WARP)
#define NAN_BITS 0x7fc00000u
#define INFINITY_BITS 0x7f800000u
#define WIDE_NAN_BITS 0x7ff8000000000000ull

__device__ static inline float canonical_nan(float x) {
    return x != x ? __int_as_float(NAN_BITS) : x;
}

// ---- Canonical sums: lane j of a warp adds terms j, j + 32, ... in order, then a tree of 16, 8, 4,
// 2, 1. Multiplication and addition round separately, as on the CPU. The result is lane 0's.

__device__ static inline float tree(float sum) {
    for (u32 width = 16; width > 0; width /= 2) {
        sum = __fadd_rn(sum, __shfl_down_sync(ALL_LANES, sum, width));
    }
    return canonical_nan(sum);
}

__device__ static inline float term(int metric, float a, float b) {
    if (metric == L2) {
        float difference = __fsub_rn(a, b);
        return __fmul_rn(difference, difference);
    }
    if (metric == L1) {
        return fabsf(__fsub_rn(a, b));
    }
    return __fmul_rn(a, b);
}

__device__ static float canonical_sum(int metric, const float *a, const float *b, u32 dims,
                                      u32 lane) {
    float sum = 0.0f;
    for (u32 i = lane; i < dims; i += WARP) {
        sum = __fadd_rn(sum, term(metric, a[i], b[i]));
    }
    // A tail is filled up with zeros on the CPU, and so a lane without a term adds a zero there:
    // that changes no sum, which is never -0.
    return tree(sum);
}

// What the operator returns, from the canonical sum; for cosine with the sums of squares.
__device__ static double operator_value(int metric, float sum, float norm_a, float norm_b) {
    double value;
    if (metric == L2) {
        value = __dsqrt_rn((double)sum);
    } else if (metric == INNER_PRODUCT) {
        value = -(double)sum;
    } else if (metric == COSINE) {
        double norms = __dsqrt_rn(__dmul_rn((double)norm_a, (double)norm_b));
        double cosine = __ddiv_rn((double)sum, norms);
        // As f64::clamp: NaN stays.
        cosine = cosine < -1.0 ? -1.0 : cosine;
        cosine = cosine > 1.0 ? 1.0 : cosine;
        value = __dsub_rn(1.0, cosine);
    } else {
        value = (double)sum;
    }
    return value != value ? __longlong_as_double(WIDE_NAN_BITS) : value;
}

// ---- Order: by distance, NaN last, then by row. Distances become integers of the same order.

__device__ static inline u64 ordered(double distance) {
    u64 bits = (u64)__double_as_longlong(distance);
    return bits >> 63 ? ~bits : bits | 0x8000000000000000ull;
}

__device__ static inline double distance_of(u64 order) {
    return __longlong_as_double(order >> 63 ? order & 0x7fffffffffffffffull : ~order);
}

__device__ static inline bool before(u64 a, u64 a_row, u64 b, u64 b_row) {
    return a < b || (a == b && a_row < b_row);
}

// ---- Stage 1: rows in half precision, scaled by a power of two so that the largest component is in
// [1, 2), with their lengths. A warp a row.
//
// rows: count x dims. halves: count x padded (a multiple of 32, zeros behind dims). norms: canonical
// sums of squares. lengths: their roots. scales: what a half counts; NaN where sums of squares may
// leave the range of a float, so that every bound is NaN and the row a candidate.

extern "C" __global__ void __launch_bounds__(THREADS, 1) prep_rows(const float *rows, u32 count, u32 dims, u32 padded,
                                     u16 *halves, float *norms, float *lengths, float *scales) {
    u32 row = blockIdx.x * WARPS + threadIdx.x / WARP, lane = threadIdx.x % WARP;
    if (row >= count) {
        return;
    }
    const float *from = rows + (u64)row * dims;
    float largest = 0.0f;
    for (u32 i = lane; i < dims; i += WARP) {
        largest = fmaxf(largest, fabsf(from[i]));
    }
    for (u32 width = 16; width > 0; width /= 2) {
        largest = fmaxf(largest, __shfl_xor_sync(ALL_LANES, largest, width));
    }
    u32 exponent = ((u32)__float_as_int(largest) >> 23) & 0xffu;
    bool zero = largest == 0.0f, usable = exponent >= 127u - 50u && exponent <= 127u + 50u;
    // 2^(127 - exponent), and back.
    float down = usable ? __int_as_float((127u + 127u - exponent) << 23) : 0.0f;
    float up = usable ? __int_as_float(exponent << 23) : __int_as_float(NAN_BITS);
    u16 *to = halves + (u64)row * padded;
    for (u32 i = lane; i < padded; i += WARP) {
        to[i] = half_bits(i < dims ? __fmul_rn(from[i], down) : 0.0f);
    }
    float norm = canonical_sum(INNER_PRODUCT, from, from, dims, lane);
    if (lane == 0) {
        norms[row] = norm;
        lengths[row] = sqrtf(norm);
        scales[row] = zero ? 1.0f : up;
    }
}

// ---- Stage 2: candidates. A row is one unless a bound proves that it is farther than what the
// query has already. Candidates of query q are its `counts[q]` slots from q * slots on; where they
// don't fit, `overflow` is set and the later stages do nothing.

__device__ static inline void keep(u32 query, u32 row, u32 slots, u32 *counts, u32 *candidates,
                                   u32 *overflow) {
    u32 at = atomicAdd(&counts[query], 1u);
    if (at < slots) {
        candidates[(u64)query * slots + at] = row;
    } else {
        *overflow = 1u;
    }
}

// A query's part of the test `dot < a + b * length` of a row of that length: where it holds, the row is
// proven to be farther than the threshold. A test that meets NaN does not hold, and proves nothing.
// `relative` bounds the error of a product of two vectors over their lengths, `rounding` that of a
// canonical sum, relative to the sum of the sizes of its terms.
struct Limit {
    float a, b;
};

__device__ static inline Limit limit_of(int metric, float length, float threshold, float relative,
                                        float rounding) {
    if (metric == L2) {
        // length^2 + row^2 - 2 dot, less the errors, is above the threshold.
        float squares = (1.0f - rounding) * length * length;
        return {0.5f * (squares - threshold), -relative * length};
    }
    if (metric == INNER_PRODUCT) {
        return {-threshold, -(relative + rounding) * length};
    }
    // All distances of a query of zeros are NaN. No row is wanted unless the threshold is infinite: it is
    // NaN once there are enough rows, and below infinity where only nearer rows are wanted.
    if (length == 0.0f && threshold != __int_as_float(INFINITY_BITS)) {
        return {__int_as_float(INFINITY_BITS), 0.0f};
    }
    return {0.0f, (1.0f - threshold - relative - rounding) * length};
}

// A row's part, to be added to the limit.
__device__ static inline float limit_of_row(int metric, float length, float rounding) {
    if (metric == L2) {
        return 0.5f * (1.0f - rounding) * length * length;
    }
    // A row of zeros gives NaN, which is farthest, though no farther than where nothing is known: then
    // the sum of both parts is no number.
    return metric == COSINE && length == 0.0f ? __int_as_float(INFINITY_BITS) : 0.0f;
}

#define TILE 128u
#define STEP 32u
// Steps whose halves are in shared memory or on their way there.
#define STAGES 3u
// Bytes of a row's halves of a step, and of all rows'.
#define ROW_BYTES (STEP * 2)
#define STAGE_BYTES (TILE * ROW_BYTES)

// Where 16 bytes of a row of a tile lie: mixed, so that the 8 rows that a warp reads at once lie in
// different banks. Of a row 8 further on, they lie 8 rows further on; those 32 bytes further on, or back,
// where bit 5 is another.
__device__ static inline u32 place(u32 row, u32 sixteen) {
    return row * ROW_BYTES + (sixteen ^ (row / 2 % 4)) * 16;
}

// A block takes 128 queries and 128 rows; a warp 32 queries and 64 rows of them.
extern "C" __global__ void __launch_bounds__(THREADS, 2) tile_candidates(
    int metric, const u16 *queries, const float *query_lengths, const float *query_scales,
    u32 query_count, const u16 *rows, const float *row_lengths, const float *row_scales,
    u32 row_count, u32 padded, float relative, float rounding, const float *thresholds, u32 slots,
    u32 *counts, u32 *candidates, u32 *overflow) {
    __shared__ __align__(128) char query_tiles[STAGES * STAGE_BYTES];
    __shared__ __align__(128) char row_tiles[STAGES * STAGE_BYTES];
    // Blocks that run at once have rows in common, and all queries: both are near then.
    u32 first_query = blockIdx.x * TILE, first_row = blockIdx.y * TILE;
    u32 warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    u32 warp_query = warp / 2 * 32, warp_row = warp % 2 * 64;
    u32 group = lane / 4, part = lane % 4;
    float sums[2][8][4];
    for (u32 m = 0; m < 2; m++) {
        for (u32 n = 0; n < 8; n++) {
            for (u32 i = 0; i < 4; i++) {
                sums[m][n][i] = 0.0f;
            }
        }
    }
    // A thread copies 16 bytes of two queries and of two rows each step. Beyond the last one, the last
    // is taken: its products are not looked at.
    const u16 *from[4];
    for (u32 i = 0; i < 2; i++) {
        u32 row = threadIdx.x / 4 + i * TILE / 2, sixteen = threadIdx.x % 4;
        u32 query = first_query + row < query_count ? first_query + row : query_count - 1;
        from[i] = queries + (u64)query * padded + sixteen * 8;
        row = first_row + row < row_count ? first_row + row : row_count - 1;
        from[2 + i] = rows + (u64)row * padded + sixteen * 8;
    }
    Shared queries_at = shared_at(query_tiles), rows_at = shared_at(row_tiles);
    u32 to = place(threadIdx.x / 4, threadIdx.x % 4);
    // Of four 8 x 8 matrices that are read at once, a thread names a row of one.
    u32 read_query = place(warp_query + lane % 16, lane / 16);
    u32 read_row = place(warp_row + lane / 16 * 8 + lane % 8, lane / 8 % 2);
    u32 steps = padded / STEP;
#pragma unroll
    for (u32 stage = 0; stage < STAGES - 1; stage++) {
        if (stage < steps) {
            for (u32 i = 0; i < 2; i++) {
                copy_16(queries_at + to + stage * STAGE_BYTES + i * (STAGE_BYTES / 2),
                        from[i] + stage * STEP);
                copy_16(rows_at + to + stage * STAGE_BYTES + i * (STAGE_BYTES / 2),
                        from[2 + i] + stage * STEP);
            }
        }
        end_copies();
    }
    for (u32 first = 0; first < steps; first += STAGES) {
#pragma unroll
        for (u32 stage = 0; stage < STAGES; stage++) {
            u32 step = first + stage;
            if (step >= steps) {
                break;
            }
            wait_for_copies();
            // The step's halves are there for all threads, and nobody reads those of the last any more.
            __syncthreads();
            if (step + STAGES - 1 < steps) {
                u32 free = (stage + STAGES - 1) % STAGES * STAGE_BYTES;
                for (u32 i = 0; i < 2; i++) {
                    copy_16(queries_at + to + free + i * (STAGE_BYTES / 2),
                            from[i] + (step + STAGES - 1) * STEP);
                    copy_16(rows_at + to + free + i * (STAGE_BYTES / 2),
                            from[2 + i] + (step + STAGES - 1) * STEP);
                }
            }
            end_copies();
            for (u32 k = 0; k < STEP / 16; k++) {
                u32 a[2][4];
                for (u32 m = 0; m < 2; m++) {
                    read_matrices(a[m], queries_at + (read_query ^ (k * 32)) +
                                            stage * STAGE_BYTES + m * 16 * ROW_BYTES);
                }
                for (u32 n = 0; n < 8; n += 2) {
                    u32 b[4];
                    read_matrices(b, rows_at + (read_row ^ (k * 32)) + stage * STAGE_BYTES +
                                         n * 8 * ROW_BYTES);
                    mma(sums[0][n], a[0], b);
                    mma(sums[1][n], a[1], b);
                    mma(sums[0][n + 1], a[0], b + 2);
                    mma(sums[1][n + 1], a[1], b + 2);
                }
            }
        }
    }
    Limit limits[2][2];
    float scales[2][2];
    for (u32 m = 0; m < 2; m++) {
        for (u32 half = 0; half < 2; half++) {
            u32 query = first_query + warp_query + m * 16 + half * 8 + group;
            limits[m][half] = {0.0f, 0.0f};
            scales[m][half] = 0.0f;
            if (query < query_count) {
                limits[m][half] = limit_of(metric, query_lengths[query], thresholds[query],
                                           relative, rounding);
                scales[m][half] = query_scales[query];
            }
        }
    }
    for (u32 n = 0; n < 8; n++) {
        for (u32 i = 0; i < 2; i++) {
            u32 row = first_row + warp_row + n * 8 + part * 2 + i;
            if (row >= row_count) {
                continue;
            }
            float length = row_lengths[row], scale = row_scales[row];
            float limit = limit_of_row(metric, length, rounding);
            for (u32 m = 0; m < 2; m++) {
                for (u32 half = 0; half < 2; half++) {
                    float dot = sums[m][n][half * 2 + i] * scales[m][half] * scale;
                    Limit of = limits[m][half];
                    u32 query = first_query + warp_query + m * 16 + half * 8 + group;
                    if (!(dot < of.a + limit + of.b * length) && query < query_count) {
                        keep(query, row, slots, counts, candidates, overflow);
                    }
                }
            }
        }
    }
}

// Where no product of matrices bounds the distance: a warp a pair, exact at once, and then the pair of as
// many rows on as all blocks take.
extern "C" __global__ void __launch_bounds__(THREADS, 1) scan_candidates(
    int metric, const float *queries, const float *rows, u32 row_count, u32 dims,
    const float *thresholds, u32 slots, u32 *counts, u32 *candidates, u32 *overflow) {
    u32 lane = threadIdx.x % WARP, query = blockIdx.x;
    const float *vector = queries + (u64)query * dims;
    float threshold = thresholds[query];
    for (u32 row = blockIdx.y * WARPS + threadIdx.x / WARP; row < row_count;
         row += gridDim.y * WARPS) {
        float sum = canonical_sum(metric, vector, rows + (u64)row * dims, dims, lane);
        if (lane == 0 && !(sum > threshold)) {
            keep(query, row, slots, counts, candidates, overflow);
        }
    }
}

// ---- Stage 3: exact distances of the candidates. A block a query, a warp a candidate.

extern "C" __global__ void __launch_bounds__(THREADS, 1) exact_candidates(int metric, const float *queries,
                                            const float *query_norms, const float *rows,
                                            const float *row_norms, u32 dims, u32 slots,
                                            const u32 *counts, const u32 *candidates,
                                            u64 *distances, const u32 *overflow) {
    if (*overflow) {
        return;
    }
    u32 query = blockIdx.x, lane = threadIdx.x % WARP, count = counts[query];
    const float *vector = queries + (u64)query * dims;
    for (u32 at = threadIdx.x / WARP; at < count; at += WARPS) {
        u64 slot = (u64)query * slots + at;
        u32 row = candidates[slot];
        float sum = canonical_sum(metric, vector, rows + (u64)row * dims, dims, lane);
        if (lane == 0) {
            distances[slot] =
                ordered(operator_value(metric, sum, query_norms[query], row_norms[row]));
        }
    }
}

// ---- Stage 4: the nearest k of what a query had and of its candidates, in order, and the new
// threshold. A block a query. `within`: the largest distance wanted, NaN for any.

#define MOST 2048u

extern "C" __global__ void __launch_bounds__(THREADS, 1) merge_nearest(int metric, u32 k, double within, u64 first_row, u32 slots,
                                         u32 *counts, const u32 *candidates, const u64 *distances,
                                         u32 *found, u64 *found_distances, u64 *found_rows,
                                         float *thresholds, const u32 *overflow) {
    __shared__ u64 keys[MOST];
    __shared__ u64 ids[MOST];
    __shared__ u32 kept;
    if (*overflow) {
        return;
    }
    u32 query = blockIdx.x, had = found[query], more = counts[query];
    if (more == 0) {
        return;
    }
    u32 size = 1;
    while (size < had + more) {
        size *= 2;
    }
    for (u32 at = threadIdx.x; at < size; at += THREADS) {
        // Greater than any distance, NaN included.
        u64 key = ~0ull, id = ~0ull;
        if (at < had) {
            key = found_distances[(u64)query * k + at];
            id = found_rows[(u64)query * k + at];
        } else if (at < had + more) {
            u64 slot = (u64)query * slots + at - had;
            double distance = distance_of(distances[slot]);
            if (within != within || distance <= within) {
                key = distances[slot];
                id = first_row + candidates[slot];
            }
        }
        keys[at] = key;
        ids[at] = id;
    }
    for (u32 run = 2; run <= size; run *= 2) {
        for (u32 step = run / 2; step > 0; step /= 2) {
            __syncthreads();
            for (u32 at = threadIdx.x; at < size; at += THREADS) {
                u32 other = at ^ step;
                if (other > at) {
                    bool up = (at & run) == 0;
                    if (before(keys[other], ids[other], keys[at], ids[at]) == up) {
                        u64 key = keys[at], id = ids[at];
                        keys[at] = keys[other];
                        ids[at] = ids[other];
                        keys[other] = key;
                        ids[other] = id;
                    }
                }
            }
        }
    }
    __syncthreads();
    if (threadIdx.x == 0) {
        kept = 0;
    }
    __syncthreads();
    u32 most = size < k ? size : k;
    for (u32 at = threadIdx.x; at < most; at += THREADS) {
        if (ids[at] != ~0ull) {
            found_distances[(u64)query * k + at] = keys[at];
            found_rows[(u64)query * k + at] = ids[at];
            atomicAdd(&kept, 1u);
        }
    }
    __syncthreads();
    if (threadIdx.x == 0) {
        found[query] = kept;
        counts[query] = 0;
        if (kept == k) {
            double distance = distance_of(keys[k - 1]);
            // In the space of the bounds, and up by more than what rounding takes.
            double key = metric == L2 ? distance * distance : distance;
            // No number where the distance is none: all rows may be nearer.
            thresholds[query] = (float)(key + fabs(key) * 1e-6 + (metric == COSINE ? 1e-6 : 1e-37));
        }
    }
}

// ---- Which of the rows from `first_row` on some query holds: bit `row - first_row` of `marks`.

extern "C" __global__ void __launch_bounds__(THREADS, 1) mark_found(u32 query_count, u32 k, const u32 *found,
                                      const u64 *found_rows, u64 first_row, u32 row_count,
                                      u32 *marks) {
    u64 at = (u64)blockIdx.x * THREADS + threadIdx.x;
    u64 query = at / k;
    if (query >= query_count || at % k >= found[query]) {
        return;
    }
    u64 row = found_rows[at];
    if (row >= first_row && row < first_row + row_count) {
        u32 bit = (u32)(row - first_row);
        atomicOr(&marks[bit / 32], 1u << (bit % 32));
    }
}

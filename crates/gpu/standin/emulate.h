// CUDA's threads, barriers, shuffles, atomics and matrix instruction on one CPU thread, so that the
// kernels run where there is no GPU. Each thread of a block is a fiber. A fiber runs until it waits
// for its warp or its block; the order of fibers depends on a seed. A kernel in which some threads
// wait for others that never come is reported and fails.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <tuple>
#include <setjmp.h>
#include <ucontext.h>
#include <utility>
#include <vector>

#define PGNEAR_EMULATED 1
#define __device__
#define __global__
#define __launch_bounds__(threads, blocks)
#define __align__(bytes) __attribute__((aligned(bytes)))
#define __shared__ static __attribute__((section("gpu_shared")))

struct Index {
    unsigned x, y, z;
};
static Index threadIdx, blockIdx, blockDim, gridDim;

// The section of all shared arrays, by its linker-made names.
extern "C" char __start_gpu_shared[], __stop_gpu_shared[];

namespace emulation {

struct Copy {
    char *to;
    const void *from;
};

enum Wait { READY, WARP_WAIT, BLOCK_WAIT, DONE };

struct Fiber {
    // Where it starts, and where it goes on: jumps cost no system call.
    ucontext_t context;
    jmp_buf jump;
    bool started = false;
    std::vector<char> stack = std::vector<char>(32 << 10);
    Wait wait = DONE;
    // What it waits for: a warp's threads have to wait in one place.
    const void *place = nullptr;
    const void *given = nullptr;
    void *taken = nullptr;
    // Copies under way, by groups; the last group is not ended.
    std::vector<std::vector<Copy>> copies;
};

static std::vector<Fiber> fibers;
static jmp_buf scheduler;
static unsigned running;
static void (*body)(void *);
static void *body_arguments;

// A fiber's life: a thread of one block after the other.
static void enter() {
    for (;;) {
        body(body_arguments);
        Fiber &fiber = fibers[running];
        fiber.wait = DONE;
        if (!_setjmp(fiber.jump)) {
            _longjmp(scheduler, 1);
        }
    }
}

static void suspend(Wait wait, const void *place) {
    Fiber &fiber = fibers[running];
    fiber.wait = wait;
    fiber.place = place;
    if (!_setjmp(fiber.jump)) {
        _longjmp(scheduler, 1);
    }
}

// Runs a fiber until it waits or is done. Nothing that a jump may lose lives here.
static __attribute__((noinline)) void resume(unsigned thread) {
    running = thread;
    threadIdx = {thread, 0, 0};
    if (!_setjmp(scheduler)) {
        Fiber &fiber = fibers[thread];
        if (fiber.started) {
            _longjmp(fiber.jump, 1);
        }
        fiber.started = true;
        setcontext(&fiber.context);
    }
}

// What all 32 threads of a warp do together once they all came, from what each gave.
typedef void (*Together)(Fiber *warp);

static void together(Together what, const void *given, void *taken) {
    Fiber &fiber = fibers[running];
    fiber.given = given;
    fiber.taken = taken;
    suspend(WARP_WAIT, (const void *)what);
}

// Lets waiting fibers go on where all that they wait for have come; whether any did.
static bool release(unsigned threads) {
    bool any = false;
    for (unsigned warp = 0; warp < threads; warp += 32) {
        Fiber *all = &fibers[warp];
        bool complete = true;
        for (unsigned lane = 0; lane < 32; lane++) {
            complete &= all[lane].wait == WARP_WAIT && all[lane].place == all[0].place;
        }
        if (complete) {
            ((Together)all[0].place)(all);
            for (unsigned lane = 0; lane < 32; lane++) {
                all[lane].wait = READY;
            }
            any = true;
        }
    }
    bool all_wait = !any;
    for (unsigned thread = 0; thread < threads; thread++) {
        all_wait &= fibers[thread].wait == BLOCK_WAIT;
    }
    if (all_wait) {
        for (unsigned thread = 0; thread < threads; thread++) {
            fibers[thread].wait = READY;
        }
        any = true;
    }
    return any;
}

// Runs one block; false where its threads wait for each other for ever.
static bool run_block(unsigned threads, uint64_t seed) {
    // What no thread wrote is no number.
    memset(__start_gpu_shared, 0xff, __stop_gpu_shared - __start_gpu_shared);
    for (unsigned thread = 0; thread < threads; thread++) {
        Fiber &fiber = fibers[thread];
        fiber.wait = READY;
        fiber.copies.assign(1, {});
        if (fiber.started) {
            continue;
        }
        getcontext(&fiber.context);
        fiber.context.uc_stack.ss_sp = fiber.stack.data();
        fiber.context.uc_stack.ss_size = fiber.stack.size();
        fiber.context.uc_link = nullptr;
        makecontext(&fiber.context, enter, 0);
    }
    for (;;) {
        // An odd stride visits each of a power of two threads once.
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        unsigned start = (unsigned)(seed >> 33), stride = (unsigned)(seed >> 20) | 1;
        bool done = true, ran = false;
        for (unsigned i = 0; i < threads; i++) {
            unsigned thread = (start + i * stride) % threads;
            if (fibers[thread].wait == READY) {
                resume(thread);
                ran = true;
            }
            done &= fibers[thread].wait == DONE;
        }
        if (done) {
            return true;
        }
        if (!release(threads) && !ran) {
            return false;
        }
    }
}

// Runs a kernel; false as for a block.
static bool run(void (*kernel)(void *), void *arguments, Index grid, unsigned threads,
                uint64_t seed) {
    // Stacks stay where they are: fibers are made once.
    if (fibers.size() < threads) {
        fibers.clear();
        fibers.resize(threads);
    }
    body = kernel;
    body_arguments = arguments;
    gridDim = grid;
    blockDim = {threads, 1, 1};
    for (unsigned y = 0; y < grid.y; y++) {
        for (unsigned x = 0; x < grid.x; x++) {
            blockIdx = {x, y, 0};
            if (!run_block(threads, seed + y * grid.x + x)) {
                fprintf(stderr, "emulation: threads of block (%u, %u) wait for ever\n", x, y);
                return false;
            }
        }
    }
    return true;
}

// Calls a kernel with the arguments as cuLaunchKernel takes them.
template <typename... A, size_t... I>
static void call(void (*kernel)(A...), void **arguments, std::index_sequence<I...>) {
    kernel(*(A *)arguments[I]...);
}
template <typename... A> static void call(void (*kernel)(A...), void **arguments) {
    call(kernel, arguments, std::index_sequence_for<A...>());
}

} // namespace emulation

static inline void __syncthreads() {
    emulation::suspend(emulation::BLOCK_WAIT, nullptr);
}

template <typename T> struct Shuffled {
    T value;
    unsigned by;
};

template <typename T, bool DOWN> static void shuffle_together(emulation::Fiber *warp) {
    T values[32];
    for (unsigned lane = 0; lane < 32; lane++) {
        values[lane] = ((const Shuffled<T> *)warp[lane].given)->value;
    }
    for (unsigned lane = 0; lane < 32; lane++) {
        unsigned by = ((const Shuffled<T> *)warp[lane].given)->by;
        unsigned from = DOWN ? lane + by : lane ^ by;
        *(T *)warp[lane].taken = values[from < 32 ? from : lane];
    }
}

template <typename T> static T __shfl_down_sync(unsigned, T value, unsigned by) {
    Shuffled<T> given = {value, by};
    T taken;
    emulation::together(shuffle_together<T, true>, &given, &taken);
    return taken;
}

template <typename T> static T __shfl_xor_sync(unsigned, T value, unsigned by) {
    Shuffled<T> given = {value, by};
    T taken;
    emulation::together(shuffle_together<T, false>, &given, &taken);
    return taken;
}

template <typename T> static T atomicAdd(T *at, T value) {
    T old = *at;
    *at += value;
    return old;
}

template <typename T> static T atomicOr(T *at, T value) {
    T old = *at;
    *at |= value;
    return old;
}

template <typename To, typename From> static inline To same_bits(From from) {
    static_assert(sizeof(To) == sizeof(From), "sizes differ");
    To to;
    memcpy(&to, &from, sizeof to);
    return to;
}

static inline float __int_as_float(int x) { return same_bits<float>(x); }
static inline int __float_as_int(float x) { return same_bits<int>(x); }
static inline double __longlong_as_double(long long x) { return same_bits<double>(x); }
static inline long long __double_as_longlong(double x) { return same_bits<long long>(x); }
// Compiled with -ffp-contract=off.
static inline float __fadd_rn(float a, float b) { return a + b; }
static inline float __fsub_rn(float a, float b) { return a - b; }
static inline float __fmul_rn(float a, float b) { return a * b; }
static inline double __dmul_rn(double a, double b) { return a * b; }
static inline double __dsub_rn(double a, double b) { return a - b; }
static inline double __ddiv_rn(double a, double b) { return a / b; }
static inline double __dsqrt_rn(double a) { return std::sqrt(a); }

// Half precision by hand, to nearest, ties to even: not every compiler has the type.
static uint16_t half_bits(float x) {
    uint32_t bits = same_bits<uint32_t>(x), sign = bits >> 16 & 0x8000;
    uint32_t size = bits & 0x7fffffff;
    if (size > 0x7f800000) {
        return 0x7fff;
    }
    if (size >= 0x477ff000) {
        return sign | 0x7c00;
    }
    if (size < 0x38800000) {
        // Below 2^-14: a multiple of 2^-24, rounded by the addition.
        return sign | (same_bits<uint32_t>(same_bits<float>(size) + 0.5f) - 0x3f000000u);
    }
    uint32_t odd = size >> 13 & 1;
    return sign | ((size - 0x38000000 + 0xfff + odd) >> 13);
}

static float half_value(uint16_t half) {
    uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = half >> 10 & 31;
    uint32_t fraction = half & 0x3ff;
    float size;
    if (exponent == 0) {
        size = std::ldexp((float)fraction, -24);
    } else if (exponent == 31) {
        size = fraction ? NAN : INFINITY;
    } else {
        size = std::ldexp((float)(fraction | 0x400), (int)exponent - 25);
    }
    return sign ? -size : size;
}

struct MatrixPart {
    float *c;
    const uint32_t *a, *b;
};

// The fragments of PTX's mma.m16n8k16, gathered, multiplied and scattered. The sum is taken in
// single precision and cut, not rounded, as tensor cores are seen to do.
static void mma_together(emulation::Fiber *warp) {
    float a[16][16], b[16][8];
    for (unsigned lane = 0; lane < 32; lane++) {
        const MatrixPart &part = *(const MatrixPart *)warp[lane].given;
        unsigned g = lane / 4, t = lane % 4;
        for (unsigned i = 0; i < 4; i++) {
            unsigned row = g + i % 2 * 8, column = t * 2 + i / 2 * 8;
            a[row][column] = half_value((uint16_t)part.a[i]);
            a[row][column + 1] = half_value((uint16_t)(part.a[i] >> 16));
        }
        for (unsigned i = 0; i < 2; i++) {
            b[t * 2 + i * 8][g] = half_value((uint16_t)part.b[i]);
            b[t * 2 + i * 8 + 1][g] = half_value((uint16_t)(part.b[i] >> 16));
        }
    }
    for (unsigned lane = 0; lane < 32; lane++) {
        const MatrixPart &part = *(const MatrixPart *)warp[lane].given;
        for (unsigned i = 0; i < 4; i++) {
            unsigned row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
            double sum = part.c[i];
            for (unsigned k = 0; k < 16; k++) {
                sum += (double)a[row][k] * b[k][column];
            }
            float rounded = (float)sum;
            bool away = std::fabs((double)rounded) > std::fabs(sum);
            part.c[i] = away ? std::nextafterf(rounded, 0.0f) : rounded;
        }
    }
}

static void mma(float c[4], const uint32_t a[4], const uint32_t b[2]) {
    MatrixPart part = {c, a, b};
    emulation::together(mma_together, &part, nullptr);
}

// A place in shared memory.
typedef char *Shared;

static Shared shared_at(char *at) { return at; }

struct MatrixRow {
    Shared from;
    uint32_t *to;
};

static void read_matrices_together(emulation::Fiber *warp) {
    for (unsigned lane = 0; lane < 32; lane++) {
        for (unsigned i = 0; i < 4; i++) {
            Shared row = ((const MatrixRow *)warp[i * 8 + lane / 4].given)->from;
            memcpy(&((const MatrixRow *)warp[lane].given)->to[i], row + lane % 4 * 4, 4);
        }
    }
}

static void read_matrices(uint32_t to[4], Shared from) {
    if ((uintptr_t)from % 16) {
        fprintf(stderr, "emulation: a row of a matrix is not aligned\n");
        abort();
    }
    MatrixRow row = {from, to};
    emulation::together(read_matrices_together, &row, nullptr);
}

// A copy is done at the last moment, when it is waited for; until then its place holds no numbers.
static void copy_16(Shared to, const void *from) {
    if ((uintptr_t)to % 16 || (uintptr_t)from % 16) {
        fprintf(stderr, "emulation: a copy is not aligned\n");
        abort();
    }
    memset(to, 0xff, 16);
    emulation::fibers[emulation::running].copies.back().push_back({to, from});
}

static void end_copies() { emulation::fibers[emulation::running].copies.emplace_back(); }

static void wait_for_copies() {
    auto &copies = emulation::fibers[emulation::running].copies;
    // But the last group that was ended, and what is not ended.
    while (copies.size() > 2) {
        for (const emulation::Copy &copy : copies.front()) {
            memcpy(copy.to, copy.from, 16);
        }
        copies.erase(copies.begin());
    }
}

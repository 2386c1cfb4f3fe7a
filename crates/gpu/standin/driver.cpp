// A driver library to stand in for libcuda.so.1 where there is no GPU: the calls that pgnear-gpu
// makes, over the process's own memory, with kernels that run under emulation. Faults are asked for
// in PGNEAR_STANDIN, a list of words apart by commas:
//
//   no-device  old-driver  init=CODE   what a machine without a usable GPU says
//   no-code                            it takes no machine code
//   memory=BYTES                       that much device memory (1 GiB if not told)
//   alloc=N                            the Nth allocation finds no room
//   launch=N                           the Nth launch, and every call from then on, fails
//   hang=N  exit=N                     the Nth launch never returns, or ends the process
//   seed=N                             another order of the threads of a block
#include "emulate.h"
#include "../kernels/search.cu"
#include <map>
#include <string>
#include <unistd.h>

namespace {

enum Result {
    SUCCESS = 0,
    INVALID_VALUE = 1,
    OUT_OF_MEMORY = 2,
    NO_DEVICE = 100,
    NOT_FOUND = 500,
    ILLEGAL_ADDRESS = 700,
    LAUNCH_TIMEOUT = 702,
};

long asked(const char *word, long otherwise) {
    const char *all = getenv("PGNEAR_STANDIN");
    if (!all) {
        return otherwise;
    }
    std::string faults = std::string(",") + all + ",";
    size_t at = faults.find(std::string(",") + word);
    if (at == std::string::npos) {
        return otherwise;
    }
    size_t end = at + 1 + strlen(word);
    if (faults[end] == ',') {
        return 1;
    }
    return faults[end] == '=' ? atol(&faults[end + 1]) : otherwise;
}

std::map<uint64_t, size_t> allocations;
size_t used, allocated;
long launches;
int sticky = SUCCESS;

size_t total() { return (size_t)asked("memory", 1l << 30); }

// Whether these bytes lie in one allocation.
bool inside(uint64_t at, size_t bytes) {
    auto next = allocations.upper_bound(at);
    if (next == allocations.begin()) {
        return false;
    }
    auto found = std::prev(next);
    return at + bytes <= found->first + found->second;
}

struct Kernel {
    const char *name;
    void (*run)(void *);
};

#define KERNEL(name)                                                                               \
    {                                                                                              \
#name, [](void *arguments) { emulation::call(name, (void **)arguments); }                  \
    }

const Kernel KERNELS[] = {
    KERNEL(prep_rows),        KERNEL(tile_candidates), KERNEL(scan_candidates),
    KERNEL(exact_candidates), KERNEL(merge_nearest),   KERNEL(mark_found),
};

} // namespace

#define EXPORT extern "C" __attribute__((visibility("default"))) int
#define UNLESS_STICKY                                                                              \
    if (sticky)                                                                                    \
        return sticky;

EXPORT cuInit(unsigned) { return (int)asked("init", SUCCESS); }

EXPORT cuDriverGetVersion(int *version) {
    *version = asked("old-driver", 0) ? 11040 : 12040;
    return SUCCESS;
}

EXPORT cuDeviceGetCount(int *count) {
    *count = asked("no-device", 0) ? 0 : 1;
    return SUCCESS;
}

EXPORT cuDeviceGet(int *device, int ordinal) {
    *device = ordinal;
    return ordinal == 0 ? SUCCESS : 101;
}

EXPORT cuDeviceGetName(char *name, int size, int) {
    snprintf(name, (size_t)size, "stand-in for a GPU");
    return SUCCESS;
}

EXPORT cuDeviceGetAttribute(int *value, int attribute, int) {
    switch (attribute) {
    case 75: // compute capability, major
        *value = (int)asked("capability", 80) / 10;
        return SUCCESS;
    case 76: // minor
        *value = (int)asked("capability", 80) % 10;
        return SUCCESS;
    case 16: // multiprocessors
        *value = 1;
        return SUCCESS;
    default:
        return INVALID_VALUE;
    }
}

EXPORT cuMemGetInfo_v2(size_t *free, size_t *all) {
    *all = total();
    *free = total() - used;
    return SUCCESS;
}

EXPORT cuDevicePrimaryCtxRetain(void **context, int) {
    *context = &allocations;
    return SUCCESS;
}

EXPORT cuCtxSetCurrent(void *) { return SUCCESS; }

EXPORT cuGetErrorName(int error, const char **name) {
    *name = error == OUT_OF_MEMORY     ? "CUDA_ERROR_OUT_OF_MEMORY"
            : error == NO_DEVICE       ? "CUDA_ERROR_NO_DEVICE"
            : error == ILLEGAL_ADDRESS ? "CUDA_ERROR_ILLEGAL_ADDRESS"
            : error == LAUNCH_TIMEOUT  ? "CUDA_ERROR_LAUNCH_TIMEOUT"
                                       : "CUDA_ERROR_UNKNOWN";
    return SUCCESS;
}

EXPORT cuModuleLoadData(void **module, const void *image) {
    UNLESS_STICKY
    // Machine code starts so, and what a driver compiles says so.
    bool code = !memcmp(image, "\177ELF", 4);
    if (code ? asked("no-code", 0) : !strstr((const char *)image, ".version")) {
        return 200;
    }
    *module = &used;
    return SUCCESS;
}

EXPORT cuModuleGetFunction(void **function, void *, const char *name) {
    for (const Kernel &kernel : KERNELS) {
        if (!strcmp(kernel.name, name)) {
            *function = (void *)&kernel;
            return SUCCESS;
        }
    }
    return NOT_FOUND;
}

EXPORT cuMemAlloc_v2(uint64_t *at, size_t bytes) {
    UNLESS_STICKY
    if (bytes == 0) {
        return INVALID_VALUE;
    }
    if ((long)++allocated == asked("alloc", 0) || used + bytes > total()) {
        return OUT_OF_MEMORY;
    }
    void *memory = malloc(bytes);
    if (!memory) {
        return OUT_OF_MEMORY;
    }
    // What nobody wrote is no number.
    memset(memory, 0xff, bytes);
    *at = (uint64_t)memory;
    allocations[*at] = bytes;
    used += bytes;
    return SUCCESS;
}

EXPORT cuMemFree_v2(uint64_t at) {
    auto found = allocations.find(at);
    if (found == allocations.end()) {
        return INVALID_VALUE;
    }
    used -= found->second;
    free((void *)at);
    allocations.erase(found);
    return SUCCESS;
}

EXPORT cuMemcpyHtoDAsync_v2(uint64_t to, const void *from, size_t bytes, void *) {
    UNLESS_STICKY
    if (!inside(to, bytes)) {
        return INVALID_VALUE;
    }
    memcpy((void *)to, from, bytes);
    return SUCCESS;
}

EXPORT cuMemcpyDtoHAsync_v2(void *to, uint64_t from, size_t bytes, void *) {
    UNLESS_STICKY
    if (!inside(from, bytes)) {
        return INVALID_VALUE;
    }
    memcpy(to, (const void *)from, bytes);
    return SUCCESS;
}

EXPORT cuMemsetD8Async(uint64_t at, unsigned char value, size_t bytes, void *) {
    UNLESS_STICKY
    if (!inside(at, bytes)) {
        return INVALID_VALUE;
    }
    memset((void *)at, value, bytes);
    return SUCCESS;
}

EXPORT cuMemHostRegister_v2(void *, size_t, unsigned) { return SUCCESS; }

EXPORT cuStreamCreate(void **stream, unsigned) {
    *stream = &launches;
    return SUCCESS;
}

EXPORT cuStreamSynchronize(void *) {
    UNLESS_STICKY
    return SUCCESS;
}

EXPORT cuLaunchKernel(void *function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                      unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared, void *,
                      void **arguments, void **extra) {
    UNLESS_STICKY
    launches++;
    if (launches == asked("exit", 0)) {
        _exit(3);
    }
    if (launches == asked("hang", 0)) {
        for (;;) {
            sleep(1000);
        }
    }
    if (launches == asked("launch", 0)) {
        return sticky = ILLEGAL_ADDRESS;
    }
    if (!grid_x || !grid_y || grid_z != 1 || grid_y > 65535 || block_x > 1024 || block_x % 32 ||
        block_y != 1 || block_z != 1 || shared || extra) {
        return INVALID_VALUE;
    }
    const Kernel &kernel = *(const Kernel *)function;
    uint64_t seed = (uint64_t)asked("seed", 1);
    if (!emulation::run(kernel.run, arguments, {grid_x, grid_y, 1}, block_x, seed)) {
        return sticky = LAUNCH_TIMEOUT;
    }
    return SUCCESS;
}

//! The little of CUDA that is used: one context, memory, kernels out of one module. All of the crate's
//! calls into the driver are here.

use std::cell::Cell;
use std::ffi::{CString, c_void};
use std::fmt;

use cudarc::driver::{DriverError, result, sys};

/// The kernels, compiled ahead for every device from capability 8.0 on; the driver makes machine code
/// of them for the one it has, which takes it half a second.
const KERNELS: &str = include_str!("../kernels/search.ptx");
/// Machine code, by capability. It runs on devices of the same first digit and no smaller second one.
const MACHINE_CODE: [(u32, &[u8]); 4] = [
    (90, include_bytes!("../kernels/search.sm_90.cubin")),
    (89, include_bytes!("../kernels/search.sm_89.cubin")),
    (86, include_bytes!("../kernels/search.sm_86.cubin")),
    (80, include_bytes!("../kernels/search.sm_80.cubin")),
];

/// The oldest driver that knows the kernels' version of PTX: CUDA 12.0, driver 525.
const OLDEST_DRIVER: i32 = 12000;
/// The oldest device that has the matrix instruction used.
const OLDEST_CAPABILITY: u32 = 80;

/// Why a device cannot be used, or failed.
#[derive(Debug)]
pub enum Failure {
    /// No memory for so many bytes.
    OutOfMemory(usize),
    /// Anything else, for people.
    Other(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::OutOfMemory(bytes) => {
                write!(f, "the GPU has no room for {} MB", bytes.div_ceil(1 << 20))
            }
            Failure::Other(why) => f.write_str(why),
        }
    }
}

/// Words for what the driver said. (cudarc's own may panic where the driver is half there.)
fn said(doing: &str, error: DriverError) -> Failure {
    let name = error.error_name().ok().map(|name| name.to_string_lossy());
    let name = name.unwrap_or_else(|| format!("CUDA error {}", error.0 as u32).into());
    Failure::Other(format!("{doing}: {name}"))
}

/// Every driver call that this file makes. A missing one would be a panic inside of cudarc.
const CALLS: [&str; 21] = [
    "cuInit",
    "cuDriverGetVersion",
    "cuDeviceGetCount",
    "cuDeviceGet",
    "cuDeviceGetName",
    "cuDeviceGetAttribute",
    "cuDevicePrimaryCtxRetain",
    "cuCtxSetCurrent",
    "cuMemGetInfo_v2",
    "cuGetErrorName",
    "cuModuleLoadData",
    "cuModuleGetFunction",
    "cuMemAlloc_v2",
    "cuMemFree_v2",
    "cuMemcpyHtoDAsync_v2",
    "cuMemcpyDtoHAsync_v2",
    "cuMemsetD8Async",
    "cuMemHostRegister_v2",
    "cuStreamCreate",
    "cuStreamSynchronize",
    "cuLaunchKernel",
];

/// Makes sure that the driver is there and knows every call.
fn probe() -> Result<(), Failure> {
    // SAFETY: loading a library runs its start-up code: this one is the system's own driver. It stays
    // loaded for good.
    let library = unsafe {
        let name = c"libcuda.so.1".as_ptr();
        libc::dlopen(name, libc::RTLD_NOW | libc::RTLD_GLOBAL)
    };
    if library.is_null() {
        return Err(Failure::Other(
            "no NVIDIA driver: there is no libcuda.so.1".into(),
        ));
    }
    for call in CALLS {
        let name = CString::new(call).unwrap_or_default();
        // SAFETY: an open library and a name.
        if unsafe { libc::dlsym(library, name.as_ptr()) }.is_null() {
            let why = format!("the NVIDIA driver is too old: it has no {call}");
            return Err(Failure::Other(why));
        }
    }
    Ok(())
}

/// One device with its kernels, for as long as the process lives.
pub struct Cuda {
    /// The device's name.
    pub name: String,
    /// Bytes of memory, and of those free at first.
    pub memory: (u64, u64),
    /// As 12040 for CUDA 12.4.
    pub driver: u32,
    /// As 90 for 9.0.
    pub capability: u32,
    /// Bytes that may be taken, and that are.
    limit: usize,
    taken: Cell<usize>,
    stream: sys::CUstream,
    module: sys::CUmodule,
}

impl Cuda {
    /// Opens the device of a number, from 0, to use at most `limit` bytes of its memory (0: all).
    pub fn open(ordinal: u32, limit: u64) -> Result<Cuda, Failure> {
        probe()?;
        result::init().map_err(|error| said("no GPU can be used", error))?;
        let mut driver = 0;
        // SAFETY: room for an integer. `probe` found this and all calls below.
        unsafe { sys::cuDriverGetVersion(&mut driver) }
            .result()
            .map_err(|error| said("the NVIDIA driver tells no version", error))?;
        if driver < OLDEST_DRIVER {
            return Err(Failure::Other(format!(
                "the NVIDIA driver is too old: it knows CUDA {}.{}, and 12.0 is needed (driver 525)",
                driver / 1000,
                driver % 1000 / 10
            )));
        }
        let count = result::device::get_count().map_err(|error| said("no GPU is seen", error))?;
        if i64::from(ordinal) >= i64::from(count) {
            return Err(Failure::Other(match count {
                0 => "the NVIDIA driver sees no GPU".into(),
                _ => format!("there is no GPU {ordinal}: the driver sees {count}, from 0"),
            }));
        }
        let opening = |error| said("the GPU cannot be opened", error);
        let device = result::device::get(ordinal as i32).map_err(opening)?;
        let name = result::device::get_name(device).map_err(opening)?;
        use sys::CUdevice_attribute_enum as Attribute;
        // SAFETY: the device is one that the driver gave.
        let attribute = |which| unsafe { result::device::get_attribute(device, which) };
        let major = attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR);
        let minor = attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
        let capability = (major.map_err(opening)? * 10 + minor.map_err(opening)?) as u32;
        if capability < OLDEST_CAPABILITY {
            return Err(Failure::Other(format!(
                "{name} is of compute capability {}.{}, and 8.0 is needed",
                capability / 10,
                capability % 10
            )));
        }
        // SAFETY: as above; the context is never released, and is this thread's from now on.
        unsafe {
            let context = result::primary_ctx::retain(device).map_err(opening)?;
            result::ctx::set_current(context).map_err(opening)?;
        }
        let (free, total) = result::mem_get_info().map_err(opening)?;
        let module = load(capability)
            .map_err(|error| said("the driver does not take the kernels", error))?;
        let stream = result::stream::create(result::stream::StreamKind::NonBlocking);
        Ok(Cuda {
            name,
            memory: (total as u64, free as u64),
            driver: driver as u32,
            capability,
            limit: if limit == 0 {
                usize::MAX
            } else {
                limit as usize
            },
            taken: Cell::new(0),
            stream: stream.map_err(opening)?,
            module,
        })
    }

    /// Lets the device read and write host memory by itself; where it can't, copies are slower.
    pub fn pin(&self, memory: &mut [u8]) {
        // SAFETY: memory that stays mapped for as long as the process lives (its owner is never
        // dropped before the process ends).
        let _ = unsafe { sys::cuMemHostRegister_v2(memory.as_mut_ptr().cast(), memory.len(), 0) };
    }

    /// Memory for `count` elements; what is in it is not known.
    pub fn alloc<T: bytemuck::Pod>(&self, count: usize) -> Result<Buffer<'_, T>, Failure> {
        let bytes = bytes_of::<T>(count);
        let taken = self.taken.get().saturating_add(bytes);
        if taken > self.limit {
            return Err(Failure::OutOfMemory(bytes));
        }
        // SAFETY: a context is current.
        match unsafe { result::malloc_sync(bytes) } {
            Ok(at) => {
                self.taken.set(taken);
                Ok(Buffer {
                    at,
                    count,
                    cuda: self,
                    element: std::marker::PhantomData,
                })
            }
            Err(DriverError(sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY)) => {
                Err(Failure::OutOfMemory(bytes))
            }
            Err(error) => Err(said("no memory on the GPU", error)),
        }
    }

    /// A kernel by its name.
    pub fn kernel(&self, name: &str) -> Result<Kernel, Failure> {
        let name = CString::new(name).unwrap_or_default();
        // SAFETY: the module is loaded for good.
        let function = unsafe { result::module::get_function(self.module, name) };
        Ok(Kernel(
            function.map_err(|error| said("a kernel is missing", error))?,
        ))
    }

    /// Starts a kernel of 256 threads a block; it runs after what was started before.
    ///
    /// # Safety
    /// The arguments are of the kernel's types and order, and its accesses lie in the buffers.
    pub unsafe fn launch(
        &self,
        kernel: &Kernel,
        grid: (u32, u32),
        arguments: &mut [*mut c_void],
    ) -> Result<(), Failure> {
        if grid.0 == 0 || grid.1 == 0 {
            return Ok(());
        }
        let (grid, block) = ((grid.0, grid.1, 1), (256, 1, 1));
        // SAFETY: the caller's promise.
        unsafe { result::launch_kernel(kernel.0, grid, block, 0, self.stream, arguments) }
            .map_err(|error| said("a kernel does not start", error))
    }

    /// Waits until all that was started is done.
    pub fn finish(&self) -> Result<(), Failure> {
        // SAFETY: the stream lives as long as the process.
        unsafe { result::stream::synchronize(self.stream) }
            .map_err(|error| said("a kernel failed", error))
    }

    /// Copies to the device, after what was started before; `from` may change only after `finish`.
    pub fn upload<T: bytemuck::Pod>(
        &self,
        to: &Buffer<'_, T>,
        first: usize,
        from: &[T],
    ) -> Result<(), Failure> {
        assert!(first + from.len() <= to.count);
        if from.is_empty() {
            return Ok(());
        }
        // SAFETY: within the buffer; the caller keeps `from` as the docstring says.
        unsafe { result::memcpy_htod_async(to.at(first), from, self.stream) }
            .map_err(|error| said("no copy to the GPU", error))
    }

    /// Copies from the device, after what was started before, and waits for it.
    pub fn download<T: bytemuck::Pod>(
        &self,
        to: &mut [T],
        from: &Buffer<'_, T>,
        first: usize,
    ) -> Result<(), Failure> {
        assert!(first + to.len() <= from.count);
        if !to.is_empty() {
            // SAFETY: within the buffer; waited for before `to` can go away.
            unsafe { result::memcpy_dtoh_async(to, from.at(first), self.stream) }
                .map_err(|error| said("no copy from the GPU", error))?;
        }
        self.finish()
    }

    /// Zeroes a buffer, after what was started before.
    pub fn zero<T: bytemuck::Pod>(&self, buffer: &Buffer<'_, T>) -> Result<(), Failure> {
        let bytes = bytes_of::<T>(buffer.count);
        // SAFETY: the whole buffer.
        unsafe { result::memset_d8_async(buffer.at, 0, bytes, self.stream) }
            .map_err(|error| said("no memory set on the GPU", error))
    }
}

/// Loads the kernels for a device: as machine code, where there is some that the driver takes.
fn load(capability: u32) -> Result<sys::CUmodule, DriverError> {
    let runs = |of: u32| of / 10 == capability / 10 && of <= capability;
    let machine_code = MACHINE_CODE.iter().find(|(of, _)| runs(*of));
    if let Some((_, code)) = machine_code
        && let Ok(module) = load_image(code)
    {
        return Ok(module);
    }
    load_image(KERNELS.as_bytes())
}

fn load_image(image: &[u8]) -> Result<sys::CUmodule, DriverError> {
    // Text ends with a zero byte; headers of machine code are read as words.
    let mut words = vec![0u64; image.len() / 8 + 1];
    bytemuck::cast_slice_mut(&mut words)[..image.len()].copy_from_slice(image);
    // SAFETY: an image that stays for the call.
    unsafe { result::module::load_data(words.as_ptr().cast()) }
}

/// Bytes of a buffer: the driver gives out none of no bytes.
fn bytes_of<T>(count: usize) -> usize {
    count.max(1) * size_of::<T>()
}

/// A kernel of the module.
pub struct Kernel(sys::CUfunction);

/// Memory of the device.
pub struct Buffer<'c, T> {
    at: sys::CUdeviceptr,
    count: usize,
    cuda: &'c Cuda,
    element: std::marker::PhantomData<T>,
}

impl<T> Buffer<'_, T> {
    /// The address of an element.
    pub fn at(&self, element: usize) -> u64 {
        self.at + (element * size_of::<T>()) as u64
    }
}

impl<T> Drop for Buffer<'_, T> {
    fn drop(&mut self) {
        // SAFETY: made by `alloc`, once. The driver waits for what uses it.
        let _ = unsafe { result::free_sync(self.at) };
        let bytes = bytes_of::<T>(self.count);
        self.cuda.taken.set(self.cuda.taken.get() - bytes);
    }
}

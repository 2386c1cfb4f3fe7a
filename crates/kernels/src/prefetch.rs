/// Asks the CPU to load the cache lines of `bytes` bytes from `start` on, without waiting for them.
/// Changes nothing but speed, whatever is at that address; does nothing where there is no such
/// instruction.
#[inline(always)]
pub fn prefetch(start: *const u8, bytes: usize) {
    #[cfg(target_arch = "x86_64")]
    crate::x86::prefetch(start, bytes);
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (start, bytes);
}

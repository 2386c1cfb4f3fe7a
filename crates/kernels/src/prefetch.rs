/// Asks the CPU to load the cache lines of `bytes`, without waiting for them. Changes nothing but
/// speed; does nothing where there is no such instruction.
#[inline(always)]
pub fn prefetch(bytes: &[u8]) {
    #[cfg(target_arch = "x86_64")]
    crate::x86::prefetch(bytes);
    #[cfg(not(target_arch = "x86_64"))]
    let _ = bytes;
}

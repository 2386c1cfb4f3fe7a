//! The hash of values, for hash joins, grouping and hash partitioning.
//!
//! Partitioned tables keep rows where this function sent them: it never changes. It is one
//! lane of MurmurHash3's x64 variant over 64-bit words, with the number of words mixed in at
//! the end. Numbers enter by their f32 bits, with -0 as 0, so that values which compare equal
//! hash equal on every platform.

/// Mixes words into a state that began as the seed.
pub(crate) struct Hasher {
    state: u64,
    words: u64,
}

impl Hasher {
    pub(crate) fn new(seed: u64) -> Self {
        Hasher {
            state: seed,
            words: 0,
        }
    }

    pub(crate) fn word(&mut self, word: u64) {
        let mixed = word
            .wrapping_mul(0x87c3_7b91_1142_53d5)
            .rotate_left(31)
            .wrapping_mul(0x4cf5_ad43_2745_937f);
        self.state = (self.state ^ mixed)
            .rotate_left(27)
            .wrapping_mul(5)
            .wrapping_add(0x52dc_e729);
        self.words += 1;
    }

    pub(crate) fn finish(self) -> u64 {
        let mut h = self.state ^ self.words;
        h = (h ^ (h >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        h = (h ^ (h >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        h ^ (h >> 33)
    }
}

/// The bits of a number, the same for both zeros.
pub(crate) fn number_bits(x: f32) -> u64 {
    // Adding 0 turns -0 into 0 and changes nothing else.
    u64::from((x + 0.0).to_bits())
}

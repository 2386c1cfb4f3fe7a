use std::fmt;
use std::str::FromStr;

/// A set of CPU features that a table of kernels is compiled for. Ordered: a later one is faster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Portable code, left to the compiler's vectoriser: reference and fallback.
    Scalar,
    /// x86-64 with AVX2, F16C and POPCNT.
    Avx2,
    /// x86-64 with AVX-512 F, BW, DQ and VL on top of `Avx2`.
    Avx512,
    /// `Avx512` with VNNI, instructions for products of bytes.
    Avx512Vnni,
}

impl Level {
    /// Every level, slowest first.
    pub const ALL: [Level; 4] = [Level::Scalar, Level::Avx2, Level::Avx512, Level::Avx512Vnni];

    /// Whether this CPU (and its operating system) can run the level.
    pub fn supported(self) -> bool {
        match self {
            Level::Scalar => true,
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => {
                is_x86_feature_detected!("avx2")
                    && is_x86_feature_detected!("f16c")
                    && is_x86_feature_detected!("popcnt")
            }
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => {
                Level::Avx2.supported()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
            }
            #[cfg(target_arch = "x86_64")]
            Level::Avx512Vnni => {
                Level::Avx512.supported() && is_x86_feature_detected!("avx512vnni")
            }
            #[cfg(not(target_arch = "x86_64"))]
            Level::Avx2 | Level::Avx512 | Level::Avx512Vnni => false,
        }
    }

    /// The fastest level that this CPU supports.
    pub fn best() -> Level {
        Level::ALL
            .into_iter()
            .rev()
            .find(|level| level.supported())
            .unwrap_or(Level::Scalar)
    }

    /// The name that `PGNEAR_SIMD` takes.
    pub fn name(self) -> &'static str {
        match self {
            Level::Scalar => "scalar",
            Level::Avx2 => "avx2",
            Level::Avx512 => "avx512",
            Level::Avx512Vnni => "avx512vnni",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl From<Level> for &'static str {
    fn from(level: Level) -> Self {
        level.name()
    }
}

impl FromStr for Level {
    type Err = LevelError;

    fn from_str(name: &str) -> Result<Level, LevelError> {
        Level::ALL
            .into_iter()
            .find(|level| level.name() == name)
            .ok_or_else(|| LevelError::Unknown(name.to_owned()))
    }
}

/// Why a level that was asked for by name can't be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LevelError {
    /// No level has this name.
    Unknown(String),
    /// The level exists, and this CPU lacks it.
    Unsupported(Level),
}

impl fmt::Display for LevelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LevelError::Unknown(name) => write!(
                f,
                "unknown SIMD level \"{}\": expected scalar, avx2 or avx512",
                name.escape_debug()
            ),
            LevelError::Unsupported(level) => {
                write!(f, "this CPU does not support SIMD level \"{level}\"")
            }
        }
    }
}

impl std::error::Error for LevelError {}

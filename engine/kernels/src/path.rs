//! Which instructions the processor's kernels may use, found out at run time.
//!
//! A path beyond the plain one carries a proof in its type: only [`CpuPath::available`] makes one, after
//! asking the processor. So a caller cannot pick instructions that would stop the program, and the binary
//! runs on any machine of its architecture. The tests of `dot` hold every path against the plain one.

/// Environment variable that names the most that may be used, to compare paths or to avoid one that is broken.
const LIMIT: &str = "EOSIN_CPU";

/// Names of all sets of instructions, each with everything before it on its architecture.
const NAMES: [&str; 7] = ["scalar", "avx2", "avx-vnni", "avx512", "avx512-vnni", "neon", "neon-dotprod"];

/// The best of the paths that [`LIMIT`] allows; all where it names none.
fn best_allowed<P: Copy>(paths: &[P], name: fn(P) -> &'static str) -> Option<P> {
    let rank = |name: &str| NAMES.iter().position(|known| *known == name);
    let most = std::env::var(LIMIT).ok().and_then(|limit| rank(&limit)).unwrap_or(usize::MAX);
    paths.iter().rev().find(|path| rank(name(**path)).is_none_or(|rank| rank <= most)).copied()
}

/// Evidence that the processor reported the instructions of a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Proof(());

/// A set of instructions to compute with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CpuPath {
    /// What every processor of the architecture has.
    Scalar,
    /// 256-bit vectors with fused multiply-add and half-precision conversion.
    #[cfg(target_arch = "x86_64")]
    Avx2(Proof),
    /// 512-bit vectors.
    #[cfg(target_arch = "x86_64")]
    Avx512(Proof),
}

impl CpuPath {
    /// Every path this processor can take, the plain one first and the best last.
    pub fn available() -> Vec<Self> {
        #[cfg_attr(not(target_arch = "x86_64"), expect(unused_mut, reason = "one path only"))]
        let mut paths = vec![Self::Scalar];
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("fma")
                && is_x86_feature_detected!("f16c");
            if avx2 {
                paths.push(Self::Avx2(Proof(())));
            }
            let avx512 = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512dq");
            if avx2 && avx512 {
                paths.push(Self::Avx512(Proof(())));
            }
        }
        paths
    }

    /// The best path of this processor that `EOSIN_CPU` allows.
    pub fn best() -> Self {
        static BEST: std::sync::OnceLock<CpuPath> = std::sync::OnceLock::new();
        *BEST.get_or_init(|| best_allowed(&Self::available(), Self::name).unwrap_or(Self::Scalar))
    }

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => "avx2",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => "avx512",
        }
    }
}

/// A set of instructions for products of bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BytePath {
    /// What every processor of the architecture has.
    Scalar,
    /// 256-bit vectors; products of bytes in pairs of 16 bits.
    #[cfg(target_arch = "x86_64")]
    Avx2(Proof),
    /// 256-bit vectors with products of bytes summed to 32 bits.
    #[cfg(target_arch = "x86_64")]
    AvxVnni(Proof),
    /// 512-bit vectors with such products.
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni(Proof),
    /// 128-bit vectors; products of bytes in 16 bits.
    #[cfg(target_arch = "aarch64")]
    Neon(Proof),
    /// 128-bit vectors with products of bytes summed to 32 bits.
    #[cfg(target_arch = "aarch64")]
    NeonDot(Proof),
}

impl BytePath {
    /// Every path this processor can take, the plain one first and the best last.
    pub fn available() -> Vec<Self> {
        #[cfg_attr(
            not(any(target_arch = "x86_64", target_arch = "aarch64")),
            expect(unused_mut, reason = "one path only")
        )]
        let mut paths = vec![Self::Scalar];
        #[cfg(target_arch = "x86_64")]
        for path in CpuPath::available() {
            match path {
                CpuPath::Scalar => {}
                CpuPath::Avx2(proof) => {
                    paths.push(Self::Avx2(proof));
                    if is_x86_feature_detected!("avxvnni") {
                        paths.push(Self::AvxVnni(proof));
                    }
                }
                CpuPath::Avx512(proof) => {
                    if is_x86_feature_detected!("avx512vnni") {
                        paths.push(Self::Avx512Vnni(proof));
                    }
                }
            }
        }
        #[cfg(target_arch = "aarch64")]
        if std::arch::is_aarch64_feature_detected!("neon") {
            paths.push(Self::Neon(Proof(())));
            if std::arch::is_aarch64_feature_detected!("dotprod") {
                paths.push(Self::NeonDot(Proof(())));
            }
        }
        paths
    }

    /// The best path of this processor that `EOSIN_CPU` allows.
    pub fn best() -> Self {
        static BEST: std::sync::OnceLock<BytePath> = std::sync::OnceLock::new();
        *BEST.get_or_init(|| best_allowed(&Self::available(), Self::name).unwrap_or(Self::Scalar))
    }

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => "avx2",
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni(_) => "avx-vnni",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni(_) => "avx512-vnni",
            #[cfg(target_arch = "aarch64")]
            Self::Neon(_) => "neon",
            #[cfg(target_arch = "aarch64")]
            Self::NeonDot(_) => "neon-dotprod",
        }
    }
}

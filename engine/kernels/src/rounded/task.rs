//! Where a path's instructions are entered: the one place that names each path's vectors and features.
//!
//! What runs on vectors is a [`Task`]; everything it calls is inlined into the function of its path below, and so
//! compiled for that path's instructions. A path more is a type of vectors, a function and a line in [`run`].

#[cfg(target_arch = "aarch64")]
use super::neon;
use super::vectors::{Plain, Vectors};
#[cfg(target_arch = "x86_64")]
use super::x86;
use crate::path::BytePath;

/// What is compiled for every path.
pub(super) trait Task {
    /// What comes of it.
    type Output;

    /// Does it; always inlined.
    ///
    /// # Safety
    /// The caller is compiled for the instructions of `V`, and does what the task asks for.
    unsafe fn run<V: Vectors>(self) -> Self::Output;
}

/// Runs a task with the instructions of a path.
///
/// # Safety
/// What the task asks for.
pub(super) unsafe fn run<T: Task>(path: BytePath, task: T) -> T::Output {
    // SAFETY: a `Proof` exists only where the processor reported these instructions; the rest is the caller's.
    unsafe {
        match path {
            BytePath::Scalar => task.run::<Plain>(),
            #[cfg(target_arch = "x86_64")]
            BytePath::Avx2(_proof) => avx2(task),
            #[cfg(target_arch = "x86_64")]
            BytePath::AvxVnni(_proof) => avx_vnni(task),
            #[cfg(target_arch = "x86_64")]
            BytePath::Avx512Vnni(_proof) => avx512_vnni(task),
            #[cfg(target_arch = "aarch64")]
            BytePath::Neon(_proof) => neon(task),
            #[cfg(target_arch = "aarch64")]
            BytePath::NeonDot(_proof) => neon_dot(task),
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn avx2<T: Task>(task: T) -> T::Output {
    // SAFETY: passed on to the caller.
    unsafe { task.run::<x86::Avx2>() }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avxvnni,avx2,fma,f16c")]
unsafe fn avx_vnni<T: Task>(task: T) -> T::Output {
    // SAFETY: passed on to the caller.
    unsafe { task.run::<x86::AvxVnni>() }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")]
unsafe fn avx512_vnni<T: Task>(task: T) -> T::Output {
    // SAFETY: passed on to the caller.
    unsafe { task.run::<x86::Avx512>() }
}

#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "neon")]
unsafe fn neon<T: Task>(task: T) -> T::Output {
    // SAFETY: passed on to the caller.
    unsafe { task.run::<neon::Neon>() }
}

#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "neon,dotprod")]
unsafe fn neon_dot<T: Task>(task: T) -> T::Output {
    // SAFETY: passed on to the caller.
    unsafe { task.run::<neon::NeonDot>() }
}

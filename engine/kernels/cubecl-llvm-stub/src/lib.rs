//! A stand-in for `cubecl-llvm`, so that CUDA builds without LLVM.
//!
//! `cubecl-cuda` has two ways from a kernel to the driver: C++ text through NVIDIA's run-time compiler, and
//! PTX through LLVM. Both are always compiled, and the second wants an LLVM of 200 MB that its build script
//! fetches from the network. Eosin takes the first (feature `cuda-cpp` of `cubecl`) and never constructs the
//! second; this crate has the names it is written against, and refuses where one were called after all.
//! It is dropped when `cubecl-cuda` makes the dependency optional. The check that it fits is
//! `cargo check -p eosin-kernels --features cuda`.

use std::fmt;

use cubecl_core::ir::nvidia::SmArch;
use cubecl_core::prelude::KernelDefinition;
use cubecl_environment::backtrace::BackTrace;
use cubecl_runtime::compiler::{CompilationError, Compiler};
use cubecl_runtime::kernel::BufferIOAttr;

/// Versions of NVIDIA's assembly language.
pub mod nvptx {
    /// As the original: the version type the CUDA runtime asks for.
    pub mod ptx_version {
        use std::fmt;

        /// A version that is never chosen.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub struct PtxVersion(());

        impl PtxVersion {
            /// No version: only the LLVM way writes assembly itself.
            pub fn for_driver(_driver: i32) -> Option<Self> {
                None
            }
        }

        impl fmt::Display for PtxVersion {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("ptx")
            }
        }
    }
}

/// What the original shares between its targets.
pub mod shared {
    /// Device properties, narrowed to what LLVM can lower.
    pub mod lowered_features {
        use cubecl_core::ir::DeviceProperties;

        /// The target to narrow for.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum GpuTarget {
            /// NVIDIA.
            Nvptx,
        }

        /// Leaves the properties as they are: called for the LLVM way only.
        pub fn restrict_features(_properties: &mut DeviceProperties, _target: GpuTarget) {}
    }
}

/// What LLVM would compile for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LlvmTarget {
    /// NVIDIA.
    #[default]
    Nvptx,
}

/// The options the original takes.
#[derive(Clone, Debug, Default)]
pub struct PlironOptions {
    /// Architecture of AMD's GPUs.
    pub arch: Option<String>,
    /// Architecture of NVIDIA's GPUs.
    pub sm_arch: Option<SmArch>,
    /// Version of the assembly language.
    pub ptx_version: Option<nvptx::ptx_version::PtxVersion>,
    /// Whether scalars travel in the parameter block.
    pub grid_constants: bool,
    /// Further options of the original.
    pub rest: (),
}

/// Assembly and what a launch needs to know; never made here.
#[derive(Clone, Debug)]
pub struct NvptxModule {
    /// Assembly, ending in NUL.
    pub ptx: Vec<core::ffi::c_char>,
    /// The kernel's symbol.
    pub entrypoint: String,
    /// The form before assembly.
    pub ir: String,
    /// Shared memory of a launch.
    pub shared_memory_size: usize,
    /// How each buffer is used.
    pub io: Vec<BufferIOAttr>,
}

/// What the original's compiler returns; never made here.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum PlironArtifact {
    /// For NVIDIA.
    NvptxCode(NvptxModule),
}

impl fmt::Display for PlironArtifact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::NvptxCode(module) = self;
        f.write_str(&module.ir)
    }
}

/// The compiler that refuses.
#[derive(Clone, Debug, Default)]
pub struct PlironCompiler {
    /// What it would compile for.
    pub target: LlvmTarget,
}

impl Compiler for PlironCompiler {
    type Representation = PlironArtifact;
    type CompilationOptions = PlironOptions;

    fn compile(
        &mut self,
        _kernel: KernelDefinition,
        _options: &Self::CompilationOptions,
    ) -> Result<Self::Representation, CompilationError> {
        Err(CompilationError::Generic {
            reason: "this build has no LLVM: build it with the feature `cuda-cpp` of cubecl".to_owned(),
            backtrace: BackTrace::capture(),
        })
    }

    fn extension(&self) -> &'static str {
        "ll"
    }

    fn lang_tag(&self) -> &'static str {
        "llvm"
    }
}

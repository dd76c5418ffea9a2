//! Which devices this machine has, and the choice of one.
//!
//! `Device::default()` is never used: it prefers a GPU without asking whether one works, and dies on a
//! device thread where none does. Here every candidate is named, tried with one small operation, and either
//! taken or reported with the reason why not. A software rasteriser (lavapipe, WARP) is a GPU only by name:
//! `auto` passes over it, `wgpu:N` may still ask for it. Tests are at the end of this file.

#[cfg(feature = "cuda")]
mod cuda;
#[cfg(feature = "wgpu")]
mod wgpu;

use std::panic::{AssertUnwindSafe, catch_unwind};

use burn::tensor::{Device, Tensor};
use eosin_core::{DeviceChoice, Hint};

use crate::path::{BytePath, CpuPath};

/// What sort of device a [`DeviceReport`] speaks of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeviceClass {
    /// The processor, through Eosin's own kernels.
    Processor,
    /// A graphics card with memory of its own.
    DiscreteGpu,
    /// A graphics processor that shares the machine's memory.
    IntegratedGpu,
    /// A graphics card lent by a virtual machine's host.
    VirtualGpu,
    /// A graphics interface computed by the processor: right, and slow.
    SoftwareRasteriser,
    /// Something that states no sort.
    Other,
}

/// One device of this machine, or one that could have been there and why it is not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeviceReport {
    /// How to ask for it.
    pub choice: DeviceChoice,
    /// The name its driver gives it.
    pub name: String,
    /// What sort of device it is.
    pub class: DeviceClass,
    /// Interface and driver, as in `vulkan, llvmpipe Mesa 22.3.6`.
    pub driver: String,
    /// Why it cannot be used, where it cannot.
    pub obstacle: Option<String>,
}

/// A device that computed its first sum correctly.
#[derive(Clone, Debug)]
pub struct SelectedDevice {
    /// The tensor library's handle.
    pub device: Device,
    /// What was chosen: never [`DeviceChoice::Auto`].
    pub choice: DeviceChoice,
    /// Its name.
    pub name: String,
    /// Why this one, in one sentence fragment.
    pub why: String,
}

/// Why a device cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// This program was built without the interface.
    #[error("this build has no {interface} support, which `{choice}` needs")]
    NotBuilt {
        /// What was asked for.
        choice: DeviceChoice,
        /// The missing interface.
        interface: &'static str,
    },
    /// The machine has no such device.
    #[error("there is no device `{choice}`: {found}")]
    Absent {
        /// What was asked for.
        choice: DeviceChoice,
        /// What there is instead.
        found: String,
    },
    /// The device is there and does not compute.
    #[error("the device `{choice}` ({name}) does not work: {reason}")]
    Broken {
        /// What was asked for.
        choice: DeviceChoice,
        /// Its name.
        name: String,
        /// What went wrong.
        reason: String,
    },
}

impl Hint for DeviceError {
    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NotBuilt { interface: "CUDA", .. } => {
                Some("build with `--features cuda`, or use `--device auto`")
            }
            Self::NotBuilt { .. } => Some("build with `--features wgpu`, or use `--device auto`"),
            Self::Absent { .. } => Some("`eosin doctor` lists the devices; `--device auto` picks one"),
            Self::Broken { .. } => Some("update its driver, or use `--device cpu`"),
        }
    }
}

/// Every device this build can see, the processor first, and why others are missing.
pub fn probe() -> Vec<DeviceReport> {
    let mut reports = vec![DeviceReport {
        choice: DeviceChoice::Cpu,
        name: processor_name(),
        class: DeviceClass::Processor,
        driver: format!(
            "own kernels, {} for floats, {} for bytes",
            CpuPath::best().name(),
            BytePath::best().name()
        ),
        obstacle: None,
    }];
    #[cfg(feature = "wgpu")]
    reports.extend(wgpu::probe());
    #[cfg(not(feature = "wgpu"))]
    reports.push(absent(DeviceChoice::Wgpu(0), "wgpu", "this build has no wgpu support"));
    #[cfg(feature = "cuda")]
    reports.extend(cuda::probe());
    #[cfg(not(feature = "cuda"))]
    reports.push(absent(DeviceChoice::Cuda(0), "CUDA", "this build has no CUDA support"));
    reports
}

/// The device asked for, tried once.
///
/// # Errors
/// Where it is not built in, not there, or fails a first small operation. `Auto` always finds the
/// processor.
pub fn select(choice: DeviceChoice) -> Result<SelectedDevice, DeviceError> {
    match choice {
        DeviceChoice::Auto => Ok(select_auto()),
        DeviceChoice::Cpu => Ok(processor("asked for".to_owned())),
        DeviceChoice::Wgpu(idx) => open_wgpu(idx),
        DeviceChoice::Cuda(idx) => open_cuda(idx),
    }
}

/// CUDA before wgpu before the processor, and among adapters the discrete ones first.
fn select_auto() -> SelectedDevice {
    let reports = probe();
    let mut notes = Vec::new();
    let mut candidates: Vec<&DeviceReport> = Vec::new();
    for report in &reports {
        match (report.class, &report.obstacle) {
            (DeviceClass::Processor, _) => {}
            (DeviceClass::SoftwareRasteriser, _) => {
                notes.push(format!("{} ({}) is a software rasteriser", report.choice, report.name));
            }
            (_, Some(obstacle)) => notes.push(format!("{}: {obstacle}", report.choice)),
            (_, None) => candidates.push(report),
        }
    }
    candidates.sort_by_key(|report| {
        let interface = u8::from(!matches!(report.choice, DeviceChoice::Cuda(_)));
        let class = match report.class {
            DeviceClass::DiscreteGpu => 0,
            DeviceClass::VirtualGpu => 1,
            _ => 2,
        };
        (interface, class)
    });
    for report in candidates {
        match select(report.choice) {
            Ok(mut selected) => {
                "the fastest device that is present and works".clone_into(&mut selected.why);
                return selected;
            }
            Err(error) => notes.push(error.to_string()),
        }
    }
    processor(format!("no GPU to use: {}", notes.join("; ")))
}

/// Runs work of many operations. Those of the processor are shared out among a pool of threads: asked for from outside
/// of it, each would wait for one of these to wake, so that all of them are asked for on one.
pub fn at_work<R: Send>(device: &Device, work: impl FnOnce() -> R + Send) -> R {
    if *device == Device::flex() { rayon::scope(|_| work()) } else { work() }
}

fn processor(why: String) -> SelectedDevice {
    SelectedDevice { device: Device::flex(), choice: DeviceChoice::Cpu, name: processor_name(), why }
}

#[cfg(feature = "wgpu")]
fn open_wgpu(idx: usize) -> Result<SelectedDevice, DeviceError> {
    let (device, report) = wgpu::open(idx)?;
    try_out(device, report)
}

#[cfg(not(feature = "wgpu"))]
fn open_wgpu(idx: usize) -> Result<SelectedDevice, DeviceError> {
    Err(DeviceError::NotBuilt { choice: DeviceChoice::Wgpu(idx), interface: "wgpu" })
}

#[cfg(feature = "cuda")]
fn open_cuda(idx: usize) -> Result<SelectedDevice, DeviceError> {
    let (device, report) = cuda::open(idx)?;
    try_out(device, report)
}

#[cfg(not(feature = "cuda"))]
fn open_cuda(idx: usize) -> Result<SelectedDevice, DeviceError> {
    Err(DeviceError::NotBuilt { choice: DeviceChoice::Cuda(idx), interface: "CUDA" })
}

#[cfg(not(all(feature = "wgpu", feature = "cuda")))]
fn absent(choice: DeviceChoice, name: &str, obstacle: &str) -> DeviceReport {
    DeviceReport {
        choice,
        name: name.to_owned(),
        class: DeviceClass::Other,
        driver: String::new(),
        obstacle: Some(obstacle.to_owned()),
    }
}

/// Takes the device after one multiplication came back right.
///
/// Start-up failures of the tensor library are panics, often on its device thread; they arrive here as a
/// panic of the call that waited, and become an error like any other.
#[cfg(any(feature = "wgpu", feature = "cuda"))]
fn try_out(device: Device, report: DeviceReport) -> Result<SelectedDevice, DeviceError> {
    let DeviceReport { choice, name, .. } = report;
    match first_product(&device) {
        Ok(()) => Ok(SelectedDevice { device, choice, name, why: "asked for".to_owned() }),
        Err(reason) => Err(DeviceError::Broken { choice, name, reason }),
    }
}

/// Computes `[1, 2, 3] · 2` on the device.
fn first_product(device: &Device) -> Result<(), String> {
    let result = catch_unwind(AssertUnwindSafe(|| {
        let product = Tensor::<1>::from_floats([1.0, 2.0, 3.0], device) * 2.0;
        let data = product.try_into_data().map_err(|error| error.to_string())?;
        data.try_to_vec::<f32>().map_err(|error| format!("{error:?}"))
    }));
    match result {
        Ok(Ok(product)) if product == [2.0, 4.0, 6.0] => Ok(()),
        Ok(Ok(product)) => Err(format!("[1, 2, 3] · 2 came out as {product:?}")),
        Ok(Err(reason)) => Err(reason),
        Err(payload) => Err(panic_text(payload.as_ref())),
    }
}

/// The message of a caught panic.
fn panic_text(payload: &(dyn std::any::Any + Send)) -> String {
    let text = payload
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| payload.downcast_ref::<&str>().copied());
    text.unwrap_or("the device stopped without a message").to_owned()
}

/// The processor's name where the system tells it, else its architecture.
fn processor_name() -> String {
    let model = std::fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    });
    model.unwrap_or_else(|| format!("{} processor", std::env::consts::ARCH))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_is_always_there_and_computes() {
        let selected = select(DeviceChoice::Cpu).unwrap();
        assert_eq!(selected.choice, DeviceChoice::Cpu);
        first_product(&selected.device).unwrap();
        assert_eq!(probe()[0].choice, DeviceChoice::Cpu);
    }

    #[test]
    fn auto_never_takes_a_software_rasteriser() {
        let selected = select(DeviceChoice::Auto).unwrap();
        let report = probe().into_iter().find(|report| report.choice == selected.choice).unwrap();
        assert_ne!(report.class, DeviceClass::SoftwareRasteriser, "{selected:?}");
        assert!(!selected.why.is_empty());
    }

    #[test]
    fn a_device_that_is_not_there_is_an_error_with_advice() {
        for choice in [DeviceChoice::Wgpu(99), DeviceChoice::Cuda(99)] {
            let error = select(choice).unwrap_err();
            assert!(error.hint().is_some(), "{error}");
            assert!(error.to_string().contains(&choice.to_string()), "{error}");
        }
    }
}

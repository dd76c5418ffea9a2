//! NVIDIA GPUs through CUDA.
//!
//! The driver and the run-time compiler are loaded when first used, and a missing one is a panic on a device
//! thread. So both are looked for first, and the driver is asked how many devices it has. Nothing here has
//! run on a GPU unless PERFORMANCE.md says so; what compiles is checked with `--features cuda`.
#![expect(unsafe_code, reason = "asks the loader whether the CUDA libraries are there")]

use burn::tensor::Device;
use cudarc::driver::CudaContext;
use eosin_core::DeviceChoice;

use super::{DeviceClass, DeviceError, DeviceReport};

/// All devices of the driver, or one report that says why there is none.
pub(super) fn probe() -> Vec<DeviceReport> {
    match n_device() {
        Ok(n) => (0..n).map(report).collect(),
        Err(obstacle) => vec![DeviceReport {
            choice: DeviceChoice::Cuda(0),
            name: "CUDA".to_owned(),
            class: DeviceClass::DiscreteGpu,
            driver: String::new(),
            obstacle: Some(obstacle),
        }],
    }
}

/// Opens the device of an ordinal.
pub(super) fn open(idx: usize) -> Result<(Device, DeviceReport), DeviceError> {
    let choice = DeviceChoice::Cuda(idx);
    match n_device() {
        Ok(n) if idx < n => Ok((Device::cuda(idx), report(idx))),
        Ok(n) => Err(DeviceError::Absent { choice, found: format!("the driver has {n} device(s)") }),
        Err(found) => Err(DeviceError::Absent { choice, found }),
    }
}

fn report(idx: usize) -> DeviceReport {
    let name = CudaContext::new(idx).and_then(|context| context.name());
    DeviceReport {
        choice: DeviceChoice::Cuda(idx),
        name: name.unwrap_or_else(|_| format!("CUDA device {idx}")),
        class: DeviceClass::DiscreteGpu,
        driver: "cuda".to_owned(),
        obstacle: None,
    }
}

fn n_device() -> Result<usize, String> {
    // SAFETY: both calls only try to open a shared library by name and close it again.
    let (driver, compiler) =
        unsafe { (cudarc::driver::sys::is_culib_present(), cudarc::nvrtc::sys::is_culib_present()) };
    if !driver {
        return Err("the NVIDIA driver (libcuda) was not found".to_owned());
    }
    if !compiler {
        return Err("the CUDA run-time compiler (libnvrtc) was not found".to_owned());
    }
    match CudaContext::device_count() {
        Ok(0) => Err("the NVIDIA driver reports no device".to_owned()),
        Ok(n) => Ok(n.unsigned_abs() as usize),
        Err(error) => Err(format!("the NVIDIA driver refused: {error}")),
    }
}

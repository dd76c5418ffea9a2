//! GPUs through wgpu: Vulkan, Metal, DirectX 12, OpenGL.
//!
//! The tensor library addresses adapters by sort and number within the sort (`DiscreteGpu(1)`), users by
//! place in one list (`wgpu:1`). This file lists the adapters as the tensor library does, on the first
//! interface that has a real GPU, and translates. Devices are opened through the call that can fail, not on
//! first use, which would panic.

use std::sync::{Mutex, PoisonError};

use burn::tensor::wgpu::{WgpuInitError, wgpu};
use burn::tensor::{Device, DeviceKind, read_sync};
use eosin_core::DeviceChoice;

use super::{DeviceClass, DeviceError, DeviceReport};

/// Adapters initialised so far: a second time is refused, also while another thread is half through.
static OPENED: Mutex<Vec<DeviceKind>> = Mutex::new(Vec::new());
/// Held while asking for adapters: Vulkan loaders crash when instances come and go on several threads.
static PROBING: Mutex<()> = Mutex::new(());

/// One adapter and how the tensor library calls it.
struct Adapter {
    report: DeviceReport,
    /// `None` where the tensor library cannot address it.
    kind: Option<DeviceKind>,
}

/// All adapters, or one report that says there are none.
pub(super) fn probe() -> Vec<DeviceReport> {
    let reports: Vec<_> = adapters().into_iter().map(|adapter| adapter.report).collect();
    if reports.is_empty() {
        return vec![DeviceReport {
            choice: DeviceChoice::Wgpu(0),
            name: "wgpu".to_owned(),
            class: DeviceClass::Other,
            driver: String::new(),
            obstacle: Some("no Vulkan, Metal, DirectX 12 or OpenGL adapter was found".to_owned()),
        }];
    }
    reports
}

/// Opens the adapter at a place of the list.
pub(super) fn open(idx: usize) -> Result<(Device, DeviceReport), DeviceError> {
    let choice = DeviceChoice::Wgpu(idx);
    let mut adapters = adapters();
    if idx >= adapters.len() {
        let found = match adapters.len() {
            0 => "no graphics adapter was found".to_owned(),
            1 => "the only adapter is wgpu:0".to_owned(),
            n => format!("adapters are wgpu:0 to wgpu:{}", n - 1),
        };
        return Err(DeviceError::Absent { choice, found });
    }
    let Adapter { report, kind } = adapters.swap_remove(idx);
    let broken = |reason: String| DeviceError::Broken { choice, name: report.name.clone(), reason };
    let Some(kind) = kind else {
        return Err(broken("the tensor library cannot address adapters of this sort".to_owned()));
    };
    let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    if !opened.contains(&kind) {
        match Device::wgpu_options().device_kind(kind.clone()).init() {
            // Someone has used the adapter without coming through here.
            Ok(_) | Err(WgpuInitError::Registration { .. }) => opened.push(kind.clone()),
            Err(error) => return Err(broken(error.to_string())),
        }
    }
    Ok((Device::wgpu(kind), report))
}

fn adapters() -> Vec<Adapter> {
    let mut n_of_class: Vec<(wgpu::DeviceType, usize)> = Vec::new();
    let mut numbered = |device_type| {
        if let Some((_, n)) = n_of_class.iter_mut().find(|(class, _)| *class == device_type) {
            *n += 1;
            return *n - 1;
        }
        n_of_class.push((device_type, 1));
        0
    };
    let describe = |(idx, info): (usize, wgpu::AdapterInfo)| {
        let place = numbered(info.device_type);
        let (class, kind) = match info.device_type {
            wgpu::DeviceType::DiscreteGpu => (DeviceClass::DiscreteGpu, Some(DeviceKind::DiscreteGpu(place))),
            wgpu::DeviceType::IntegratedGpu => {
                (DeviceClass::IntegratedGpu, Some(DeviceKind::IntegratedGpu(place)))
            }
            wgpu::DeviceType::VirtualGpu => (DeviceClass::VirtualGpu, Some(DeviceKind::VirtualGpu(place))),
            // The library knows one software adapter only.
            wgpu::DeviceType::Cpu => {
                (DeviceClass::SoftwareRasteriser, (place == 0).then_some(DeviceKind::Cpu))
            }
            wgpu::DeviceType::Other => (DeviceClass::Other, None),
        };
        let driver = format!("{:?}, {} {}", info.backend, info.driver, info.driver_info);
        let report = DeviceReport {
            choice: DeviceChoice::Wgpu(idx),
            name: info.name,
            class,
            driver: driver.trim().to_lowercase(),
            obstacle: kind
                .is_none()
                .then(|| "the tensor library cannot address adapters of this sort".to_owned()),
        };
        Adapter { report, kind }
    };
    settled_interface().into_iter().enumerate().map(describe).collect()
}

/// The adapters of the first interface with a real GPU, else of the first with anything: the rule by which
/// the tensor library settles on one.
fn settled_interface() -> Vec<wgpu::AdapterInfo> {
    let chain = if cfg!(target_os = "macos") {
        &[wgpu::Backends::METAL][..]
    } else {
        &[wgpu::Backends::VULKAN, wgpu::Backends::DX12, wgpu::Backends::GL]
    };
    let _probing = PROBING.lock().unwrap_or_else(PoisonError::into_inner);
    let mut software = Vec::new();
    for &backends in chain {
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
            backends,
            ..wgpu::InstanceDescriptor::new_without_display_handle()
        });
        let adapters = read_sync(instance.enumerate_adapters(backends));
        let infos: Vec<_> = adapters.iter().map(wgpu::Adapter::get_info).collect();
        if infos.iter().any(|info| info.device_type != wgpu::DeviceType::Cpu) {
            return infos;
        }
        if software.is_empty() {
            software = infos;
        }
    }
    software
}

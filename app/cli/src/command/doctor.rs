//! `eosin doctor`: what is there, what would be used, and why.
//!
//! Names of files appear only where the user set them as a setting. Held true by `tests/cli.rs`.

use eosin_core::error_chain;
use eosin_session::device::{DeviceClass, probe, select};
use eosin_session::{ModelBundle, memory};
use serde_json::{Value, json};

use crate::environment;
use crate::printer::Printer;
use crate::settings::{ModelArgs, Settings, user_file};

/// What was asked of `eosin doctor`.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  eosin doctor\n  eosin doctor --json | jq .devices\n  eosin doctor --device wgpu:0"
)]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Does it.
pub fn run(args: Args, printer: &Printer) -> anyhow::Result<()> {
    let settings = Settings::load(&args.model)?;
    let report = report(&settings);
    if args.json {
        return printer.json(&report);
    }
    for line in lines(&report) {
        printer.line(line)?;
    }
    Ok(())
}

fn report(settings: &Settings) -> Value {
    let devices: Vec<Value> = probe()
        .into_iter()
        .map(|device| {
            json!({
                "choice": device.choice.to_string(),
                "name": device.name,
                "class": class_name(device.class),
                "driver": device.driver,
                "obstacle": device.obstacle,
            })
        })
        .collect();
    let chosen = match select(settings.device.value) {
        Ok(device) => json!({"choice": device.choice.to_string(), "name": device.name, "why": device.why}),
        Err(error) => json!({"error": error_chain(&error)}),
    };
    let demo = match ModelBundle::demo() {
        Ok(bundle) => json!({"name": bundle.name, "hash": bundle.hash, "notice": bundle.notice}),
        Err(error) => json!({"error": error_chain(&error)}),
    };
    let setting = |(name, value, origin): (&str, String, crate::settings::Origin)| {
        (name.to_owned(), json!({"value": value, "origin": origin.to_string()}))
    };
    let names = [
        environment::DEVICE,
        environment::MODEL,
        environment::MMPROJ,
        environment::MAX_TOKENS,
        environment::CONFIG,
    ];
    let set = |name: &str| (name.to_owned(), json!(environment::read(name)));
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "system": {"os": std::env::consts::OS, "architecture": std::env::consts::ARCH},
        "built_with": {
            "desktop": cfg!(feature = "desktop"),
            "cuda": cfg!(feature = "cuda"),
        },
        "processor": {
            "threads": std::thread::available_parallelism().map_or(1, usize::from),
            "features": cpu_features(),
        },
        "memory": {"total_bytes": memory::total_bytes(), "available_bytes": memory::available_bytes()},
        "devices": devices,
        "chosen_device": chosen,
        "demo": demo,
        "openslide": eosin_slide::library_version(),
        "settings": settings.table().into_iter().map(setting).collect::<serde_json::Map<_, _>>(),
        "settings_file": user_file().map(|path| path.display().to_string()),
        "environment": names.map(set).into_iter().collect::<serde_json::Map<_, _>>(),
    })
}

fn class_name(class: DeviceClass) -> &'static str {
    match class {
        DeviceClass::Processor => "processor",
        DeviceClass::DiscreteGpu => "discrete GPU",
        DeviceClass::IntegratedGpu => "integrated GPU",
        DeviceClass::VirtualGpu => "virtual GPU",
        DeviceClass::SoftwareRasteriser => "software rasteriser",
        DeviceClass::Other => "other",
    }
}

/// Extensions of the processor that matter to arithmetic.
fn cpu_features() -> Vec<&'static str> {
    let mut features = Vec::new();
    #[cfg(target_arch = "x86_64")]
    {
        macro_rules! add {
            ($($name:tt),*) => {
                $(if std::arch::is_x86_feature_detected!($name) { features.push($name); })*
            };
        }
        add!("sse4.2", "avx", "f16c", "fma", "avx2", "avx512f", "avx512bw", "avx512vnni", "avxvnni");
    }
    #[cfg(target_arch = "aarch64")]
    {
        macro_rules! add {
            ($($name:tt),*) => {
                $(if std::arch::is_aarch64_feature_detected!($name) { features.push($name); })*
            };
        }
        add!("neon", "fp16", "dotprod", "i8mm", "sve", "bf16");
    }
    features
}

/// The report for people.
fn lines(report: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mib =
        |value: &Value| value.as_u64().map_or("unknown".to_owned(), |bytes| format!("{} MiB", bytes >> 20));
    let built: Vec<&str> = report["built_with"]
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(_, with)| **with == Value::Bool(true))
        .map(|(name, _)| name.as_str())
        .collect();
    let features: Vec<String> =
        report["processor"]["features"].as_array().into_iter().flatten().map(text).collect();
    let mut lines = vec![
        format!(
            "eosin {} ({} {})",
            text(&report["version"]),
            text(&report["system"]["os"]),
            text(&report["system"]["architecture"])
        ),
        format!("built with   {}", built.join(", ")),
        format!("processor    {} threads; {}", report["processor"]["threads"], features.join(" ")),
        format!(
            "memory       {} free of {}",
            mib(&report["memory"]["available_bytes"]),
            mib(&report["memory"]["total_bytes"])
        ),
        format!("OpenSlide    {}", text(&report["openslide"])),
        match report["demo"]["error"].as_str() {
            Some(error) => format!("demo model   {error}"),
            None => {
                format!("demo model   {} ({})", text(&report["demo"]["name"]), text(&report["demo"]["hash"]))
            }
        },
        String::new(),
        "devices".to_owned(),
    ];
    for device in report["devices"].as_array().into_iter().flatten() {
        let obstacle =
            device["obstacle"].as_str().map_or_else(String::new, |why| format!(" — not usable: {why}"));
        lines.push(format!(
            "  {:<8} {} ({}, {}){obstacle}",
            text(&device["choice"]),
            text(&device["name"]),
            text(&device["class"]),
            text(&device["driver"]),
        ));
    }
    let chosen = &report["chosen_device"];
    lines.push(match chosen["error"].as_str() {
        Some(error) => format!("chosen       none: {error}"),
        None => format!(
            "chosen       {} ({}): {}",
            text(&chosen["choice"]),
            text(&chosen["name"]),
            text(&chosen["why"])
        ),
    });
    lines.extend([String::new(), "settings".to_owned()]);
    for (name, setting) in report["settings"].as_object().into_iter().flatten() {
        lines.push(format!("  {name:<12} {} ({})", text(&setting["value"]), text(&setting["origin"])));
    }
    lines.push(format!("  read from eosin.toml here and {}", text(&report["settings_file"])));
    lines.extend([String::new(), "environment".to_owned()]);
    for (name, value) in report["environment"].as_object().into_iter().flatten() {
        lines.push(format!("  {name:<16} {}", value.as_str().unwrap_or("not set")));
    }
    lines
}

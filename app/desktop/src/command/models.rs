//! Models: which there are, which is loaded.

#![expect(clippy::needless_pass_by_value, reason = "Tauri hands the arguments of commands over by value")]

use std::sync::Arc;

use eosin_core::{DeviceChoice, Hint as _, error_chain};
use eosin_session::{BundleSource, LoadState};
use eosin_workbench::WorkbenchError;
use eosin_workbench::models::projector_beside;

use super::Managed;
use crate::dto::{DeviceDto, ErrorDto, ModelEntryDto, ModelSourceDto, ModelStateDto};

/// Every model there is to choose.
#[tauri::command(async)]
pub(crate) fn models(state: Managed<'_>) -> Vec<ModelEntryDto> {
    state.shelf.list().into_iter().map(ModelEntryDto::from).collect()
}

/// Every device there is to choose, the best first.
#[tauri::command(async)]
pub(crate) fn devices() -> Vec<DeviceDto> {
    let found = eosin_session::device::probe();
    let found =
        found.into_iter().map(|device| DeviceDto { choice: device.choice.to_string(), name: device.name });
    std::iter::once(DeviceDto { choice: DeviceChoice::Auto.to_string(), name: String::new() })
        .chain(found)
        .collect()
}

/// Has a model loaded in place of the present one; returns at once.
#[tauri::command(async)]
pub(crate) fn load_model(state: Managed<'_>, source: ModelSourceDto, device: String) -> Result<(), ErrorDto> {
    let device = device.parse().unwrap_or(DeviceChoice::Auto);
    let source = BundleSource::from(source);
    state.shelf.remember(&source)?;
    Ok(state.chats.worker().load(source, device).map_err(|error| WorkbenchError::Session(Arc::new(error)))?)
}

/// Frees the model's memory; a running answer is stopped.
#[tauri::command(async)]
pub(crate) fn unload_model(state: Managed<'_>) -> Result<(), ErrorDto> {
    Ok(state.chats.worker().unload().map_err(|error| WorkbenchError::Session(Arc::new(error)))?)
}

/// Forgets a model elsewhere; its files stay.
#[tauri::command(async)]
pub(crate) fn forget_model(state: Managed<'_>, source: ModelSourceDto) -> Result<(), ErrorDto> {
    Ok(state.shelf.forget(&source.into())?)
}

/// Lets the person choose a model's file or folder; nothing where they choose none.
#[tauri::command]
pub(crate) async fn model_dialog(folder: bool) -> Option<ModelEntryDto> {
    let dialog = rfd::AsyncFileDialog::new();
    let chosen = if folder {
        dialog.pick_folder().await
    } else {
        dialog.add_filter("GGUF", &["gguf"]).pick_file().await
    };
    let model = chosen?.path().to_owned();
    let mmproj = projector_beside(&model).filter(|_| !folder);
    Some(eosin_workbench::models::entry(BundleSource::Files { model, mmproj }).into())
}

/// How far the model is.
#[tauri::command]
pub(crate) fn model_state(state: Managed<'_>) -> ModelStateDto {
    match state.chats.load_state() {
        LoadState::Loading => ModelStateDto::Loading,
        LoadState::Unloaded => ModelStateDto::Unloaded,
        LoadState::Failed(error) => ModelStateDto::Failed {
            error: ErrorDto {
                code: "model".to_owned(),
                message: error_chain(error.as_ref()),
                hint: error.hint().map(str::to_owned),
            },
        },
        LoadState::Ready(info) => ModelStateDto::Ready {
            name: info.name.clone(),
            device: info.device_name.clone(),
            notice: info.notice.clone(),
            sees: info.sees,
            n_context: info.n_context as u32,
            style: info.style.name().to_owned(),
            temperature: info.sampler.temperature.unwrap_or_default(),
            max_tokens: info.max_tokens as u32,
            load_secs: info.load_secs,
        },
    }
}

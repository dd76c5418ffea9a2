//! Slides: by dialog, drop, argument or from a folder; what is known of them, and how they are shown.

#![expect(clippy::needless_pass_by_value, reason = "Tauri hands the arguments of commands over by value")]

use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use base64::Engine as _;
use eosin_core::Mpp;
use eosin_slide::{Exposure, SlideError};
use eosin_workbench::{Look, Measure, OpenedSlide, SlideKey, WorkbenchError, list_slides};

use super::Managed;
use crate::State;
use crate::dto::{
    AssociatedDto, ErrorDto, FileDto, InformationDto, LevelDto, ListingDto, PresetDto, PropertyDto, SlideDto,
};

/// Lets the person choose files; none where they choose none.
#[tauri::command]
pub(crate) async fn open_dialog() -> Vec<String> {
    let chosen = rfd::AsyncFileDialog::new().set_title("Eosin").pick_files().await;
    chosen.unwrap_or_default().iter().map(|file| file.path().to_string_lossy().into_owned()).collect()
}

/// Lets the person choose a folder.
#[tauri::command]
pub(crate) async fn folder_dialog() -> Option<String> {
    let chosen = rfd::AsyncFileDialog::new().set_title("Eosin").pick_folder().await?;
    Some(chosen.path().to_string_lossy().into_owned())
}

/// The slides and pictures among these files and inside these folders.
#[tauri::command(async)]
pub(crate) fn list_files(paths: Vec<PathBuf>) -> ListingDto {
    let listing = list_slides(&paths);
    ListingDto {
        files: listing.files.iter().map(|path| FileDto::of(path)).collect(),
        truncated: listing.truncated,
        n_unread: listing.n_unread as u32,
    }
}

/// Opens a slide or a picture.
#[tauri::command(async)]
pub(crate) fn open_path(state: Managed<'_>, path: &Path) -> Result<SlideDto, ErrorDto> {
    let opened = state.workbench.open(path)?;
    describe(&state, &opened)
}

/// What went wrong lately, the last at the end: tiles are asked for by the viewer, which cannot say why one failed.
#[tauri::command(async)]
pub(crate) fn recent_errors(state: Managed<'_>) -> Vec<ErrorDto> {
    state.workbench.errors().list().into_iter().map(ErrorDto::from).collect()
}

/// Closes a slide; its tiles are forgotten.
#[tauri::command(async)]
pub(crate) fn close_slide(state: Managed<'_>, slide: String) {
    let key = SlideKey(slide);
    state.books.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
    state.workbench.close(&key);
}

/// States the scale of a slide, or takes back what was stated; remembered for this slide.
#[tauri::command(async)]
pub(crate) fn state_scale(
    state: Managed<'_>,
    slide: String,
    um_per_px: Option<f64>,
) -> Result<SlideDto, ErrorDto> {
    let mpp = um_per_px.map(Mpp::new).transpose().map_err(|error| ErrorDto {
        code: "scale".to_owned(),
        message: error.to_string(),
        hint: None,
    })?;
    let opened = state.workbench.state_mpp(&SlideKey(slide), mpp)?;
    describe(&state, &opened)
}

/// Remembers how a slide is shown.
#[tauri::command(async)]
pub(crate) fn remember_look(state: Managed<'_>, slide: String, look: &str) -> Result<(), ErrorDto> {
    let look = Look::from_code(look).unwrap_or_default();
    Ok(state.workbench.set_look(&SlideKey(slide), look)?)
}

/// What is known of a slide, without what may name a patient.
#[tauri::command(async)]
pub(crate) fn slide_information(state: Managed<'_>, slide: String) -> Result<InformationDto, ErrorDto> {
    let opened = state.workbench.slide(&SlideKey(slide))?;
    let associated = opened.slide.info().associated.iter().map(|image| AssociatedDto {
        name: image.name.clone(),
        width_px: image.size_px[0],
        height_px: image.size_px[1],
        sensitive: image.sensitive,
    });
    Ok(InformationDto {
        associated: associated.collect(),
        n_property: opened.slide.properties().len() as u32,
    })
}

/// Everything that the file states, which may name a patient: called when the person asked for it.
#[tauri::command(async)]
pub(crate) fn slide_properties(state: Managed<'_>, slide: String) -> Result<Vec<PropertyDto>, ErrorDto> {
    let opened = state.workbench.slide(&SlideKey(slide))?;
    let properties = opened.slide.properties().into_iter();
    Ok(properties.map(|(name, value)| PropertyDto { name, value }).collect())
}

/// A picture that the file holds beside its slide, as the address of a picture. One that may name a patient is
/// called for by the person, who was told so.
#[tauri::command(async)]
pub(crate) fn associated_image(state: Managed<'_>, slide: String, name: &str) -> Result<String, ErrorDto> {
    let opened = state.workbench.slide(&SlideKey(slide))?;
    let failed = |error: SlideError| WorkbenchError::from(error);
    let image = opened.slide.associated(name, Exposure::PatientData).map_err(failed)?;
    let jpeg = eosin_workbench::encode_jpeg(&image)?;
    let base64 = base64::engine::general_purpose::STANDARD.encode(&jpeg);
    Ok(format!("data:image/jpeg;base64,{base64}"))
}

fn describe(state: &State, opened: &OpenedSlide) -> Result<SlideDto, ErrorDto> {
    let info = opened.slide.info();
    let base_px = info.base_px();
    let measure = Measure::of(info);
    let levels = info.levels.iter().map(|level| LevelDto {
        width_px: level.size_px[0],
        height_px: level.size_px[1],
        downsample: level.downsample,
    });
    let presets = measure.presets(base_px).into_iter().map(|preset| PresetDto {
        magnification: preset.magnification,
        downsample: preset.downsample,
        width_px: preset.size_px[0],
        height_px: preset.size_px[1],
    });
    Ok(SlideDto {
        handle: opened.key.0.clone(),
        id: info.id.0.clone(),
        path: opened.path.to_string_lossy().into_owned(),
        title: opened.title.clone(),
        format: info.format.clone(),
        width_px: base_px[0],
        height_px: base_px[1],
        tile_px: opened.plan.tile_px(),
        mpp: info.mpp.map(Mpp::um_per_px),
        file_mpp: opened.file_mpp.map(Mpp::um_per_px),
        magnification: measure.base_magnification(),
        presets: presets.collect(),
        look: state.workbench.look(&opened.key)?.code(),
        levels: levels.collect(),
    })
}

//! Similar images, the library, and labels.

#![expect(clippy::needless_pass_by_value, reason = "Tauri hands the arguments of commands over by value")]

use std::path::{Path, PathBuf};
use std::time::Instant;

use eosin_core::SlideId;
use eosin_library::{Filter, Hit, IndexState, ItemId, Opening, SourceId, Stain};
use eosin_workbench::finder::{Wanted, class_color};
use eosin_workbench::{SlideKey, ViewRect, WorkbenchError, small_jpeg};
use tauri::ipc::Channel;

use super::Managed;
use crate::State;
use crate::dto::{
    ErrorDto, FaultDto, HitDto, IndexProgressDto, LabelDto, LabelEvent, LabelsDto, LibraryDto, QueryDto,
    SearchDto, SearchResultDto, SourceDto, ViewDto,
};
use crate::stream::data_url;

/// Longest side of the small copies.
const SMALL_PX: u32 = 224;
/// Faults that are shown; the others are counted.
const MOST_FAULTS: usize = 50;

/// What is in the library.
#[tauri::command(async)]
pub(crate) fn library(state: Managed<'_>) -> Result<LibraryDto, ErrorDto> {
    let model = state.finder.model()?;
    let opening = state.finder.library()?.opening();
    let (status, sources) = state.finder.status()?;
    let notice = match opening {
        Opening::Rebuilt { backup, n_kept, n_lost } => Some(format!(
            "the library was damaged: {n_kept} images are kept, {n_lost} files must be indexed again: {}",
            backup.display()
        )),
        _ => model.notice.clone(),
    };
    Ok(LibraryDto {
        model: model.id.name.clone(),
        notice,
        n_item: status.n_item as u32,
        n_done: status.n_done as u32,
        tags: status.tags.into_iter().map(|(tag, _)| tag).collect(),
        stains: status.stains.into_iter().map(|(stain, _)| stain.name().to_owned()).collect(),
        sources: sources
            .into_iter()
            .map(|source| SourceDto {
                id: source.id.0,
                title: title(&source.path),
                path: source.path.to_string_lossy().into_owned(),
                n_item: source.n_item as u32,
            })
            .collect(),
    })
}

/// Lets the person choose a folder and adds it; says whether they chose one.
#[tauri::command]
pub(crate) async fn index_folder(state: Managed<'_>) -> Result<bool, ErrorDto> {
    let Some(folder) = rfd::AsyncFileDialog::new().pick_folder().await else { return Ok(false) };
    state.finder.add(folder.path(), Some(state.annotations()))?;
    Ok(true)
}

/// Adds a folder or file by its path.
#[tauri::command(async)]
pub(crate) fn index_path(state: Managed<'_>, path: PathBuf) -> Result<bool, ErrorDto> {
    state.finder.add(&path, Some(state.annotations()))?;
    Ok(true)
}

/// Adds an opened slide.
#[tauri::command(async)]
pub(crate) fn index_slide(state: Managed<'_>, slide: String) -> Result<bool, ErrorDto> {
    let opened = state.workbench.slide(&SlideKey(slide))?;
    state.finder.add(&opened.path, Some(state.annotations()))?;
    Ok(true)
}

/// Brings a place up to date.
#[tauri::command(async)]
pub(crate) fn index_again(state: Managed<'_>, id: i64) -> Result<bool, ErrorDto> {
    state.finder.index(vec![SourceId(id)], Some(state.annotations()))?;
    Ok(true)
}

/// Takes a place out of the library.
#[tauri::command(async)]
pub(crate) fn remove_source(state: Managed<'_>, id: i64) -> Result<(), ErrorDto> {
    state.finder.remove(SourceId(id))?;
    Ok(())
}

/// How far the indexing is; nothing where none was begun.
#[tauri::command(async)]
pub(crate) fn index_progress(state: Managed<'_>) -> Option<IndexProgressDto> {
    let (progress, tally) = state.finder.progress()?;
    let said = match progress.state {
        IndexState::Starting | IndexState::Running => "running",
        IndexState::Paused => "paused",
        IndexState::Done => "done",
        IndexState::Stopped => "stopped",
        IndexState::Failed => "failed",
    };
    let failed = progress.state == IndexState::Failed;
    let error = failed.then(|| state.finder.running()?.wait().err()).flatten();
    let faults = tally.skips.iter().take(MOST_FAULTS);
    Some(IndexProgressDto {
        state: said.to_owned(),
        n_done: progress.n_done as u32,
        n_total: progress.n_total as u32,
        n_skipped: tally.n_unchanged as u32,
        n_fault: tally.n_skip as u32,
        faults: faults
            .map(|skip| FaultDto { title: title(&skip.path), reason: skip.reason.clone() })
            .collect(),
        tiles_per_sec: (progress.tiles_per_sec > 0.0).then_some(progress.tiles_per_sec),
        secs_left: progress.secs_left,
        error: error.map(|error| eosin_core::error_chain(error.as_ref())),
    })
}

/// Has the indexing wait.
#[tauri::command(async)]
pub(crate) fn index_pause(state: Managed<'_>) {
    state.finder.running().inspect(|running| running.pause());
}

/// Has the indexing go on.
#[tauri::command(async)]
pub(crate) fn index_resume(state: Managed<'_>) {
    state.finder.running().inspect(|running| running.resume());
}

/// Ends the indexing; what was added stays.
#[tauri::command(async)]
pub(crate) fn index_stop(state: Managed<'_>) {
    state.finder.running().inspect(|running| running.stop());
}

/// Finds what is most like something.
#[tauri::command(async)]
pub(crate) fn search(state: Managed<'_>, request: SearchDto) -> Result<SearchResultDto, ErrorDto> {
    let model = state.finder.model()?.id.name.clone();
    let begun = Instant::now();
    let filter = Filter {
        tags: request.tags,
        stain: request.stain.and_then(|name| name.parse::<Stain>().ok()),
        slide: request.only_slide.map(SlideId),
        except_slide: request.except_slide.map(SlideId),
        kind: None,
    };
    let wanted = match request.query {
        QueryDto::View { slide, view } => Wanted::View { slide: SlideKey(slide), view: view.into() },
        QueryDto::Words { words } => Wanted::Words(words),
        QueryDto::File { path } => Wanted::File(path.into()),
        QueryDto::Item { item } => Wanted::Item(ItemId(item)),
    };
    let hits = state.finder.find(&state.workbench, &wanted, filter, request.n as usize)?;
    let secs = begun.elapsed().as_secs_f64();
    Ok(SearchResultDto { hits: hits.into_iter().map(|hit| hit_dto(&state, hit)).collect(), model, secs })
}

/// Labels a slide; nothing where it was stopped.
#[tauri::command(async)]
pub(crate) fn label_slide(
    state: Managed<'_>,
    slide: String,
    classes: Vec<String>,
    channel: Channel<LabelEvent>,
) -> Result<Option<LabelsDto>, ErrorDto> {
    let mut progress = |n_done: usize, n_total: usize| {
        let _ = channel.send(LabelEvent { n_done: n_done as u32, n_total: n_total as u32 });
    };
    let key = SlideKey(slide.clone());
    let labels = match state.finder.label(&state.workbench, &key, &classes, &mut progress) {
        Err(error) if error.code() == "cancelled" => return Ok(None),
        labels => labels?,
    };
    let heatmap = labels.heatmap;
    let named = heatmap.classes.iter().zip(&heatmap.shares).enumerate();
    Ok(Some(LabelsDto {
        slide,
        model: state.finder.model()?.id.name.clone(),
        n_tile: heatmap.n_tile as u32,
        classes: named
            .map(|(class, (name, share))| LabelDto {
                name: name.clone(),
                color: class_color(class),
                share: f64::from(*share),
            })
            .collect(),
        url: data_url("image/png", &labels.png),
    }))
}

/// Ends a labelling.
#[tauri::command(async)]
pub(crate) fn stop_labels(state: Managed<'_>) {
    state.finder.stop_labels();
}

fn hit_dto(state: &State, hit: Hit) -> HitDto {
    let small = |tile| -> Result<Vec<u8>, WorkbenchError> { small_jpeg(&tile, SMALL_PX) };
    // A file that is gone is still told of: where it was helps to find it.
    let jpeg = state.finder.thumbnail(&hit, SMALL_PX).and_then(small);
    HitDto {
        item: hit.item.0,
        score: hit.score,
        title: title(&hit.path),
        path: hit.path.to_string_lossy().into_owned(),
        slide_id: hit.slide.map(|slide| slide.0),
        view: hit.region.as_ref().and_then(ViewRect::of_region).map(ViewDto::of),
        um_per_px: hit.um_per_px,
        tags: hit.tags,
        stain: hit.stain.name().to_owned(),
        stain_stated: hit.stain_stated,
        url: jpeg.map(|jpeg| data_url("image/jpeg", &jpeg)).unwrap_or_default(),
    }
}

fn title(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

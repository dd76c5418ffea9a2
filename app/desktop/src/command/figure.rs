//! Figures: a view or a region as a picture file, larger than the screen.

#![expect(clippy::needless_pass_by_value, reason = "Tauri hands the arguments of commands over by value")]

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};

use eosin_workbench::{Corner, Feature, FigureError, FigureRequest, Look, SlideKey, WorkbenchError};
use tauri::ipc::Channel;

use super::Managed;
use crate::dto::{CornerDto, ErrorDto, FigureDto};

/// Writes a figure: to the place named, else to one that the person chooses. Tells the share that is done, and
/// returns the place; none where it was given up.
#[tauri::command]
pub(crate) async fn export_figure(
    state: Managed<'_>,
    slide: String,
    figure: FigureDto,
    path: Option<String>,
    progress: Channel<f64>,
) -> Result<Option<String>, ErrorDto> {
    let key = SlideKey(slide);
    let opened = state.workbench.slide(&key)?;
    let features = if figure.annotations { features(&state, &key) } else { Vec::new() };
    let path = match path {
        Some(path) => PathBuf::from(path),
        None => {
            // The slide's name may hold a patient's: the person types another, or none.
            let name = format!("figure.{}", figure.ending);
            let dialog = rfd::AsyncFileDialog::new().set_title("Eosin").set_file_name(name);
            match dialog.save_file().await {
                Some(file) => file.path().to_owned(),
                None => return Ok(None),
            }
        }
    };
    let size_px = [figure.width_px, figure.height_px];
    let plain = FigureRequest::view(figure.center_base_px, figure.downsample, size_px);
    let request = FigureRequest {
        rotation_degrees: figure.rotation_degrees,
        look: Look::from_code(&figure.look).unwrap_or_default(),
        features,
        scale_bar: figure.scale_bar.map(corner),
        ..plain
    };
    let stopped = Arc::new(AtomicBool::new(false));
    *state.figure_stop.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&stopped);
    let place = path.to_string_lossy().into_owned();
    let written = tauri::async_runtime::spawn_blocking(move || {
        eosin_workbench::export_figure_watched(&opened.slide, &request, &path, &mut |share| {
            // A page that has gone wants no figure.
            let gone = progress.send(share).is_err();
            if gone || stopped.load(Ordering::Relaxed) {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })
    });
    match written.await {
        Ok(Ok(())) => Ok(Some(place)),
        Ok(Err(FigureError::Stopped)) => Ok(None),
        Ok(Err(error)) => Err(WorkbenchError::from(error).into()),
        Err(_panicked) => Err(WorkbenchError::Bug.into()),
    }
}

/// Gives the figure up that is being written.
#[tauri::command]
pub(crate) fn stop_figure(state: Managed<'_>) {
    state.figure_stop.lock().unwrap_or_else(PoisonError::into_inner).store(true, Ordering::Relaxed);
}

/// The annotations of an open slide.
fn features(state: &Managed<'_>, key: &SlideKey) -> Vec<Feature> {
    let books = state.books.lock().unwrap_or_else(PoisonError::into_inner);
    let book = books.get(key).map(|book| book.lock().unwrap_or_else(PoisonError::into_inner));
    book.map(|book| book.features().to_vec()).unwrap_or_default()
}

fn corner(corner: CornerDto) -> Corner {
    match corner {
        CornerDto::TopLeft => Corner::TopLeft,
        CornerDto::TopRight => Corner::TopRight,
        CornerDto::BottomLeft => Corner::BottomLeft,
        CornerDto::BottomRight => Corner::BottomRight,
    }
}

//! Annotations: edited, taken back, carried in and out. Every edit is on the disk before the page hears of it.

#![expect(clippy::needless_pass_by_value, reason = "Tauri hands the arguments of commands over by value")]

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};

use eosin_core::annotation::AnnotationId;
use eosin_workbench::annotation::{Opening, SharedBook};
use eosin_workbench::{
    AnnotationBook, AnnotationError, Edit, Feature, Measure, SaveState, SlideKey, WorkbenchError,
};

use super::Managed;
use crate::State;
use crate::dto::{AnnotationDto, AnnotationsDto, ClassDto, EditDto, ErrorDto, ImportedDto};

/// All annotations of a slide.
#[tauri::command(async)]
pub(crate) fn annotations(state: Managed<'_>, slide: String) -> Result<AnnotationsDto, ErrorDto> {
    let place = Place::of(&state, slide)?;
    place.change(true, |book| {
        book.refresh();
        Ok(None)
    })
}

/// Adds, changes or removes.
#[tauri::command(async)]
pub(crate) fn edit_annotations(
    state: Managed<'_>,
    slide: String,
    edit: EditDto,
) -> Result<AnnotationsDto, ErrorDto> {
    let edit = match edit {
        EditDto::Add { annotation } => Edit::Add(annotation.into()),
        EditDto::Change { annotations } => {
            Edit::All(annotations.into_iter().map(|draft| Edit::Change(draft.into())).collect())
        }
        EditDto::Remove { ids } => {
            Edit::All(ids.into_iter().map(|id| Edit::Remove(AnnotationId(id))).collect())
        }
    };
    Place::of(&state, slide)?.change(false, |book| book.apply(edit).map(|_state| None))
}

/// Takes the last step back.
#[tauri::command(async)]
pub(crate) fn undo_annotations(state: Managed<'_>, slide: String) -> Result<AnnotationsDto, ErrorDto> {
    Place::of(&state, slide)?.change(false, |book| {
        book.undo();
        Ok(None)
    })
}

/// Does again what was taken back last.
#[tauri::command(async)]
pub(crate) fn redo_annotations(state: Managed<'_>, slide: String) -> Result<AnnotationsDto, ErrorDto> {
    Place::of(&state, slide)?.change(false, |book| {
        book.redo();
        Ok(None)
    })
}

/// Tries again to save what is not on the disk.
#[tauri::command(async)]
pub(crate) fn save_annotations(state: Managed<'_>, slide: String) -> Result<AnnotationsDto, ErrorDto> {
    Place::of(&state, slide)?.change(false, |book| {
        book.save();
        Ok(None)
    })
}

/// Takes over a GeoJSON file: the one named, else one that the person chooses.
#[tauri::command]
pub(crate) async fn import_annotations(
    state: Managed<'_>,
    slide: String,
    path: Option<String>,
) -> Result<Option<AnnotationsDto>, ErrorDto> {
    let place = Place::of(&state, slide)?;
    let path = match path {
        Some(path) => PathBuf::from(path),
        None => match dialog().pick_file().await {
            Some(file) => file.path().to_owned(),
            None => return Ok(None),
        },
    };
    place.change(false, |book| book.import(&path).map(|imported| Some(imported.into()))).map(Some)
}

/// Writes a GeoJSON file: to the place named, else to one that the person chooses. Returns the place.
#[tauri::command]
pub(crate) async fn export_annotations(
    state: Managed<'_>,
    slide: String,
    path: Option<String>,
) -> Result<Option<String>, ErrorDto> {
    let title = state.workbench.slide(&SlideKey(slide.clone()))?.title.clone();
    let place = Place::of(&state, slide)?;
    let path = match path {
        Some(path) => PathBuf::from(path),
        None => match dialog().set_file_name(format!("{title}.geojson")).save_file().await {
            Some(file) => file.path().to_owned(),
            None => return Ok(None),
        },
    };
    let book = place.book.lock().unwrap_or_else(PoisonError::into_inner);
    book.export(&path).map_err(WorkbenchError::from)?;
    Ok(Some(path.to_string_lossy().into_owned()))
}

/// The classes that annotations may have.
#[tauri::command(async)]
pub(crate) fn classes(state: Managed<'_>) -> Vec<ClassDto> {
    state.preferences.get().classes.into_iter().map(ClassDto::from).collect()
}

/// Remembers another list of classes.
#[tauri::command(async)]
pub(crate) fn remember_classes(state: Managed<'_>, classes: Vec<ClassDto>) -> Result<(), ErrorDto> {
    let classes = classes.into_iter().map(Into::into).collect();
    let kept = state.preferences.change(|preferences| preferences.classes = classes);
    Ok(kept.map_err(WorkbenchError::from)?)
}

fn dialog() -> rfd::AsyncFileDialog {
    rfd::AsyncFileDialog::new().set_title("Eosin").add_filter("GeoJSON", &["geojson", "json"])
}

/// The book of a slide, and what lengths mean there.
struct Place {
    book: SharedBook,
    measure: Measure,
    opening: Opening,
}

impl Place {
    fn of(state: &State, slide: String) -> Result<Self, ErrorDto> {
        let key = SlideKey(slide);
        let opened = state.workbench.slide(&key)?;
        let info = opened.slide.info();
        let (book, opening) = state.marks.book(&info.id).map_err(WorkbenchError::from)?;
        // The shelf lets a book go that nobody holds; its steps to take back would go with it.
        let mut held = state.books.lock().unwrap_or_else(PoisonError::into_inner);
        held.insert(key, Arc::clone(&book));
        Ok(Self { book, measure: Measure::of(info), opening })
    }

    /// Does something to the book and tells the page what is new; all of it, where `whole`.
    fn change(
        &self,
        whole: bool,
        act: impl FnOnce(&mut AnnotationBook) -> Result<Option<ImportedDto>, AnnotationError>,
    ) -> Result<AnnotationsDto, ErrorDto> {
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        let before: HashMap<AnnotationId, Feature> = if whole {
            HashMap::new()
        } else {
            book.features().iter().map(|old| (old.annotation.id.clone(), old.clone())).collect()
        };
        let imported = act(&mut book).map_err(WorkbenchError::from)?;
        let mut gone = before;
        let mut changed = Vec::new();
        for feature in book.features() {
            if gone.remove(&feature.annotation.id).as_ref() != Some(feature) {
                changed.push(AnnotationDto::of(feature, &self.measure));
            }
        }
        let unsaved = match book.state() {
            SaveState::Saved => None,
            SaveState::Unsaved(error) => Some(WorkbenchError::Annotation(Arc::clone(error)).into()),
        };
        Ok(AnnotationsDto {
            changed,
            removed: gone.into_keys().map(|id| id.0).collect(),
            n_undo: book.n_undo() as u32,
            n_redo: book.n_redo() as u32,
            unsaved,
            mended: opening_report(&self.opening),
            imported,
        })
    }
}

/// What a person should know of how the annotations were found.
fn opening_report(opening: &Opening) -> Option<ErrorDto> {
    let Opening::Repaired { kept_aside, n_kept, n_refused, reason, .. } = opening else { return None };
    Some(ErrorDto {
        code: "annotations_mended".to_owned(),
        message: format!(
            "the annotations of this slide were damaged ({reason}): {n_kept} are kept, {n_refused} make no sense"
        ),
        hint: kept_aside.as_ref().map(|path| format!("the damaged file is kept: {}", path.display())),
    })
}

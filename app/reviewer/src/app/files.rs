//! Files on their way into the window and out of it: dialogs, drops, folders, annotations.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use eframe::egui::Ui;
use eosin_workbench::{SlideKey, ViewRect, list_slides};

use super::{Carry, News, Reviewer};
use crate::tab::Tab;

/// Files that are opened at once.
const MOST_AT_ONCE: usize = 24;

/// What is chosen in a dialog.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Choice {
    /// Files.
    Files,
    /// A folder of files.
    Folder,
}

impl Reviewer {
    /// Opens files and folders on a thread; each becomes a tab.
    pub fn open(&mut self, paths: &[PathBuf]) {
        if paths.is_empty() {
            return;
        }
        let (workbench, sender, ctx) = (Arc::clone(&self.workbench), self.sender.clone(), self.ctx.clone());
        let mut listing = list_slides(paths);
        let n_left = listing.files.len().saturating_sub(MOST_AT_ONCE);
        listing.files.truncate(MOST_AT_ONCE);
        if n_left > 0 || listing.truncated {
            let message = format!("{n_left} more files were left closed");
            let hint = "open them one by one, or add the folder to the library".to_owned();
            self.messages.say("folder", message, Some(hint));
        } else if listing.files.is_empty() {
            self.messages.say("folder", "there is no slide or picture in this folder".to_owned(), None);
        }
        let files = listing.files;
        let n_file = files.len();
        let work = move || {
            for path in files {
                let opened = workbench.open(&path).map_err(|error| error.report());
                // A window that has gone wants no slide.
                if sender.send(News::Opened(opened)).is_err() {
                    return;
                }
                ctx.request_repaint();
            }
        };
        match std::thread::Builder::new().name("eosin-open".to_owned()).spawn(work) {
            Ok(_) => self.n_opening += n_file,
            Err(error) => self.messages.say("thread", format!("cannot open the file: {error}"), None),
        }
    }

    /// Asks for files in the system's dialog, which has a thread of its own.
    pub(super) fn choose(&mut self, what: Choice) {
        let (sender, ctx) = (self.sender.clone(), self.ctx.clone());
        let work = move || {
            let dialog = rfd::FileDialog::new();
            let chosen = match what {
                Choice::Files => dialog.pick_files(),
                Choice::Folder => dialog.pick_folder().map(|folder| vec![folder]),
            };
            if let Some(paths) = chosen {
                let _ = sender.send(News::Chosen(paths));
                ctx.request_repaint();
            }
        };
        if let Err(error) = std::thread::Builder::new().name("eosin-dialog".to_owned()).spawn(work) {
            self.messages.say("thread", format!("cannot show the dialog: {error}"), None);
        }
    }

    /// Asks for the GeoJSON file that annotations come from or go to.
    pub(super) fn choose_marks(&mut self, way: Carry) {
        let Some(opened) = self.front().and_then(|tab| tab.opened.as_ref()) else { return };
        let key = opened.key.clone();
        let (sender, ctx) = (self.sender.clone(), self.ctx.clone());
        let work = move || {
            let dialog = rfd::FileDialog::new().add_filter("GeoJSON", &["geojson", "json"]);
            let chosen = match way {
                Carry::In => dialog.pick_file(),
                Carry::Out => dialog.set_file_name("annotations.geojson").save_file(),
            };
            if let Some(path) = chosen {
                let _ = sender.send(News::Carry(key, way, path));
                ctx.request_repaint();
            }
        };
        if let Err(error) = std::thread::Builder::new().name("eosin-dialog".to_owned()).spawn(work) {
            self.messages.say("thread", format!("cannot show the dialog: {error}"), None);
        }
    }

    /// Asks for a folder to add to the library.
    pub(super) fn choose_for_library(&mut self) {
        let (sender, ctx) = (self.sender.clone(), self.ctx.clone());
        let work = move || {
            if let Some(path) = rfd::FileDialog::new().pick_folder() {
                let _ = sender.send(News::ToIndex(path));
                ctx.request_repaint();
            }
        };
        if let Err(error) = std::thread::Builder::new().name("eosin-dialog".to_owned()).spawn(work) {
            self.messages.say("thread", format!("cannot show the dialog: {error}"), None);
        }
    }

    /// Shows a place of a file, which is opened where it is not open.
    pub(super) fn open_at(&mut self, path: PathBuf, place: Option<ViewRect>) {
        if let Some(idx) = self.tabs.iter().position(|tab| tab.is_of(&path)) {
            self.bring(idx);
            if let Some(place) = place {
                self.tabs[idx].point_at(place);
            }
        } else {
            self.awaited = place.map(|place| (path.clone(), place));
            self.open(&[path]);
        }
    }

    pub(super) fn carry(&mut self, key: &SlideKey, way: Carry, path: &Path) {
        let of_slide = |tab: &&mut Tab| tab.opened.as_ref().is_some_and(|opened| opened.key == *key);
        let Some(tab) = self.tabs.iter_mut().find(of_slide) else { return };
        match way {
            Carry::In => {
                if let Some(done) = tab.marks.import(path) {
                    self.messages.say("imported", format!("annotations taken in: {done}"), None);
                }
            }
            Carry::Out => {
                if tab.marks.export(path) {
                    let message = format!("{} annotations written", tab.marks.list().len());
                    self.messages.say("exported", message, None);
                }
            }
        }
    }

    pub(super) fn take_drops(&mut self, ui: &Ui) {
        let dropped: Vec<PathBuf> =
            ui.input(|input| input.raw.dropped_files.iter().map(|file| file.path().to_owned()).collect());
        self.open(&dropped);
    }
}

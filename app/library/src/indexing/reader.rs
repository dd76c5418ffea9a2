//! The reading thread: which files need anything, what of them, and their pixels, ahead of the model.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use eosin_core::annotation::Annotation;
use eosin_core::{RgbTile, error_chain};
use eosin_slide::Slide;

use crate::embed::EmbedModel;
use crate::error::LibraryError;
use crate::indexing::{IndexOptions, Shared, caught};
use crate::item::{Entry, EntryDraft, EntryEnd, EntryId, EntryState, Source};
use crate::plan::{Piece, plan, plan_hash};
use crate::scan::{Found, scan};
use crate::store::{Library, clean_text};

/// Tiles of a parcel.
const N_TILE: usize = 32;
/// Pixels of a parcel, for pictures may be large: some 50 MB.
const N_PX: u64 = 16 << 20;

/// Tiles of one or several files, and the files that are complete with them.
#[derive(Debug, Default)]
pub(super) struct Parcel {
    /// What the tiles are of.
    pub(super) pieces: Vec<(EntryId, Piece)>,
    /// Their pixels, in the same order.
    pub(super) tiles: Vec<RgbTile>,
    /// Files whose last tile is in this parcel or one before.
    pub(super) ends: Vec<(EntryId, EntryEnd)>,
}

impl Parcel {
    fn is_full(&self) -> bool {
        let px = |tile: &RgbTile| u64::from(tile.width_px()) * u64::from(tile.height_px());
        self.tiles.len() >= N_TILE || self.tiles.iter().map(px).sum::<u64>() >= N_PX
    }
}

/// What the thread works with.
pub(super) struct Reader {
    pub(super) library: Arc<dyn Library>,
    pub(super) model: Arc<EmbedModel>,
    pub(super) options: IndexOptions,
    pub(super) shared: Arc<Shared>,
}

/// Nobody takes parcels any more: the run was stopped, or failed, and the other thread says so.
struct NobodyTakes;

impl Reader {
    /// Goes through all places.
    pub(super) fn run(&self, parcels: &SyncSender<Parcel>) -> Result<(), LibraryError> {
        let mut jobs = Vec::new();
        for source in self.library.sources()? {
            if self.options.sources.is_empty() || self.options.sources.contains(&source.id) {
                jobs.extend(self.list(&source)?);
            }
        }
        let mut parcel = Parcel::default();
        for (source, found, known) in jobs {
            if self.shared.stopped() {
                return Ok(());
            }
            if self.file(&source, &found, known.as_ref(), &mut parcel, parcels)?.is_err() {
                return Ok(());
            }
        }
        if !(parcel.tiles.is_empty() && parcel.ends.is_empty()) {
            let _nobody_takes = parcels.send(parcel);
        }
        Ok(())
    }

    /// The files of a place with what is known of them; notes those that are gone.
    fn list(&self, source: &Source) -> Result<Vec<(Source, Found, Option<Entry>)>, LibraryError> {
        let scan = scan(&source.path);
        let known = self.library.entries(Some(source.id))?;
        let mut known: HashMap<PathBuf, Entry> =
            known.into_iter().map(|entry| (entry.path.clone(), entry)).collect();
        for (path, error) in scan.unreadable {
            self.shared.meter(|meter| meter.skip(path, error.to_string()));
        }
        let is_slide = |found: &&Found| !found.is_picture();
        let slide_bytes = scan.found.iter().filter(is_slide).map(|found| found.n_byte).sum();
        let n_picture = scan.found.iter().filter(|found| found.is_picture()).count() as u64;
        self.shared.meter(|meter| meter.listed(scan.found.len() as u64, slide_bytes, n_picture));
        let jobs: Vec<_> = scan
            .found
            .into_iter()
            .map(|found| {
                let entry = known.remove(&found.path);
                (source.clone(), found, entry)
            })
            .collect();
        let is_new = |entry: &&Entry| entry.state != EntryState::Vanished;
        let vanished: Vec<EntryId> = known.values().filter(is_new).map(|entry| entry.id).collect();
        if !vanished.is_empty() {
            self.library.mark_vanished(&vanished, &[])?;
        }
        self.shared.meter(|meter| meter.vanished(known.len() as u64));
        Ok(jobs)
    }

    fn annotations(&self, slide: &eosin_core::SlideId) -> Vec<Annotation> {
        self.options.annotations.as_ref().map_or_else(Vec::new, |annotations| annotations(slide))
    }

    /// Does what a file needs.
    #[expect(clippy::too_many_lines, reason = "the steps of one file, read top to bottom")]
    fn file(
        &self,
        source: &Source,
        found: &Found,
        known: Option<&Entry>,
        parcel: &mut Parcel,
        parcels: &SyncSender<Parcel>,
    ) -> Result<Result<(), NobodyTakes>, LibraryError> {
        let slide_bytes = (!found.is_picture()).then_some(found.n_byte);
        let hash_with =
            |annotations: &[Annotation]| plan_hash(&source.recipe, &self.model.id.hash, annotations);
        if let Some(entry) = known
            && entry.n_byte == found.n_byte
            && entry.modified_ns == found.modified_ns
            && entry.state != EntryState::Partial
            // A bad file that was gone says anew what is wrong with it.
            && (entry.state != EntryState::Vanished || entry.slide.is_some())
        {
            let annotations = entry.slide.as_ref().map_or_else(Vec::new, |slide| self.annotations(slide));
            if entry.plan_hash == hash_with(&annotations) {
                return self.unchanged(found, entry, slide_bytes).map(Ok);
            }
        }
        let end = |state: EntryState, reason: Option<String>, plan_hash: String| EntryEnd {
            state,
            reason,
            n_byte: found.n_byte,
            modified_ns: found.modified_ns,
            plan_hash,
        };
        let looked = caught(|| {
            let slide = Slide::open(&found.path)?;
            let annotations = self.annotations(&slide.info().id);
            let plan = plan(&slide, &source.recipe, &annotations)?;
            Ok((slide, annotations, plan))
        });
        let (slide, annotations, plan) = match looked {
            Ok(looked) => looked,
            Err(error) => {
                let reason = reason(&error, &found.path);
                let end = end(EntryState::Failed, Some(reason.clone()), hash_with(&[]));
                match self.library.fail_entry(source.id, &found.path, &end) {
                    // A name that no database keeps is told, and looked at again next time.
                    Ok(_) | Err(LibraryError::NoText { .. }) => {}
                    Err(error) => return Err(error),
                }
                self.shared.meter(|meter| {
                    meter.planned(slide_bytes, 0);
                    meter.skip_file(found.path.clone(), reason);
                });
                return Ok(Ok(()));
            }
        };
        let draft = EntryDraft {
            source: source.id,
            path: found.path.clone(),
            slide: slide.info().id.clone(),
            base_um_per_px: plan.base_um_per_px,
            stain: plan.stain,
        };
        let entry = match self.library.begin_entry(&draft) {
            Ok(entry) => entry,
            Err(LibraryError::NoText { .. }) => {
                let reason = "the name is not valid UTF-8".to_owned();
                self.shared.meter(|meter| {
                    meter.planned(slide_bytes, 0);
                    meter.skip_file(found.path.clone(), reason);
                });
                return Ok(Ok(()));
            }
            Err(error) => return Err(error),
        };
        let have = self.library.item_keys(entry)?;
        let wanted: std::collections::HashSet<&str> =
            plan.pieces.iter().map(|piece| piece.key.as_str()).collect();
        let stale: Vec<String> = have.iter().filter(|key| !wanted.contains(key.as_str())).cloned().collect();
        if !stale.is_empty() {
            self.library.remove_items(entry, &stale)?;
        }
        let mut pieces = plan.pieces;
        pieces.retain(|piece| have.binary_search(&piece.key).is_err());
        self.shared.meter(|meter| meter.planned(slide_bytes, pieces.len() as u64));

        let n_piece = pieces.len();
        let (mut n_bad, mut first_reason) = (0, None);
        for piece in pieces {
            let region = piece.place.region(&slide.info().id);
            match caught(|| Ok(slide.read(&region)?)) {
                Ok(tile) => {
                    parcel.pieces.push((entry, piece));
                    parcel.tiles.push(tile);
                }
                Err(error) => {
                    n_bad += 1;
                    first_reason.get_or_insert_with(|| reason(&error, &found.path));
                }
            }
            if parcel.is_full() && self.send(parcel, parcels).is_err() {
                return Ok(Err(NobodyTakes));
            }
        }
        let reason =
            first_reason.map(|reason| format!("{n_bad} of {n_piece} tiles cannot be read: {reason}"));
        if let Some(reason) = &reason {
            self.shared.meter(|meter| {
                meter.lost(n_bad);
                meter.skip(found.path.clone(), reason.clone());
            });
        }
        let nothing_left = n_bad > 0 && n_bad as usize == n_piece && have.len() == stale.len();
        let state = if nothing_left { EntryState::Failed } else { EntryState::Done };
        parcel.ends.push((entry, end(state, reason, hash_with(&annotations))));
        Ok(Ok(()))
    }

    /// A file that needs nothing, but to be known as there again.
    fn unchanged(&self, found: &Found, entry: &Entry, slide_bytes: Option<u64>) -> Result<(), LibraryError> {
        if entry.state == EntryState::Vanished {
            self.library.mark_vanished(&[], &[entry.id])?;
        }
        self.shared.meter(|meter| {
            meter.planned(slide_bytes, 0);
            match &entry.reason {
                Some(reason) if entry.state == EntryState::Failed => {
                    meter.skip_file(found.path.clone(), reason.clone());
                }
                _ => meter.unchanged(),
            }
        });
        Ok(())
    }

    fn send(&self, parcel: &mut Parcel, parcels: &SyncSender<Parcel>) -> Result<(), NobodyTakes> {
        if self.shared.stopped() {
            return Err(NobodyTakes);
        }
        parcels.send(std::mem::take(parcel)).map_err(|_gone| NobodyTakes)
    }
}

/// Why a file is left out, without its name: that stands beside it.
fn reason(error: &LibraryError, path: &Path) -> String {
    let chain = match error {
        LibraryError::Slide { source } => error_chain(source),
        error => error_chain(error),
    };
    clean_text(&chain.replace(&format!(" {}", path.display()), ""))
}

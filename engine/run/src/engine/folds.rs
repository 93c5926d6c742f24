//! Notes down what changing views have come to, in the background, so that the first query after a start folds little.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use headwater_core::StreamId;
use headwater_core::world::Turn;
use headwater_log::StreamInfo;
use headwater_plan::Entry;

use super::state::Inner;
use crate::error::Result;
use crate::job::{Blobs, WEIGHT, newest_step};
use crate::table::ViewFold;

/// The newest note of a view.
#[derive(Clone, Copy)]
struct Noted {
    /// How many rows of the changelog are in it.
    folded: u64,
    /// How many rows the view had.
    rows: u64,
}

impl Inner {
    /// Where the notes of a changelog lie; `None`: nothing outlives the process, so there are none.
    pub fn notes_of(&self, changelog: StreamId) -> Result<Option<Arc<dyn Blobs>>> {
        if self.options.data.is_none() && self.options.checkpoints.is_none() {
            return Ok(None);
        }
        self.checkpoints_of(&format!("system.view.{changelog}")).map(Some)
    }

    /// Begins to note down what changing views have come to, if nobody does yet.
    pub fn note_views(self: &Arc<Self>) {
        let outlives = self.options.data.is_some() || self.options.checkpoints.is_some();
        if !outlives || self.state.lock().noting.is_some() {
            return;
        }
        let inner = Arc::downgrade(self);
        let mut noted = HashMap::new();
        let task = self.world.tasks.spawn("view-notes", Box::new(move || turn(&inner, &mut noted)));
        // Not under the lock: dropping a task waits for its turn, which takes it.
        let former = self.state.lock().noting.replace(task);
        drop(former);
    }

    /// Forgets the notes of a view that is dropped.
    pub fn forget_notes(&self, name: &str) {
        let Ok(info) = self.log.stream_named(name) else { return };
        let forget = || -> std::result::Result<(), String> {
            let Some(notes) = self.notes_of(info.id).map_err(|error| error.to_string())? else {
                return Ok(());
            };
            notes.list()?.iter().try_for_each(|note| notes.remove(note))
        };
        if let Err(reason) = forget() {
            tracing::warn!(view = name, reason, "notes of what a view had come to stay, though it is gone");
        }
    }

    /// Notes down what a view has come to, if much has changed since the last time.
    fn note_view(&self, info: &Arc<StreamInfo>, noted: &mut HashMap<StreamId, Noted>) -> Result<()> {
        let changes: u64 = self.log.ends(info.id)?.iter().map(|next| next.0).sum();
        let least = self.options.keep.unfolded_rows;
        let is_due = |known: Noted| changes.saturating_sub(known.folded) >= known.rows.max(least);
        // Most of the time nothing has to be looked for.
        if !is_due(noted.get(&info.id).copied().unwrap_or(Noted { folded: 0, rows: 0 })) {
            return Ok(());
        }
        let Some(notes) = self.notes_of(info.id)? else { return Ok(()) };
        let known = match noted.get(&info.id) {
            Some(known) => *known,
            None => {
                let bad = |reason| crate::RunError::Checkpoint { job: info.spec.name.to_string(), reason };
                Noted { folded: newest_step(&*notes).map_err(bad)?.unwrap_or(0), rows: 0 }
            }
        };
        noted.insert(info.id, known);
        if !is_due(known) {
            return Ok(());
        }
        // One of its own, which ends here: whoever queries the view goes on meanwhile, and a view that nobody queries takes no memory.
        let fold = ViewFold::new(Arc::clone(&self.log), Arc::clone(info), Some(notes))?;
        if let Some((folded, rows)) = fold.note(&|| self.check_open().is_ok())? {
            noted.insert(info.id, Noted { folded, rows });
        }
        Ok(())
    }
}

fn turn(inner: &Weak<Inner>, noted: &mut HashMap<StreamId, Noted>) -> Turn {
    let Some(inner) = inner.upgrade() else { return Turn::Done };
    for entry in inner.catalog().entries() {
        if inner.check_open().is_err() {
            return Turn::Done;
        }
        let Entry::MaterializedView(_) = entry else { continue };
        let Ok(info) = inner.log.stream_named(entry.name()) else { continue };
        if info.spec.schema.fields().last().is_none_or(|field| field.name() != WEIGHT) {
            continue;
        }
        if let Err(error) = inner.note_view(&info, noted) {
            let (view, code) = (entry.name(), error.code());
            tracing::warn!(view, %code, %error, "what the view has come to could not be noted; it is tried again");
        }
    }
    Turn::Wait(Some(inner.options.checkpoint_interval))
}

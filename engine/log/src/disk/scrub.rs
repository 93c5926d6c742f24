//! The scrubber reads sealed files in the background, slowly, and says what is damaged before somebody needs it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use headwater_core::StreamId;
use headwater_core::world::Turn;

use super::inner::Inner;
use super::rebuild::read_batches;
use super::segment::Segment;
use crate::error::{LogError, Result};

/// How long to wait when there is nothing to read, and between two rounds.
const PAUSE: Duration = Duration::from_secs(60);

/// Bytes that are not what was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Damage {
    /// The file.
    pub file: PathBuf,
    /// Where in the file.
    pub offset: u64,
    /// What did not hold.
    pub reason: String,
}

impl Damage {
    /// The damage that an error tells of, if it does.
    pub(crate) fn from_error(error: &LogError) -> Option<Self> {
        match error {
            LogError::Corrupt { file, offset, reason } => {
                Some(Self { file: file.clone(), offset: *offset, reason: reason.clone() })
            }
            _ => None,
        }
    }
}

impl Inner {
    /// Keeps damage for those who ask, each once.
    pub(crate) fn note_damage(&self, damage: Option<Damage>) {
        let mut known = self.damage.lock();
        if let Some(damage) = damage
            && !known.contains(&damage)
        {
            known.push(damage);
        }
    }

    /// The sealed file after this one, in the order of streams and numbers.
    fn segment_after(&self, last: Option<(StreamId, u64)>) -> Option<Arc<Segment>> {
        let view = self.view.read();
        let streams = view.streams.iter().map(|stream| stream.info.id);
        let shards = streams.flat_map(|stream| view.shards(stream));
        let segments = shards.flat_map(|shard| &shard.files.sealed).map(|part| &part.segment);
        let later = segments.filter(|segment| last < Some((segment.stream, segment.number)));
        later.min_by_key(|segment| (segment.stream, segment.number)).cloned()
    }
}

/// Reads one sealed file after the other.
pub(crate) struct Scrubber {
    inner: Arc<Inner>,
    last: Option<(StreamId, u64)>,
    /// The file that is being read, and how far it was.
    current: Option<(Arc<Segment>, u64)>,
}

impl Scrubber {
    /// Starts with the first file.
    pub(crate) fn new(inner: Arc<Inner>) -> Self {
        Self { inner, last: None, current: None }
    }

    /// One turn: about as many bytes as may be read in a second.
    pub(crate) fn turn(&mut self) -> Turn {
        let Some((segment, at)) = self.current.take() else {
            let Some(next) = self.inner.segment_after(self.last) else {
                self.last = None;
                return Turn::Wait(Some(PAUSE));
            };
            self.last = Some((next.stream, next.number));
            self.current = Some((next, super::layout::BLOCK as u64));
            return Turn::Wait(Some(Duration::from_secs(1)));
        };
        match self.read(&segment, at) {
            Ok(Some(next)) => {
                self.inner.metrics.scrubbed(next.saturating_sub(at));
                self.current = Some((segment, next));
            }
            Ok(None) => self.inner.metrics.scrubbed(segment.bytes.saturating_sub(at)),
            Err(error) if self.inner.is_part_of_log(&segment) => {
                tracing::error!(%error, "the scrubber found damage");
                self.inner.note_damage(Damage::from_error(&error));
            }
            // It was removed meanwhile.
            Err(_) => {}
        }
        Turn::Wait(Some(Duration::from_secs(1)))
    }

    /// Reads from `at` for a while; answers with where to go on, or nothing at the end.
    fn read(&self, segment: &Segment, at: u64) -> Result<Option<u64>> {
        let file = self.inner.files.get(&segment.path)?;
        let most = at.saturating_add(self.inner.options.scrub_bytes_per_second);
        read_batches(&*file, &segment.path, at, most, |_, _| {})
    }
}

impl Inner {
    fn is_part_of_log(&self, segment: &Segment) -> bool {
        self.catalog.lock().state.files.contains_key(&(segment.stream, segment.number))
    }
}

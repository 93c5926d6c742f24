//! What a message says beside its batch, so that the end of a partition tells all that opening needs, and any message tells on which
//! side of it a time lies.
//!
//! | offset | bytes | field |
//! |---:|---:|---|
//! | 0 | 2 | version, 1 |
//! | 2 | 2 | flags: 1 event times are set, 2 producers follow |
//! | 4 | 4 | reserved, 0 |
//! | 8 | 16 | batches of the shard up to this one, and their bytes |
//! | 24 | 16 | smallest and largest event time of them |
//! | 40 | 8 | where the newest message before this is that has producers; -1 without |
//! | 48 | | producers, as in the footer of a sealed file |

use bytes::{Buf, BufMut, Bytes};
use headwater_core::EventTime;

use crate::producers::{Snapshot, decode_producers, encode_producers};

const VERSION: u16 = 1;
const HAS_EVENT_TIME: u16 = 1;
const HAS_PRODUCERS: u16 = 2;

/// What a shard's batches come to, from its first one on, removed ones included. Each number only grows, or only falls.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Totals {
    /// How many.
    pub batches: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Smallest and largest event time, if any.
    pub event_time: Option<(EventTime, EventTime)>,
}

impl Totals {
    /// With one batch more.
    pub fn and(self, bytes: u64, event_time: Option<(EventTime, EventTime)>) -> Self {
        let event_time = match (self.event_time, event_time) {
            (Some(all), Some(one)) => Some((all.0.min(one.0), all.1.max(one.1))),
            (all, one) => all.or(one),
        };
        Self { batches: self.batches + 1, bytes: self.bytes + bytes, event_time }
    }
}

/// What a message says beside its batch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Note {
    /// The shard's totals, this batch included.
    pub totals: Totals,
    /// Where the newest message before this is that has producers.
    pub producers_at: Option<i64>,
    /// The producers that are remembered once this message, and those of its transaction, are there.
    pub producers: Option<Vec<Snapshot>>,
}

impl Note {
    /// As bytes.
    pub fn encode(&self) -> Bytes {
        let flag = |set: bool, flag: u16| if set { flag } else { 0 };
        let mut out = Vec::with_capacity(48);
        out.put_u16_le(VERSION);
        out.put_u16_le(
            flag(self.totals.event_time.is_some(), HAS_EVENT_TIME)
                | flag(self.producers.is_some(), HAS_PRODUCERS),
        );
        out.put_u32_le(0);
        out.put_u64_le(self.totals.batches);
        out.put_u64_le(self.totals.bytes);
        let (min, max) = self.totals.event_time.unwrap_or((EventTime(0), EventTime(0)));
        out.put_i64_le(min.0);
        out.put_i64_le(max.0);
        out.put_i64_le(self.producers_at.unwrap_or(-1));
        if let Some(producers) = &self.producers {
            encode_producers(&mut out, producers);
        }
        out.into()
    }

    /// From bytes; if they are not a note, why.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        Self::read(bytes).map_err(|error| format!("its note is cut off: {error}"))?
    }

    fn read(mut bytes: &[u8]) -> Result<Result<Self, String>, bytes::TryGetError> {
        let (version, flags) = (bytes.try_get_u16_le()?, bytes.try_get_u16_le()?);
        if version != VERSION {
            return Ok(Err(format!("its note has version {version}, this program reads version {VERSION}")));
        }
        bytes.try_get_u32_le()?;
        let (batches, total) = (bytes.try_get_u64_le()?, bytes.try_get_u64_le()?);
        let (min, max) = (EventTime(bytes.try_get_i64_le()?), EventTime(bytes.try_get_i64_le()?));
        let producers_at = bytes.try_get_i64_le()?;
        let producers = (flags & HAS_PRODUCERS != 0).then(|| decode_producers(&mut bytes)).transpose()?;
        let event_time = (flags & HAS_EVENT_TIME != 0).then_some((min, max));
        Ok(Ok(Self {
            totals: Totals { batches, bytes: total, event_time },
            producers_at: (producers_at >= 0).then_some(producers_at),
            producers,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::producers::Remembered;

    #[test]
    fn a_note_comes_back() {
        let recent = vec![Remembered { sequence: 4, first: 0, next: 10 }];
        let producers = Some(vec![Snapshot { producer: 9, epoch: 1, recent }]);
        let times = Some((EventTime(-3), EventTime(5)));
        let notes = [
            Note { totals: Totals::default().and(640, None), producers_at: None, producers: None },
            Note { totals: Totals::default().and(1, times), producers_at: Some(0), producers },
        ];
        for note in notes {
            let bytes = note.encode();
            assert_eq!(Note::decode(&bytes), Ok(note));
            for cut in 0..bytes.len() {
                assert!(Note::decode(&bytes[..cut]).is_err(), "{cut} bytes are no note");
            }
        }
        assert!(Note::decode(&[9; 48]).unwrap_err().contains("version"));
    }

    #[test]
    fn totals_hold_all_that_came_before() {
        let at = |from, to| Some((EventTime(from), EventTime(to)));
        let totals = Totals::default().and(64, at(5, 7)).and(64, None).and(128, at(1, 2));
        assert_eq!(totals, Totals { batches: 3, bytes: 256, event_time: at(1, 7) });
    }
}

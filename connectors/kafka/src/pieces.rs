//! What is on its way to a topic, and how the messages among it are found that the broker refuses.
//!
//! Only the broker can say whether a message that is compressed is too long. What it refuses is a batch, and with it goes the
//! transaction. So what is not committed is kept, and sent again in pieces, each in a transaction of its own, until what is refused is
//! one message.
//!
//! ```text
//!  sent         a b c d e f g h      refused; of the batch that was too long are  d e f g
//!  sent again   a b c | d e f g | h
//!                       d e | f g    halves, where a piece is refused as a whole
//!                             f | g  each is taken or, alone in its batch, put aside
//! ```

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use headwater_core::{Sequence, ShardId};

use crate::encode::Encoded;

/// Messages of consecutive rows of one shard.
#[derive(Clone)]
pub(crate) struct Part {
    /// The messages, of which some may be meant.
    pub encoded: Arc<Encoded>,
    /// Which of them.
    pub messages: Range<usize>,
    /// The rows that all of the messages were made of, and where they come from.
    pub rows: RecordBatch,
    pub shard: ShardId,
    /// The sequence number of the first row.
    pub first: Sequence,
}

/// Which messages a batch had that was refused, by their rows; not all of them need be known.
pub(crate) type Refused = BTreeSet<(ShardId, Sequence)>;

/// What is sent in one transaction.
pub(crate) struct Piece {
    pub parts: Vec<Part>,
    /// Whether it is one message that the broker has refused by itself.
    pub is_refused: bool,
}

impl Part {
    /// Of which rows the messages are.
    fn places(&self) -> impl Iterator<Item = (ShardId, Sequence)> + '_ {
        let messages = self.encoded.messages[self.messages.clone()].iter();
        messages.map(|message| (self.shard, self.first.plus(message.row as u64)))
    }
}

impl Piece {
    pub fn new(parts: Vec<Part>) -> Self {
        Self { parts, is_refused: false }
    }

    fn len(&self) -> usize {
        self.parts.iter().map(|part| part.messages.len()).sum()
    }

    /// What to send one after the other instead of a piece that was refused: each is shorter, or is what was refused.
    pub fn divide(mut self, refused: &Refused) -> Vec<Self> {
        let count = self.len();
        if count == 1 {
            self.is_refused = true;
            return vec![self];
        }
        let places = self.parts.iter().flat_map(Part::places).enumerate();
        let found: Vec<usize> =
            places.filter(|(_, place)| refused.contains(place)).map(|(at, _)| at).collect();
        let (from, to) = match (found.first(), found.last()) {
            (Some(first), Some(last)) if last + 1 - first < count => (*first, last + 1),
            _ => (0, count / 2),
        };
        let (before, rest) = self.split(from);
        let (mut middle, after) = rest.split(to - from);
        middle.is_refused = found.len() == 1;
        [before, middle, after].into_iter().filter(|piece| piece.len() > 0).collect()
    }

    /// The first messages, so many of them, and the others.
    fn split(self, mut count: usize) -> (Self, Self) {
        let (mut before, mut after) = (Vec::new(), Vec::new());
        for part in self.parts {
            let here = part.messages.start + count.min(part.messages.len());
            count -= here - part.messages.start;
            for (messages, to) in
                [(part.messages.start..here, &mut before), (here..part.messages.end, &mut after)]
            {
                if !messages.is_empty() {
                    to.push(Part { messages, ..part.clone() });
                }
            }
        }
        (Self::new(before), Self::new(after))
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int64Array};
    use headwater_ingest::{Format, FormatOptions};

    use super::*;
    use crate::about::AboutColumns;
    use crate::encode::MessageEncoder;

    fn part(shard: u32, first: u64, count: i64) -> Part {
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..count));
        let rows = RecordBatch::try_from_iter([("n", numbers)]).unwrap();
        let options = FormatOptions::default();
        let format = (Format::JsonLines, &options);
        let mut encoder =
            MessageEncoder::new(&rows.schema(), AboutColumns::default(), format, None, false).unwrap();
        let (mut good, _) = encoder.encode_what_can_be(&rows).unwrap();
        let encoded = Arc::new(good.remove(0).1);
        let messages = 0..encoded.messages.len();
        Part { encoded, messages, rows, shard: ShardId(shard), first: Sequence(first) }
    }

    /// How often a broker is asked about messages, of which it refuses these, until each is taken or put aside. A batch has so many.
    fn search(parts: Vec<Part>, bad: &Refused, batch: usize) -> (Vec<(ShardId, Sequence)>, Refused, usize) {
        let (mut taken, mut parked, mut tries) = (Vec::new(), Refused::new(), 0);
        let mut left = vec![Piece::new(parts)];
        while let Some(piece) = left.pop() {
            let places: Vec<_> = piece.parts.iter().flat_map(Part::places).collect();
            if piece.is_refused {
                assert_eq!(places.len(), 1);
                parked.extend(places);
                continue;
            }
            tries += 1;
            let refused = places.chunks(batch).find(|batch| batch.iter().any(|place| bad.contains(place)));
            match refused {
                None => taken.extend(places),
                Some(batch) => {
                    left.extend(piece.divide(&batch.iter().copied().collect()).into_iter().rev());
                }
            }
        }
        (taken, parked, tries)
    }

    #[test]
    fn what_is_refused_is_found_and_all_else_is_taken_in_order() {
        for (batch, most) in [(1, 5), (4, 20), (100, 29)] {
            let parts = vec![part(0, 40, 30), part(1, 7, 1), part(0, 70, 20)];
            let all: Vec<_> = parts.iter().flat_map(Part::places).collect();
            let bad: Refused = [all[0], all[30], all[50]].into();
            let (taken, parked, tries) = search(parts, &bad, batch);
            assert_eq!(parked, bad);
            let others: Vec<_> = all.iter().copied().filter(|place| !bad.contains(place)).collect();
            assert_eq!(taken, others);
            assert!(tries <= most, "{tries} tries with batches of {batch}");
        }
    }

    #[test]
    fn it_is_found_also_if_nobody_says_which_messages_the_batch_had() {
        let pieces = Piece::new(vec![part(0, 0, 5)]).divide(&Refused::new());
        let lengths: Vec<_> = pieces.iter().map(|piece| (piece.len(), piece.is_refused)).collect();
        assert_eq!(lengths, [(2, false), (3, false)]);
        let alone = Piece::new(vec![part(0, 0, 1)]).divide(&Refused::new());
        assert!(alone.len() == 1 && alone[0].is_refused);
    }
}

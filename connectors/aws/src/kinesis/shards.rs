//! Which shards may be read: those whose parents are read to their ends.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_kinesis::types::Shard;
use headwater_connectors::Mark;

use super::position::Position;

/// What is known of a stream's shards.
#[derive(Default)]
pub(super) struct Shards {
    known: BTreeMap<String, Known>,
    /// Shards that somebody reads.
    at_work: BTreeSet<String>,
}

/// A shard, and how far it is read.
struct Known {
    position: Position,
    parents: Vec<String>,
    range: Option<(u128, u128)>,
    /// Whether the service still lists it.
    is_listed: bool,
}

/// A shard to be read from now on.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Start {
    pub shard: String,
    pub position: Position,
    /// The least and the greatest hash key that it is responsible for.
    pub range: Option<(u128, u128)>,
}

impl Shards {
    /// Shards as they were stored.
    pub(super) fn stored(marks: &BTreeMap<String, String>) -> Self {
        let known = |(shard, position): (&String, &String)| {
            let position = Position::read(position);
            (shard.clone(), Known { position, parents: Vec::new(), range: None, is_listed: false })
        };
        Self { known: marks.iter().map(known).collect(), at_work: BTreeSet::new() }
    }

    /// Takes what the service lists. `init` says where a shard begins that was not known before. Answers the stored shards that have
    /// not been read to their ends and are gone.
    pub(super) fn listed(&mut self, shards: &[Shard], init: impl Fn(&Shard) -> Position) -> Vec<String> {
        let before: BTreeSet<String> = self.known.keys().cloned().collect();
        for known in self.known.values_mut() {
            known.is_listed = false;
        }
        for shard in shards {
            let known = self.known.entry(shard.shard_id.clone()).or_insert_with(|| Known {
                position: init(shard),
                parents: Vec::new(),
                range: None,
                is_listed: true,
            });
            let parents = [&shard.parent_shard_id, &shard.adjacent_parent_shard_id];
            known.parents = parents.into_iter().flatten().cloned().collect();
            known.range = range_of(shard);
            known.is_listed = true;
        }
        let is_lost = |shard: &String| {
            let known = &self.known[shard];
            !known.is_listed && known.position != Position::End
        };
        before.into_iter().filter(is_lost).collect()
    }

    /// The shards that may be begun now. They count as being read.
    pub(super) fn ready(&mut self) -> Vec<Start> {
        let may_begin = |(shard, known): &(&String, &Known)| {
            known.is_listed
                && known.position != Position::End
                && !self.at_work.contains(*shard)
                && known.parents.iter().all(|parent| self.is_finished(parent))
        };
        let start = |(shard, known): (&String, &Known)| Start {
            shard: shard.clone(),
            position: known.position.clone(),
            range: known.range,
        };
        let ready: Vec<Start> = self.known.iter().filter(may_begin).map(start).collect();
        self.at_work.extend(ready.iter().map(|start| start.shard.clone()));
        ready
    }

    /// Whether nothing more will come of a shard: it is read, or it is gone.
    fn is_finished(&self, shard: &str) -> bool {
        self.known.get(shard).is_none_or(|known| known.position == Position::End || !known.is_listed)
    }

    /// A shard has been read up to here.
    pub(super) fn moved(&mut self, shard: &str, position: Position) {
        if position == Position::End {
            self.at_work.remove(shard);
        }
        if let Some(known) = self.known.get_mut(shard) {
            known.position = position;
        }
    }

    /// Marks of shards that begin at what is newest at this time, and of those that therefore are not read at all.
    pub(super) fn marks_of_latest(&self, now_millis: i64) -> Vec<Mark> {
        let mark = |(shard, known): (&String, &Known)| {
            let position = match &known.position {
                Position::Latest => Position::AtTimestamp(now_millis),
                other => other.clone(),
            };
            Some(Mark { partition: shard.clone(), position: position.write()? })
        };
        self.known.iter().filter_map(mark).collect()
    }

    /// How many shards are being read.
    pub(super) fn at_work(&self) -> usize {
        self.at_work.len()
    }
}

/// The least and the greatest hash key of a shard.
pub(super) fn range_of(shard: &Shard) -> Option<(u128, u128)> {
    let range = shard.hash_key_range.as_ref()?;
    Some((range.starting_hash_key.parse().ok()?, range.ending_hash_key.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(id: &str, parents: &[&str]) -> Shard {
        let mut parents = parents.iter().map(|parent| (*parent).to_owned());
        let shard = Shard::builder().shard_id(id).set_parent_shard_id(parents.next());
        shard.set_adjacent_parent_shard_id(parents.next()).build().unwrap()
    }

    fn ready(shards: &mut Shards) -> Vec<String> {
        shards.ready().into_iter().map(|start| start.shard).collect()
    }

    #[test]
    fn children_wait_for_all_parents() {
        let mut shards = Shards::default();
        let all = [
            shard("0", &[]),
            shard("1", &[]),
            shard("2", &["0"]),
            shard("3", &["0"]),
            shard("4", &["1", "3"]),
            // Its parent is long gone.
            shard("5", &["gone"]),
        ];
        assert!(shards.listed(&all, |_| Position::TrimHorizon).is_empty());
        assert_eq!(ready(&mut shards), ["0", "1", "5"]);
        assert_eq!(ready(&mut shards), [""; 0]);
        shards.moved("0", Position::End);
        assert_eq!(ready(&mut shards), ["2", "3"]);
        shards.moved("3", Position::After("9".into()));
        shards.moved("1", Position::End);
        assert_eq!(ready(&mut shards), [""; 0]);
        shards.moved("3", Position::End);
        assert_eq!(ready(&mut shards), ["4"]);
        assert_eq!(shards.at_work(), 3);
    }

    #[test]
    fn what_was_stored_goes_on_and_what_is_gone_is_told() {
        let marks = [("0", "SHARD_END"), ("1", "77"), ("9", "3")];
        let marks = marks.map(|(shard, position)| (shard.to_owned(), position.to_owned())).into();
        let mut shards = Shards::stored(&marks);
        let all = [shard("1", &[]), shard("2", &["0"]), shard("3", &["9"])];
        assert_eq!(shards.listed(&all, |_| Position::TrimHorizon), ["9"]);
        let starts = shards.ready();
        let told: Vec<_> = starts.iter().map(|start| (start.shard.as_str(), &start.position)).collect();
        let horizon = Position::TrimHorizon;
        assert_eq!(told, [("1", &Position::After("77".into())), ("2", &horizon), ("3", &horizon)]);
    }
}

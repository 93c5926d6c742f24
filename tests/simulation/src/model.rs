//! What must be in the log: for each shard the rows by sequence number, and what was promised about each.
//!
//! ```text
//!  a group    submitted ──► acknowledged            its rows are at the places of the answer
//!                │    └───► refused                 no row of it, ever, unless submitted again
//!                └────────► no answer, or an error  all of its rows or none; the next recovery decides
//! ```
//!
//! The model is told what was submitted, answered and read, and complains about the first thing that does not fit. It
//! knows nothing of how a log works, so that it holds for any.

use std::collections::BTreeMap;
use std::ops::Range;

use headwater_core::{ShardId, StreamId};
use headwater_log::{Appended, Durability};

/// A shard of a stream.
pub type Place = (StreamId, ShardId);

/// A row, by its number over all streams.
pub type Row = u64;

/// What does not fit.
pub type Complaint = String;

/// The number of a group.
pub type GroupId = usize;

/// Rows of a group for one shard.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Part {
    /// Where they go.
    pub place: Place,
    /// The rows.
    pub rows: Range<Row>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Submitted, and not yet known to be there.
    Open,
    /// There.
    Present,
    /// Refused or lost.
    Absent,
    /// There or not: what could tell has expired.
    Untold,
}

struct Group {
    parts: Vec<Part>,
    state: State,
}

#[derive(Clone, Copy)]
struct Known {
    row: Row,
    /// What was promised, in the order of [`rank`].
    promise: u8,
}

#[derive(Default)]
struct Shard {
    first: u64,
    /// How far a trim may have gone.
    trimmed_to: u64,
    rows: BTreeMap<u64, Known>,
}

struct Stream {
    durability: Durability,
    /// Whether rows may go by themselves, for age or size.
    expires: bool,
}

/// What a shard was found to hold.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Contents {
    /// The sequence number of the first row.
    pub first: u64,
    /// The rows.
    pub rows: Vec<Row>,
}

/// What must be in the log.
#[derive(Default)]
pub struct Model {
    streams: BTreeMap<StreamId, Stream>,
    shards: BTreeMap<Place, Shard>,
    groups: Vec<Group>,
    /// The group of each row.
    owners: Vec<GroupId>,
    placed: BTreeMap<Row, (Place, u64)>,
}

/// How much an acknowledgement promises; more is more.
pub const fn rank(durability: Durability) -> u8 {
    match durability {
        Durability::Memory => 0,
        Durability::Process => 1,
        Durability::Disk => 2,
    }
}

impl Model {
    /// A stream was created.
    pub fn add_stream(&mut self, id: StreamId, shards: u32, durability: Durability, expires: bool) {
        self.streams.insert(id, Stream { durability, expires });
        for shard in 0..shards {
            self.shards.insert((id, ShardId(shard)), Shard::default());
        }
    }

    /// A stream was dropped.
    pub fn drop_stream(&mut self, id: StreamId) {
        self.streams.remove(&id);
        self.shards.retain(|place, _| place.0 != id);
        self.placed.retain(|_, (place, _)| place.0 != id);
    }

    /// A stream expires from now on, or does not.
    pub fn set_expires(&mut self, id: StreamId, expires: bool) {
        if let Some(stream) = self.streams.get_mut(&id) {
            // Rows may be gone already; so it stays.
            stream.expires |= expires;
        }
    }

    /// All shards.
    pub fn places(&self) -> Vec<Place> {
        self.shards.keys().copied().collect()
    }

    /// Whether a shard is there.
    pub fn has(&self, place: Place) -> bool {
        self.shards.contains_key(&place)
    }

    /// What a stream promises.
    pub fn durability(&self, id: StreamId) -> Durability {
        self.streams[&id].durability
    }

    /// Takes numbers for a new group. `parts` says how many rows go where.
    pub fn submit(&mut self, parts: &[(Place, u64)]) -> GroupId {
        let group = self.groups.len();
        let mut next = self.owners.len() as Row;
        let part = |&(place, rows): &(Place, u64)| {
            let start = next;
            next += rows;
            Part { place, rows: start..next }
        };
        let parts: Vec<Part> = parts.iter().map(part).collect();
        self.owners.resize(next as usize, group);
        self.groups.push(Group { parts, state: State::Open });
        group
    }

    /// A group is submitted once more.
    pub fn submit_again(&mut self, group: GroupId) {
        let group = &mut self.groups[group];
        if group.state == State::Absent {
            group.state = State::Open;
        }
    }

    /// The rows of a group.
    pub fn parts(&self, group: GroupId) -> &[Part] {
        &self.groups[group].parts
    }

    /// A group was refused for a condition that did not hold: nothing of it is appended.
    pub fn refused(&mut self, group: GroupId) {
        let group = &mut self.groups[group];
        if group.state == State::Open {
            group.state = State::Absent;
        }
    }

    /// A group was acknowledged.
    pub fn acknowledged(&mut self, group: GroupId, answers: &[Appended]) -> Result<(), Complaint> {
        let parts = self.groups[group].parts.clone();
        if answers.len() != parts.len() {
            return Err(format!("group {group} of {} parts got {} answers", parts.len(), answers.len()));
        }
        let live: Vec<_> = parts.iter().zip(answers).filter(|(part, _)| self.has(part.place)).collect();
        let strongest = live.iter().map(|(part, _)| rank(self.durability(part.place.0))).max().unwrap_or(0);
        for (part, answer) in live {
            let rows = part.rows.end - part.rows.start;
            if answer.next.0 - answer.first.0 != rows {
                return Err(format!("{rows} rows of group {group} got the places {answer:?}"));
            }
            if answer.duplicate
                && rows > 0
                && !self.placed.contains_key(&part.rows.start)
                && !self.may_be_there(group)
            {
                return Err(format!("group {group} is said to be a repeat and was never there: {answer:?}"));
            }
            // A row in memory is no safer for being in a group with others.
            let promise = if self.durability(part.place.0) == Durability::Memory { 0 } else { strongest };
            for (sequence, row) in (answer.first.0..).zip(part.rows.clone()) {
                self.place(part.place, sequence, row, promise)?;
            }
        }
        self.groups[group].state = State::Present;
        Ok(())
    }

    fn may_be_there(&self, group: GroupId) -> bool {
        self.groups[group].state != State::Absent
    }

    /// A row was read.
    pub fn saw(&mut self, place: Place, sequence: u64, row: Row) -> Result<(), Complaint> {
        let Some(stream) = self.streams.get(&place.0) else {
            return Err(format!("{place:?} was dropped and still gives row {row}"));
        };
        let promise = rank(stream.durability);
        let shard = &self.shards[&place];
        if sequence < shard.first {
            return Err(format!(
                "{place:?}: row {row} at {sequence} was trimmed, the first is {}",
                shard.first
            ));
        }
        self.place(place, sequence, row, promise)
    }

    /// Notes that a row is at a place, where no other is, and nowhere else.
    fn place(&mut self, place: Place, sequence: u64, row: Row, promise: u8) -> Result<(), Complaint> {
        let group =
            *self.owners.get(row as usize).ok_or(format!("{place:?}: row {row} was never submitted"))?;
        if !self.groups[group].parts.iter().any(|part| part.place == place && part.rows.contains(&row)) {
            return Err(format!("{place:?}: row {row} of group {group} belongs elsewhere"));
        }
        if self.groups[group].state == State::Absent {
            return Err(format!(
                "{place:?}: row {row} of group {group} is there and was refused or lost before"
            ));
        }
        match self.placed.insert(row, (place, sequence)) {
            Some(before) if before != (place, sequence) => {
                return Err(format!(
                    "row {row} of group {group} is at {before:?} and at {:?}",
                    (place, sequence)
                ));
            }
            _ => {}
        }
        let shard = self.shards.get_mut(&place).ok_or(format!("{place:?} was dropped"))?;
        if sequence < shard.first {
            return Ok(());
        }
        let known = shard.rows.entry(sequence).or_insert(Known { row, promise });
        if known.row != row {
            return Err(format!("{place:?}: at {sequence} was row {}, now it is {row}", known.row));
        }
        known.promise = known.promise.max(promise);
        Ok(())
    }

    /// The first row of a shard, as far as is known.
    pub fn first(&self, place: Place) -> u64 {
        self.shards[&place].first
    }

    /// The highest sequence number up to which all rows are known: what may be trimmed and still be checked.
    pub fn known_to(&self, place: Place) -> u64 {
        let shard = &self.shards[&place];
        let mut next = shard.first;
        for &sequence in shard.rows.keys() {
            if sequence != next {
                break;
            }
            next += 1;
        }
        next
    }

    /// A trim was asked for.
    pub fn trim_asked(&mut self, place: Place, before: u64) {
        if let Some(shard) = self.shards.get_mut(&place) {
            shard.trimmed_to = shard.trimmed_to.max(before);
        }
    }

    /// A shard's first row was seen to be this one.
    pub fn first_is(&mut self, place: Place, first: u64) -> Result<(), Complaint> {
        let expires = self.streams.get(&place.0).is_none_or(|stream| stream.expires);
        let Some(shard) = self.shards.get_mut(&place) else { return Ok(()) };
        if first < shard.first {
            return Err(format!("{place:?}: the first row was {}, now it is {first}", shard.first));
        }
        if first > shard.first && first > shard.trimmed_to && !expires {
            return Err(format!(
                "{place:?}: rows before {first} are gone, trimmed was to {}",
                shard.trimmed_to
            ));
        }
        shard.first = first;
        shard.rows = shard.rows.split_off(&first);
        Ok(())
    }

    /// The log was opened again. What was promised to at least `survives` must be there.
    pub fn recovered(
        &mut self,
        survives: Durability,
        found: &BTreeMap<Place, Contents>,
    ) -> Result<(), Complaint> {
        for place in self.places() {
            let contents = found.get(&place).ok_or(format!("{place:?} is gone"))?;
            if self.durability(place.0) == Durability::Memory {
                self.forget_memory(place, contents)?;
                continue;
            }
            self.first_is(place, contents.first)?;
            let next = contents.first + contents.rows.len() as u64;
            let shard = self.shards.get_mut(&place).expect("places are those of shards");
            let lost = shard.rows.split_off(&next);
            if let Some((sequence, known)) = lost.iter().find(|(_, known)| known.promise >= rank(survives)) {
                return Err(format!(
                    "{place:?}: row {} at {sequence} was acknowledged and is lost, the log ends at {next}",
                    known.row
                ));
            }
            for known in lost.values() {
                self.placed.remove(&known.row);
            }
            for (sequence, &row) in (contents.first..).zip(&contents.rows) {
                self.saw(place, sequence, row)?;
            }
        }
        (0..self.groups.len()).try_for_each(|group| self.settle(group))
    }

    /// What was in memory is gone, and only that.
    fn forget_memory(&mut self, place: Place, contents: &Contents) -> Result<(), Complaint> {
        if !contents.rows.is_empty() {
            return Err(format!("{place:?} was in memory only and has {} rows", contents.rows.len()));
        }
        self.placed.retain(|_, (at, _)| *at != place);
        self.shards
            .insert(place, Shard { first: contents.first, trimmed_to: contents.first, ..Shard::default() });
        Ok(())
    }

    /// Finds out whether a group is there: as a whole, or not at all.
    fn settle(&mut self, group: GroupId) -> Result<(), Complaint> {
        let mut present = Vec::new();
        for part in &self.groups[group].parts {
            let Some(stream) = self.streams.get(&part.place.0) else { continue };
            if stream.durability == Durability::Memory || part.rows.is_empty() {
                continue;
            }
            if stream.expires && part.rows.clone().any(|row| !self.placed.contains_key(&row)) {
                continue;
            }
            let start = self.placed.get(&part.rows.start).map(|at| at.1);
            for row in part.rows.clone() {
                let expected = start.map(|start| start + (row - part.rows.start));
                if self.placed.get(&row).map(|at| at.1) != expected {
                    return Err(format!("group {group} is torn within {:?}, at row {row}", part.place));
                }
            }
            present.push((part.place, start.is_some()));
        }
        if present.iter().any(|(_, there)| *there != present[0].1) {
            return Err(format!("group {group} is there in part: {present:?}"));
        }
        match present.first() {
            Some((_, true)) => self.groups[group].state = State::Present,
            Some((_, false)) => self.groups[group].state = State::Absent,
            None => self.groups[group].state = State::Untold,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use headwater_core::Sequence;

    use super::*;

    const A: Place = (StreamId(1), ShardId(0));
    const B: Place = (StreamId(2), ShardId(0));

    fn model() -> Model {
        let mut model = Model::default();
        model.add_stream(A.0, 1, Durability::Disk, false);
        model.add_stream(B.0, 1, Durability::Process, false);
        model
    }

    fn answer(first: u64, next: u64) -> Appended {
        Appended { first: Sequence(first), next: Sequence(next), duplicate: false }
    }

    fn found(a: &[Row], b: &[Row]) -> BTreeMap<Place, Contents> {
        let contents = |rows: &[Row]| Contents { first: 0, rows: rows.to_vec() };
        BTreeMap::from([(A, contents(a)), (B, contents(b))])
    }

    /// Two rows to A, acknowledged, one to B, acknowledged, and one to each as a group, not acknowledged.
    fn busy() -> Model {
        let mut model = model();
        let one = model.submit(&[(A, 2)]);
        let two = model.submit(&[(B, 1)]);
        model.submit(&[(A, 1), (B, 1)]);
        model.acknowledged(one, &[answer(0, 2)]).unwrap();
        model.acknowledged(two, &[answer(0, 1)]).unwrap();
        model
    }

    #[test]
    fn what_may_be_after_a_crash_is_accepted() {
        busy().recovered(Durability::Process, &found(&[0, 1], &[2])).unwrap();
        busy().recovered(Durability::Process, &found(&[0, 1, 3], &[2, 4])).unwrap();
        busy().recovered(Durability::Disk, &found(&[0, 1], &[])).unwrap();
    }

    #[test]
    fn a_lost_row_is_noticed() {
        let lost = busy().recovered(Durability::Disk, &found(&[0], &[2])).unwrap_err();
        assert!(lost.contains("row 1 at 1 was acknowledged and is lost"), "{lost}");
        assert!(busy().recovered(Durability::Process, &found(&[0, 1], &[])).is_err());
    }

    #[test]
    fn rows_twice_swapped_made_up_or_torn_from_their_group_are_noticed() {
        let complaint =
            |a: &[Row], b: &[Row]| busy().recovered(Durability::Process, &found(a, b)).unwrap_err();
        assert!(complaint(&[0, 1, 1], &[2]).contains("is at"));
        assert!(complaint(&[1, 0], &[2]).contains("is at"));
        assert!(complaint(&[0, 1, 9], &[2]).contains("never submitted"));
        assert!(complaint(&[0, 1, 2], &[2]).contains("belongs elsewhere"));
        assert!(complaint(&[0, 1, 3], &[2]).contains("is there in part"));
    }

    #[test]
    fn what_was_lost_or_refused_does_not_come_back_unless_sent_again() {
        let mut model = busy();
        let refused = model.submit(&[(A, 1)]);
        model.refused(refused);
        assert!(model.saw(A, 2, 5).unwrap_err().contains("refused or lost"));
        model.recovered(Durability::Process, &found(&[0, 1], &[2])).unwrap();
        assert!(model.saw(A, 2, 3).unwrap_err().contains("refused or lost"));
        model.submit_again(2);
        model.acknowledged(2, &[answer(2, 3), answer(1, 2)]).unwrap();
        assert!(
            model.recovered(Durability::Disk, &found(&[0, 1, 3], &[2])).is_err(),
            "the group was acknowledged"
        );
    }

    #[test]
    fn only_what_was_trimmed_may_go() {
        let gone = |to| {
            let mut model = busy();
            model.trim_asked(A, to);
            let mut found = found(&[], &[2]);
            found.insert(A, Contents { first: 1, rows: vec![1] });
            model.recovered(Durability::Disk, &found).map(|()| model.first_is(A, 0))
        };
        assert!(gone(0).is_err());
        assert!(gone(1).unwrap().unwrap_err().contains("the first row was 1"), "and it stays gone");
    }

    #[test]
    fn answers_must_fit_the_rows_and_a_repeat_what_is_there() {
        let mut model = busy();
        assert!(model.acknowledged(2, &[answer(2, 3)]).is_err());
        assert!(model.acknowledged(2, &[answer(2, 4), answer(1, 2)]).is_err());
        let repeat = Appended { duplicate: true, ..answer(1, 3) };
        assert!(model.acknowledged(0, &[repeat]).unwrap_err().contains("is at"));
    }
}

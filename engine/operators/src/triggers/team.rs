//! The triggers that one operator has at the time, what they have in common, and who of them has to look at which rows.

mod live;

use std::sync::Arc;

use arrow::array::{RecordBatch, UInt32Array};
use datafusion::physical_expr::PhysicalExpr;
use hashbrown::{HashMap, HashSet};

use self::live::{Column, Look};
pub(super) use self::live::{Kind, Live, Remembered, Said, Uncomputed, Which, note};
use super::ago::Ago;
use super::guard::Guard;
use super::index::{Before, Candidate, Ladder, Points, Ranked};
use super::machine::State;
use super::memory::{Locals, Slot, table_of};
use super::roster::{Member, TriggerRoster};
use super::spec::{Memory, NAME};
use super::states::States;
use crate::error::Result;
use crate::windows::Times;

/// The triggers of an operator.
#[derive(Default)]
pub(super) struct Team {
    /// Of the roster that it follows.
    version: Option<u64>,
    members: Vec<Arc<Member>>,
    /// By number; a number is not used again.
    live: Vec<Option<Live>>,
    numbers: HashMap<i64, u32>,
    pub(super) slots: Vec<Slot>,
    points: Vec<Points>,
    ladders: Vec<Ladder>,
    /// Those that look at every row.
    everywhere: Vec<u32>,
    /// Those that remember for themselves.
    with_agos: Vec<u32>,
    /// How many different conditions those have.
    conditions: usize,
    /// Whether one of them can fire by time.
    pub(super) timed: bool,
    /// Whether what one of them does at a row depends on what it did before.
    pub(super) keyed: bool,
}

impl Team {
    pub(super) fn get(&self, number: u32) -> Option<&Live> {
        self.live.get(number as usize).and_then(Option::as_ref)
    }

    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut Live> {
        self.live.get_mut(number as usize).and_then(Option::as_mut)
    }

    pub(super) fn number_of(&self, id: i64) -> Option<u32> {
        self.numbers.get(&id).copied()
    }

    /// All of them, with their numbers.
    pub(super) fn live(&self) -> impl Iterator<Item = (u32, &Live)> {
        (0..).zip(&self.live).filter_map(|(number, live)| Some((number, live.as_ref()?)))
    }

    pub(super) fn live_mut(&mut self) -> impl Iterator<Item = &mut Live> {
        self.live.iter_mut().flatten()
    }

    /// Takes over who has come and who has gone. `false`: nobody.
    pub(super) fn follow(&mut self, roster: &TriggerRoster, keys: usize) -> Result<bool> {
        let version = roster.version();
        if self.version == Some(version) {
            return Ok(false);
        }
        self.members = roster.members();
        let stays: HashSet<i64> = self.members.iter().map(|member| member.id).collect();
        self.numbers.retain(|id, _| stays.contains(id));
        for live in &mut self.live {
            if live.as_ref().is_some_and(|live| !stays.contains(&live.member.id)) {
                *live = None;
            }
        }
        for member in &self.members {
            if !self.numbers.contains_key(&member.id) {
                self.numbers.insert(member.id, self.live.len() as u32);
                self.live.push(Some(Live::new(member, keys)?));
            }
        }
        self.assign_slots(keys)?;
        self.index()?;
        let timed = self.live().any(|(_, live)| live.rules.hold.is_some());
        let keyed = self.live().any(|(_, live)| live.kind == Kind::Stateful);
        (self.timed, self.keyed) = (timed, keyed);
        self.version = Some(version);
        Ok(true)
    }

    /// Gives each remembered column a slot, the same for the same expression.
    fn assign_slots(&mut self, keys: usize) -> Result<()> {
        let mut former: HashMap<String, Slot> =
            self.slots.drain(..).map(|slot| (slot.table.clone(), slot)).collect();
        let mut places: HashMap<String, usize> = HashMap::new();
        for live in self.live.iter_mut().flatten() {
            let trigger = Arc::clone(&live.member.trigger);
            let mut agos = 0;
            live.looks.clear();
            for remembered in &trigger.remembered {
                let values_only = match remembered.memory {
                    Memory::Ago(_) => {
                        live.looks.push(Look::Ago(agos));
                        agos += 1;
                        continue;
                    }
                    memory => memory == Memory::Value,
                };
                let table = table_of(&remembered.expr, values_only);
                let place = match places.get(&table) {
                    Some(place) => *place,
                    None => {
                        let mut slot = match former.remove(&table) {
                            Some(slot) => slot,
                            None => {
                                let kind = remembered.expr.data_type(&trigger.input)?;
                                Slot::new(&remembered.expr, values_only, kind)?
                            }
                        };
                        slot.resize(keys);
                        self.slots.push(slot);
                        places.insert(table, self.slots.len() - 1);
                        self.slots.len() - 1
                    }
                };
                live.looks.push(Look::Slot(place));
            }
        }
        Ok(())
    }

    fn index(&mut self) -> Result<()> {
        (self.points, self.ladders, self.everywhere) = (Vec::new(), Vec::new(), Vec::new());
        let mut conditions: HashMap<(Arc<dyn PhysicalExpr>, Vec<Column>), usize> = HashMap::new();
        for number in 0..self.live.len() as u32 {
            let Some(live) = &mut self.live[number as usize] else { continue };
            let (member, rank) = (Arc::clone(&live.member), live.member.rank);
            let (bound, before) = match &member.guard {
                Guard::Point { x, value, also, .. } => {
                    let place = match self.points.iter().position(|points| points.is_of(x)) {
                        Some(place) => place,
                        None => {
                            self.points.push(Points::new(x, value)?);
                            self.points.len() - 1
                        }
                    };
                    self.points[place].add(value, also.as_ref(), number);
                    continue;
                }
                Guard::Level { bound, .. } => (bound, None),
                Guard::Crossing { bound, before, .. } => match live.looks[*before] {
                    Look::Slot(slot) => (bound, Some(slot)),
                    Look::Ago(_) => (bound, None),
                },
                Guard::Unknown => {
                    let columns = live.columns_of(&member.when);
                    let condition = (Arc::clone(member.when.expr()), columns);
                    let next = conditions.len();
                    live.condition = *conditions.entry(condition).or_insert(next);
                    self.everywhere.push(number);
                    continue;
                }
            };
            let place = match self.ladders.iter().position(|ladder| ladder.is_of(bound, before)) {
                Some(place) => place,
                None => {
                    self.ladders.push(Ladder::new(bound, before));
                    self.ladders.len() - 1
                }
            };
            self.ladders[place].add(bound, number, rank);
        }
        self.points.iter_mut().try_for_each(Points::settle)?;
        self.ladders.iter_mut().for_each(Ladder::settle);
        self.conditions = conditions.len();
        let with_agos = self.live().filter(|(_, live)| !live.agos.is_empty());
        self.with_agos = with_agos.map(|(number, _)| number).collect();
        Ok(())
    }

    pub(super) fn resize(&mut self, keys: usize) {
        self.slots.iter_mut().for_each(|slot| slot.resize(keys));
        self.live_mut().for_each(|live| live.resize(keys));
    }

    /// The rank of the newest trigger that judges these rows.
    pub(super) fn epoch(&self, roster: &TriggerRoster, batch: &RecordBatch) -> u32 {
        roster.epoch(&self.members, batch)
    }

    /// What was remembered before each row; the batch's own values are then remembered.
    pub(super) fn look_back(
        &mut self,
        roster: &TriggerRoster,
        batch: &RecordBatch,
        times: &Times,
        keys: &[u32],
        locals: &Locals,
        epoch: u32,
    ) -> Result<Remembered> {
        let mut uncomputed = Uncomputed::new();
        let mut slots = Vec::with_capacity(self.slots.len());
        for (place, slot) in self.slots.iter_mut().enumerate() {
            let who_looks = || {
                let looks = move |live: &&Live| live.looks.contains(&Look::Slot(place));
                self.live.iter().flatten().filter(looks)
            };
            let seen = slot.look_back(batch, locals, epoch, NAME).inspect_err(|error| {
                who_looks().for_each(|live| roster.blame(live.member.id, &error.to_string()));
            })?;
            if !seen.unfit.is_empty() {
                let judging = who_looks().filter(|live| live.member.rank <= epoch);
                judging.for_each(|live| note(&mut uncomputed, live.member.id, &seen.unfit, |nth| nth));
            }
            slots.push(seen);
        }
        let mut agos = HashMap::new();
        for number in &self.with_agos {
            let live = self.live[*number as usize].as_mut();
            if let Some(live) = live.filter(|live| live.member.rank <= epoch) {
                let columns = live.agos.iter_mut().map(|ago| ago.look_back(batch, times, keys, NAME));
                let id = live.member.id;
                let columns = columns.collect::<Result<Vec<_>>>();
                let columns = columns.inspect_err(|error| roster.blame(id, &error.to_string()))?;
                columns.iter().for_each(|(_, unfit)| note(&mut uncomputed, id, unfit, |nth| nth));
                agos.insert(*number, columns.into_iter().map(|(column, _)| column).collect());
            }
        }
        let said = std::iter::repeat_with(|| None).take(self.conditions).collect();
        Ok(Remembered { slots, agos, epoch, said, uncomputed })
    }

    /// Who has to look at which rows, by number.
    pub(super) fn concerned(
        &self,
        batch: &RecordBatch,
        remembered: &Remembered,
        locals: &Locals,
        states: &States,
    ) -> Result<Vec<(u32, Which)>> {
        let epoch = remembered.epoch;
        let mut found: Vec<Candidate> = Vec::new();
        let mut ranked = Ranked::new(batch, NAME);
        for points in &self.points {
            points.find(&mut ranked, &mut found)?;
        }
        for ladder in &self.ladders {
            let before = ladder.before.map(|slot| {
                let seen = &remembered.slots[slot];
                Before { column: &seen.column, epochs: &seen.epochs }
            });
            ladder.find(&mut ranked, before, epoch, &mut found)?;
        }
        if self.keyed {
            self.follow_keys(locals, states, &mut found);
        }
        found.sort_unstable();
        found.dedup();
        let everywhere = self.everywhere.iter().map(|number| (*number, Which::All(batch.num_rows())));
        let mut all: Vec<(u32, Which)> = everywhere.collect();
        for own in found.chunk_by(|one, other| one.0 == other.0) {
            let rows = UInt32Array::from_iter_values(own.iter().map(|(_, row)| *row));
            all.push((own[0].0, Which::Some(rows)));
        }
        let begun =
            |(number, _): &(u32, Which)| self.get(*number).is_some_and(|live| live.member.rank <= epoch);
        all.retain(begun);
        Ok(all)
    }

    /// A trigger that is not armed at a key, or may not be after one of these rows, looks at all rows of the key.
    fn follow_keys(&self, locals: &Locals, states: &States, found: &mut Vec<Candidate>) {
        let follows = |number: u32| {
            let guarded = |live: &&Live| !matches!(live.member.guard, Guard::Unknown);
            self.get(number).filter(guarded).is_some_and(|live| live.kind == Kind::Stateful)
        };
        let mut pairs: Vec<(u32, u32)> = Vec::new();
        for (local, key) in (0..).zip(&locals.keys) {
            let away = states.at(*key).iter().map(|(number, _)| *number);
            pairs.extend(away.filter(|number| follows(*number)).map(|number| (local, number)));
        }
        let local_of = |row: u32| locals.of_row[row as usize];
        let guarded = found.iter().filter(|(number, _)| follows(*number));
        pairs.extend(guarded.map(|(number, row)| (local_of(*row), *number)));
        if pairs.is_empty() {
            return;
        }
        pairs.sort_unstable();
        pairs.dedup();
        let mut of_local: Vec<(usize, usize)> = vec![(0, 0); locals.keys.len()];
        let mut from = 0;
        for own in pairs.chunk_by(|one, other| one.0 == other.0) {
            of_local[own[0].0 as usize] = (from, from + own.len());
            from += own.len();
        }
        for (row, local) in (0..).zip(&locals.of_row) {
            let (from, to) = of_local[*local as usize];
            found.extend(pairs[from..to].iter().map(|(_, number)| (*number, row)));
        }
    }

    /// What a trigger's WHEN says of rows.
    pub(super) fn when(
        &self,
        number: u32,
        live: &Live,
        which: &Which,
        batch: &RecordBatch,
        remembered: &mut Remembered,
    ) -> Result<Said> {
        let shared = matches!(which, Which::All(_)) && live.sees_all(remembered);
        if let Some(said) = remembered.said.get(live.condition).filter(|_| shared).and_then(Option::as_ref) {
            return Ok(said.clone());
        }
        let said = live.evaluate(number, &live.member.when, which, batch, remembered)?;
        if shared && let Some(place) = remembered.said.get_mut(live.condition) {
            *place = Some(said.clone());
        }
        Ok(said)
    }

    pub(super) fn size(&self) -> usize {
        let slots: usize = self.slots.iter().map(Slot::size).sum();
        let own = |live: &Live| {
            live.agos.iter().map(Ago::size).sum::<usize>() + live.silent.capacity() * size_of::<State>()
        };
        slots + self.live().map(|(_, live)| own(live)).sum::<usize>()
    }
}

//! Which triggers a set has, and from which row on each of them judges.
//!
//! Triggers come and go while the set's operator runs. What one of them does is a function of the rows from its first one on, whenever it
//! was put on the roster, as long as that was before the operator got that row. So nothing of it has to be in a journal but its first row.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::simplifier::PhysicalExprSimplifier;
use parking_lot::Mutex;

use super::guard::{Guard, guard_of};
use super::spec::{Shared, Trigger};
use crate::error::Result;
use crate::narrow::Narrow;

/// The triggers of a set. All of them look at the same rows, by the same keys.
pub struct TriggerRoster {
    shared: Shared,
    /// The columns that hold a row's shard and its sequence number; without them all triggers begin with the first row.
    place: Option<(usize, usize)>,
    members: Mutex<BTreeMap<i64, Arc<Member>>>,
    version: AtomicU64,
    /// Those whose conditions failed, and how.
    blamed: Mutex<BTreeMap<i64, String>>,
}

impl std::fmt::Debug for TriggerRoster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TriggerRoster({} triggers)", self.members.lock().len())
    }
}

/// One trigger of a set.
pub(super) struct Member {
    pub(super) id: i64,
    /// A trigger with a greater rank began later, or with the same row.
    pub(super) rank: u32,
    /// The first row that it judges, by shard.
    pub(super) from: Vec<i64>,
    pub(super) trigger: Arc<Trigger>,
    pub(super) guard: Guard,
    pub(super) when: Narrow,
    pub(super) until: Option<Narrow>,
}

impl TriggerRoster {
    /// An empty one. `place`: the columns that hold a row's shard and its sequence number.
    pub fn new(shared: Shared, place: (usize, usize)) -> Self {
        Self { place: Some(place), ..Self::without_places(shared) }
    }

    fn without_places(shared: Shared) -> Self {
        let (members, blamed) = (Mutex::default(), Mutex::default());
        Self { shared, place: None, members, version: AtomicU64::new(0), blamed }
    }

    /// One for a trigger that is alone.
    pub(super) fn of(what: &Trigger) -> Self {
        Self::without_places(what.shared())
    }

    /// What its triggers have in common.
    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Adds a trigger. `id` is its number, never used for another; `rank`, from 1, is greater than that of each trigger that began before;
    /// `from` is the first row that it judges, for each shard. To be called before the operator gets that row.
    pub fn add(&self, id: i64, rank: u32, from: Vec<i64>, trigger: &Arc<Trigger>) -> Result<()> {
        trigger.check()?;
        let wide = trigger.columns_of_conditions()?;
        let simple = PhysicalExprSimplifier::new(&wide);
        // As it was written will do where it cannot be made simpler.
        let simpler = |expr: &Arc<dyn PhysicalExpr>| {
            simple.simplify(Arc::clone(expr)).unwrap_or_else(|_| Arc::clone(expr))
        };
        let narrow = |expr: &Arc<dyn PhysicalExpr>| Narrow::new(&simpler(expr), &wide);
        let member = Member {
            id,
            rank,
            from,
            guard: guard_of(trigger, &simpler(trigger.condition()))?,
            when: narrow(trigger.condition())?,
            until: trigger.until.as_ref().map(narrow).transpose()?,
            trigger: Arc::clone(trigger),
        };
        self.members.lock().insert(id, Arc::new(member));
        self.version.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// Removes a trigger, and what it was doing.
    pub fn remove(&self, id: i64) {
        self.members.lock().remove(&id);
        self.version.fetch_add(1, Ordering::Release);
    }

    /// Notes that a trigger made a step fail.
    pub fn blame(&self, id: i64, failure: &str) {
        self.blamed.lock().insert(id, failure.to_owned());
    }

    /// Those who made a step fail since this was last asked.
    pub fn take_blamed(&self) -> BTreeMap<i64, String> {
        std::mem::take(&mut self.blamed.lock())
    }

    /// Changes with each trigger that comes or goes.
    pub(super) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// All of them, by rank.
    pub(super) fn members(&self) -> Vec<Arc<Member>> {
        let mut members: Vec<_> = self.members.lock().values().cloned().collect();
        members.sort_by_key(|member| (member.rank, member.id));
        members
    }

    /// The rank of the newest trigger that judges the rows of a batch. No step reaches over the first row of a trigger, so that it is
    /// the same for all of them.
    pub(super) fn epoch(&self, members: &[Arc<Member>], batch: &RecordBatch) -> u32 {
        let Some((shard, sequence)) = self.place.filter(|_| batch.num_rows() > 0) else {
            return members.last().map_or(0, |newest| newest.rank);
        };
        let shard = batch.column(shard).as_primitive::<Int32Type>().value(0) as usize;
        let sequence = batch.column(sequence).as_primitive::<Int64Type>().value(0);
        let begun =
            members.partition_point(|member| member.from.get(shard).is_none_or(|first| *first <= sequence));
        begun.checked_sub(1).map_or(0, |newest| members[newest].rank)
    }
}

//! DISTINCT: the set of different arguments of each group.
//!
//! Arguments get dense numbers, and (group, argument) pairs live in one hash table for all groups, each chained to the pair
//! before it of the same group. COUNT reads the chain's length; other functions are fed the chain, oldest first.
//!
//! State column: a list of structs, one per argument tuple.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, ListArray, StructArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Fields};

use super::Aggregator;
use super::fallback::Feeder;
use crate::error::Result;
use crate::groups::{IntMap, KeyTable};

const END: u32 = u32::MAX;

#[derive(Clone, Copy)]
struct Chain {
    /// Names the group in the pairs. A cleared group gets a new one, so that its old pairs are never found again.
    tag: u32,
    newest: u32,
    length: u32,
}

/// The different arguments of each group.
pub(super) struct Distinct {
    feeder: Feeder,
    count: bool,
    arguments: KeyTable,
    /// (tag, argument).
    pairs: IntMap,
    /// For each pair, the one before it in its chain.
    before: Vec<u32>,
    chains: Vec<Chain>,
    tags: u32,
    dead: usize,
    numbers: Vec<u32>,
}

impl Distinct {
    pub(super) fn try_new(feeder: Feeder) -> Result<Self> {
        let count = feeder.function().fun().name() == "count";
        let arguments = KeyTable::new(feeder.types().to_vec())?;
        Ok(Self {
            feeder,
            count,
            arguments,
            pairs: IntMap::default(),
            before: Vec::new(),
            chains: Vec::new(),
            tags: 0,
            dead: 0,
            numbers: Vec::new(),
        })
    }

    fn new_chain(&mut self) -> Chain {
        self.tags += 1;
        Chain { tag: self.tags - 1, newest: END, length: 0 }
    }

    fn add(&mut self, group: u32, argument: u32) {
        let chain = &mut self.chains[group as usize];
        let pair = self.pairs.intern(pack(chain.tag, argument));
        if pair as usize == self.before.len() {
            self.before.push(chain.newest);
            chain.newest = pair;
            chain.length += 1;
        }
    }

    /// The arguments of a group, oldest first.
    fn arguments_of(&self, group: u32) -> Vec<u32> {
        let chain = self.chains[group as usize];
        let mut arguments = Vec::with_capacity(chain.length as usize);
        let mut pair = chain.newest;
        while pair != END {
            arguments.push(argument_of(self.pairs.value(pair)));
            pair = self.before[pair as usize];
        }
        arguments.reverse();
        arguments
    }

    /// Starts over with the pairs that are still reached, once they are the smaller part.
    fn collect_garbage(&mut self) {
        if self.dead * 2 <= self.pairs.len() {
            return;
        }
        let mut kept = Vec::new();
        let mut renumbered = vec![END; self.arguments.len()];
        let lists: Vec<_> = (0..self.chains.len() as u32).map(|group| self.arguments_of(group)).collect();
        (self.pairs, self.before, self.tags, self.dead) = (IntMap::default(), Vec::new(), 0, 0);
        for (group, list) in lists.iter().enumerate() {
            self.chains[group] = self.new_chain();
            for argument in list {
                let number = &mut renumbered[*argument as usize];
                if *number == END {
                    *number = kept.len() as u32;
                    kept.push(*argument);
                }
                let number = *number;
                self.add(group as u32, number);
            }
        }
        self.arguments.retain(&kept);
    }

    fn fields(&self) -> Fields {
        let types = self.arguments.types().iter().enumerate();
        types.map(|(index, kind)| Field::new(format!("c{index}"), kind.clone(), true)).collect()
    }
}

impl Aggregator for Distinct {
    fn resize(&mut self, groups: usize) {
        while self.chains.len() < groups {
            let chain = self.new_chain();
            self.chains.push(chain);
        }
    }

    fn update(&mut self, values: &[ArrayRef], groups: &[u32], _weights: Option<&[i64]>) -> Result<()> {
        let mut numbers = std::mem::take(&mut self.numbers);
        self.arguments.intern(values, groups.len(), &mut numbers)?;
        let nulls: Vec<_> = if self.count {
            // COUNT ignores a tuple with a NULL in it.
            values.iter().filter_map(|column| column.logical_nulls()).collect()
        } else {
            Vec::new()
        };
        for (row, (group, argument)) in groups.iter().zip(&numbers).enumerate() {
            if nulls.iter().all(|nulls| nulls.is_valid(row)) {
                self.add(*group, *argument);
            }
        }
        self.numbers = numbers;
        Ok(())
    }

    fn merge(&mut self, states: &[ArrayRef], groups: &[u32]) -> Result<()> {
        let lists = states[0].as_list::<i32>();
        let mut rows = Vec::with_capacity(lists.values().len());
        for (row, group) in groups.iter().enumerate() {
            rows.resize(rows.len() + lists.value_length(row) as usize, *group);
        }
        // A slice of a list array keeps all values; only those between its offsets are meant.
        let start = lists.value_offsets()[0] as usize;
        let values = lists.values().slice(start, rows.len());
        self.update(values.as_struct().columns(), &rows, None)
    }

    fn evaluate(&mut self, groups: &[u32]) -> Result<ArrayRef> {
        if self.count {
            let counts = groups.iter().map(|group| i64::from(self.chains[*group as usize].length));
            return Ok(Arc::new(Int64Array::from_iter_values(counts)));
        }
        let results = groups
            .iter()
            .map(|group| self.feeder.result(&self.arguments.columns(&self.arguments_of(*group))?))
            .collect::<Result<Vec<_>>>()?;
        self.feeder.collect(results)
    }

    fn state_types(&self) -> Result<Vec<DataType>> {
        Ok(vec![DataType::new_list(DataType::Struct(self.fields()), false)])
    }

    fn state(&mut self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let lists: Vec<_> = groups.iter().map(|group| self.arguments_of(*group)).collect();
        let offsets = OffsetBuffer::from_lengths(lists.iter().map(Vec::len));
        let columns = self.arguments.columns(&lists.concat())?;
        let values = StructArray::try_new(self.fields(), columns, None)?;
        let item = Arc::new(Field::new_list_field(values.data_type().clone(), false));
        Ok(vec![Arc::new(ListArray::try_new(item, offsets, Arc::new(values), None)?)])
    }

    fn clear(&mut self, groups: &[u32]) {
        for group in groups {
            self.dead += self.chains[*group as usize].length as usize;
            self.chains[*group as usize] = self.new_chain();
        }
        self.collect_garbage();
    }

    fn retain(&mut self, groups: &[u32]) {
        let live: usize = groups.iter().map(|group| self.chains[*group as usize].length as usize).sum();
        self.chains = groups.iter().map(|group| self.chains[*group as usize]).collect();
        self.dead = self.pairs.len() - live;
        self.collect_garbage();
    }

    fn size(&self) -> usize {
        self.arguments.size()
            + self.pairs.size()
            + self.before.capacity() * 4
            + self.chains.capacity() * size_of::<Chain>()
    }
}

fn pack(tag: u32, argument: u32) -> i64 {
    // With the top bit set: such pairs are never small, so never in the array for small integers.
    (i64::from(tag) << 32 | i64::from(argument)) | i64::MIN
}

fn argument_of(pair: i64) -> u32 {
    pair as u32
}

//! Many triggers as one operator: each says what it would say alone, whenever it came, and whoever came and went beside it.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use headwater_operators::{OperatorSpec, Rows, Snapshot, TriggerRoster, TriggerSpec, entries_of_one};
use proptest::prelude::*;

use crate::data::{Scenario, schema};
use crate::harness::{Between, Runner, Step, lines};
use crate::triggers::{CASES, model_from, trigger};

/// The columns of the events, and the place of each row.
fn placed_schema() -> SchemaRef {
    let mut fields = schema().fields().to_vec();
    fields.push(Arc::new(Field::new("_shard", DataType::Int32, false)));
    fields.push(Arc::new(Field::new("_sequence", DataType::Int64, false)));
    Arc::new(Schema::new(fields))
}

fn place(step: &Step, next: &mut i64) -> Step {
    let batches = step.batches.iter().map(|rows| {
        let mut columns: Vec<ArrayRef> = rows.batch.columns().to_vec();
        columns.push(Arc::new(Int32Array::from_value(0, rows.len())));
        columns.push(Arc::new(Int64Array::from_iter_values(*next..*next + rows.len() as i64)));
        *next += rows.len() as i64;
        rows.with_batch(RecordBatch::try_new(placed_schema(), columns).unwrap())
    });
    Step { batches: batches.collect(), watermark: step.watermark }
}

fn roster() -> Arc<TriggerRoster> {
    Arc::new(TriggerRoster::new(trigger(&CASES[0], placed_schema()).shared(), (6, 7)))
}

/// What a trigger of this number has said, sorted.
fn said_by(id: i64, all: &[Rows]) -> Vec<String> {
    let prefix = format!("{id} | ");
    let lines = all.iter().flat_map(|rows| lines(&rows.batch));
    let mut own: Vec<String> =
        lines.filter_map(|line| Some(line.strip_prefix(&prefix)?.to_owned())).collect();
    own.sort();
    own
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn each_of_a_set_says_what_it_would_say_alone(
        seed in any::<u64>(),
        cut in any::<u64>(),
        spread in 0_i64..4_000,
        comes in prop::collection::vec(0_usize..8, CASES.len() * 2),
        goes in prop::collection::vec(0_usize..30, CASES.len() * 2),
        restarts in prop::collection::vec(0_u8..6, 1..9),
        workers in 1_u32..5,
    ) {
        let scenario = Scenario::random(seed, 300, spread);
        let roster = roster();
        let spec: Arc<dyn OperatorSpec> = Arc::new(TriggerSpec::of_set(Arc::clone(&roster)).unwrap());
        let mut runner = Runner::new(spec, &[1], workers);
        let (mut next, mut rank, mut all) = (0, 0, Vec::new());
        let mut first = vec![None; comes.len()];
        for (number, step) in scenario.cut(cut).iter().enumerate() {
            for id in 0..comes.len() {
                if comes[id] == number {
                    rank += 1;
                    first[id] = Some(next as usize);
                    let what = Arc::new(trigger(&CASES[id % CASES.len()], placed_schema()));
                    roster.add(id as i64, rank, vec![next], &what).unwrap();
                }
                if goes[id] == number && goes[id] > comes[id] {
                    roster.remove(id as i64);
                }
            }
            all.extend(runner.step(&place(step, &mut next)));
            runner.between(match restarts[number % restarts.len()] {
                0 => Between::Snapshot { full: number.is_multiple_of(7) },
                1 => Between::Restart { full: number.is_multiple_of(5), workers: 1 + (number as u32 * 7) % 4 },
                _ => Between::Nothing,
            });
        }
        for (id, first) in first.into_iter().enumerate() {
            let (said, case) = (said_by(id as i64, &all), &CASES[id % CASES.len()]);
            let Some(first) = first else {
                prop_assert!(said.is_empty(), "{} is not there", id);
                continue;
            };
            let expect = model_from(case, &scenario, first);
            if goes[id] < scenario.steps.len() && goes[id] > comes[id] {
                // It said a part of that, up to when it went.
                prop_assert!(said.iter().all(|line| expect.contains(line)), "case {}", id % CASES.len());
            } else {
                prop_assert_eq!(said, expect, "case {} from row {}", id % CASES.len(), first);
            }
        }
    }

    /// What is left of a snapshot for one trigger is all that this one needs to go on alone.
    #[test]
    fn one_goes_on_alone_with_its_part_of_the_state(
        seed in any::<u64>(),
        cut in any::<u64>(),
        spread in 0_i64..4_000,
        comes in prop::collection::vec(0_usize..3, CASES.len()),
        leaves in 3_usize..9,
    ) {
        let scenario = Scenario::random(seed, 300, spread);
        let roster = roster();
        let spec = TriggerSpec::of_set(Arc::clone(&roster)).unwrap();
        let mut set = spec.instantiate().unwrap();
        let mut next = 0;
        let steps: Vec<Step> = scenario.cut(cut);
        let leaves = leaves.min(steps.len());
        let (mut rank, mut ranks, mut first) = (0, vec![0; CASES.len()], vec![0; CASES.len()]);
        let (mut before, mut after) = (Vec::new(), steps[leaves..].to_vec());
        for (number, step) in steps[..leaves].iter().enumerate() {
            for id in (0..CASES.len()).filter(|id| comes[*id] == number) {
                rank += 1;
                (ranks[id], first[id]) = (rank, next as usize);
                let what = Arc::new(trigger(&CASES[id], placed_schema()));
                roster.add(id as i64, rank, vec![next], &what).unwrap();
            }
            let step = place(step, &mut next);
            let mut out = headwater_operators::Output::default();
            step.batches.into_iter().for_each(|rows| set.on_batch(0, rows, &mut out).unwrap());
            set.on_watermark(headwater_core::EventTime(step.watermark), &mut out).unwrap();
            before.extend(out.rows);
        }
        after.iter_mut().for_each(|step| *step = place(step, &mut next));
        let mut snapshot = Snapshot::default();
        set.snapshot(true, &mut snapshot).unwrap();
        for (id, case) in CASES.iter().enumerate().filter(|(id, _)| comes[*id] < leaves) {
            let alone = TriggerSpec::try_new(trigger(case, placed_schema())).unwrap();
            let mut alone = alone.instantiate().unwrap();
            for entries in &snapshot.entries {
                if let Some(own) = entries_of_one(entries, id as i64, ranks[id]).unwrap() {
                    alone.restore(&own).unwrap();
                }
            }
            let mut said = said_by(id as i64, &before);
            for step in &after {
                let mut out = headwater_operators::Output::default();
                step.batches.iter().for_each(|rows| alone.on_batch(0, rows.clone(), &mut out).unwrap());
                alone.on_watermark(headwater_core::EventTime(step.watermark), &mut out).unwrap();
                said.extend(out.rows.iter().flat_map(|rows| lines(&rows.batch)));
            }
            said.sort();
            prop_assert_eq!(said, model_from(case, &scenario, first[id]), "case {} from row {}", id, first[id]);
        }
    }
}

//! Triggers against a straight-line model: however steps and batches are cut, killed and restored at any number of workers.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::common::DFSchema;
use datafusion::execution::context::SessionContext;
use datafusion::physical_expr::PhysicalExpr;
use headwater_operators::{
    FiringColumn, Memory, OperatorSpec, Rearm, Remembered, Trigger, TriggerSpec, When,
};
use proptest::prelude::*;

use crate::data::{Event, SECOND, Scenario, rows, schema};
use crate::harness::{Between, Step, lines, run};

/// A condition over a row and the rows of its key before it, as SQL over columns and memory, and as plain code.
pub struct Case {
    remembered: &'static [(&'static str, Memory)],
    when: &'static str,
    is: fn(&Event, &[Event]) -> Option<bool>,
    silent: bool,
    hold: Option<i64>,
    rearm: Rearm,
}

fn above(event: &Event, _: &[Event]) -> Option<bool> {
    event.number.map(|number| number > 8)
}

fn rises(event: &Event, before: &[Event]) -> Option<bool> {
    Some(event.number? > before.last()?.number? + 5)
}

fn changes(event: &Event, before: &[Event]) -> Option<bool> {
    let old = before.iter().rev().find_map(|event| event.text.as_ref())?;
    Some(event.text.as_ref()? != old)
}

/// The newest row at least ten seconds older, of those that did not come out of order.
fn above_ten_seconds_ago(event: &Event, before: &[Event]) -> Option<bool> {
    let then = event.ts? - 10_000;
    let mut newest = i64::MIN;
    let mut found = None;
    for old in before {
        if old.ts? >= newest {
            newest = old.ts?;
            if newest <= then {
                found = Some(old);
            }
        }
    }
    (event.ts? >= newest).then_some(event.float? > found?.float?)
}

fn crosses(event: &Event, before: &[Event]) -> Option<bool> {
    let was = before.iter().rev().find_map(|event| event.number).is_some_and(|number| number > 8);
    Some(event.number? > 8 && !was)
}

fn falls(event: &Event, before: &[Event]) -> Option<bool> {
    let was = before.iter().rev().find_map(|event| event.float).is_some_and(|float| float <= -2.5);
    Some(event.float? <= -2.5 && !was)
}

/// NULL where neither is false, as SQL has it.
fn is_text(event: &Event, _: &[Event]) -> Option<bool> {
    match (event.text.as_ref().map(|text| text == "text 3"), event.number.map(|number| number > -5)) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        _ => None,
    }
}

pub const CASES: [Case; 15] = [
    Case {
        remembered: &[("n", Memory::Value)],
        when: "n > 8 AND (\"$0\" > 8) IS NOT TRUE",
        is: crosses,
        silent: false,
        hold: None,
        rearm: Rearm::Freely,
    },
    Case {
        remembered: &[("f", Memory::Value)],
        when: "f <= -2.5 AND (\"$0\" <= -2.5) IS NOT TRUE",
        is: falls,
        silent: false,
        hold: None,
        rearm: Rearm::Until,
    },
    Case {
        remembered: &[],
        when: "s = 'text 3' AND n > -5",
        is: is_text,
        silent: false,
        hold: None,
        rearm: Rearm::Freely,
    },
    Case {
        remembered: &[],
        when: "s = 'text 3' AND n > -5",
        is: is_text,
        silent: false,
        hold: Some(2 * SECOND),
        rearm: Rearm::Freely,
    },
    Case { remembered: &[], when: "n > 8", is: above, silent: false, hold: None, rearm: Rearm::Freely },
    Case { remembered: &[], when: "n > 8", is: above, silent: false, hold: None, rearm: Rearm::Until },
    Case {
        remembered: &[],
        when: "n > 8",
        is: above,
        silent: false,
        hold: None,
        rearm: Rearm::After(7 * SECOND),
    },
    Case {
        remembered: &[],
        when: "n > 8",
        is: above,
        silent: false,
        hold: Some(3 * SECOND),
        rearm: Rearm::Freely,
    },
    Case {
        remembered: &[],
        when: "n > 8",
        is: above,
        silent: false,
        hold: Some(SECOND),
        rearm: Rearm::Until,
    },
    Case {
        remembered: &[],
        when: "n > 8",
        is: above,
        silent: false,
        hold: Some(2 * SECOND),
        rearm: Rearm::After(SECOND),
    },
    Case {
        remembered: &[("n", Memory::Row)],
        when: "n > \"$0\" + 5",
        is: rises,
        silent: false,
        hold: None,
        rearm: Rearm::Freely,
    },
    Case {
        remembered: &[("s", Memory::Value)],
        when: "s <> \"$0\"",
        is: changes,
        silent: false,
        hold: None,
        rearm: Rearm::Freely,
    },
    Case {
        remembered: &[("n", Memory::Row), ("f", Memory::Ago(10 * SECOND)), ("s", Memory::Value)],
        when: "f > \"$1\"",
        is: above_ten_seconds_ago,
        silent: false,
        hold: None,
        rearm: Rearm::Freely,
    },
    Case {
        remembered: &[],
        when: "true",
        is: |_, _| Some(true),
        silent: true,
        hold: Some(4 * SECOND),
        rearm: Rearm::Freely,
    },
    Case {
        remembered: &[],
        when: "n IS NOT NULL",
        is: |event, _| Some(event.number.is_some()),
        silent: true,
        hold: Some(6 * SECOND),
        rearm: Rearm::Freely,
    },
];

const UNTIL: &str = "n < -8";

fn spec(case: &Case) -> Arc<dyn OperatorSpec> {
    Arc::new(TriggerSpec::try_new(trigger(case, schema())).unwrap())
}

pub fn trigger(case: &Case, input: SchemaRef) -> Trigger {
    let state = SessionContext::new().state();
    let physical = |sql: &str, schema: &arrow::datatypes::Schema| -> Arc<dyn PhysicalExpr> {
        let names = DFSchema::try_from(schema.clone()).unwrap();
        let expr = state.create_logical_expr(sql, &names).unwrap();
        state.create_physical_expr(expr, &names).unwrap()
    };
    let mut fields = input.fields().to_vec();
    let mut remembered = Vec::new();
    for (nth, (column, memory)) in case.remembered.iter().enumerate() {
        fields.push(Arc::new(input.field_with_name(column).unwrap().clone().with_name(format!("${nth}"))));
        remembered.push(Remembered { expr: physical(column, &input), memory: *memory });
    }
    let wide = arrow::datatypes::Schema::new(fields);
    let when = physical(case.when, &wide);
    let mut output = vec![
        (FiringColumn::At, "at".to_owned()),
        (FiringColumn::Cause, "cause".to_owned()),
        (FiringColumn::Since, "since".to_owned()),
    ];
    output.extend((0..6).map(|nth| (FiringColumn::Input(nth), input.field(nth).name().clone())));
    Trigger {
        keys: vec![1],
        time: 0,
        remembered,
        when: if case.silent { When::Silent(when) } else { When::True(when) },
        hold: case.hold,
        rearm: case.rearm,
        until: (case.rearm == Rearm::Until).then(|| physical(UNTIL, &wide)),
        output,
        input,
    }
}

/// What one key says: looks at its rows one after the other, and at the time between them.
fn model_of_key(case: &Case, events: &[Event], end: i64) -> Vec<(i64, &'static str, i64, Event)> {
    let mut fired = Vec::new();
    let mut true_since: Option<i64> = None;
    let mut fired_at: Option<i64> = None;
    let mut newest = i64::MIN;
    let moments = events.iter().map(Some).chain([None]).enumerate();
    for (nth, event) in moments {
        let now = event.map_or(end, |event| event.nanos().unwrap().max(event.clock));
        if let (Some(since), Some(hold)) = (true_since, case.hold)
            && since + hold <= now
        {
            let cause = if case.silent { "silence" } else { "held" };
            fired.push((since + hold, cause, since, events[nth - 1].clone()));
            (true_since, fired_at) = (None, Some(since + hold));
        }
        if let (Some(at), Rearm::After(wait)) = (fired_at, case.rearm)
            && at + wait <= now
        {
            fired_at = None;
        }
        let Some(event) = event else { break };
        newest = newest.max(event.nanos().unwrap());
        let is = (case.is)(event, &events[..nth]);
        if case.silent {
            if is == Some(true) {
                (true_since, fired_at) = (Some(newest), None);
            }
        } else if fired_at.is_some() {
            let ends = match case.rearm {
                Rearm::Until => event.number.is_some_and(|number| number < -8),
                Rearm::Freely => is == Some(false),
                Rearm::After(_) => false,
            };
            fired_at = fired_at.filter(|_| !ends);
        } else if case.hold.is_some() {
            match is {
                Some(true) => true_since = true_since.or(Some(newest)),
                Some(false) => true_since = None,
                None => {}
            }
        } else if is == Some(true) {
            fired.push((event.nanos().unwrap(), "row", event.nanos().unwrap(), event.clone()));
            fired_at = (case.rearm != Rearm::Freely).then_some(newest);
        }
    }
    fired
}

fn model(case: &Case, scenario: &Scenario) -> Vec<String> {
    model_from(case, scenario, 0)
}

/// What a trigger says that begins with the row of this number.
pub fn model_from(case: &Case, scenario: &Scenario, first: usize) -> Vec<String> {
    let end = scenario.steps.iter().map(|step| step.1).filter(|time| *time < i64::MAX).max().unwrap();
    let mut keys: BTreeMap<Option<String>, Vec<Event>> = BTreeMap::new();
    for event in scenario.events().into_iter().skip(first).filter(|event| event.ts.is_some()) {
        keys.entry(event.key.clone()).or_default().push(event);
    }
    let mut all = Vec::new();
    for events in keys.values() {
        for (at, cause, since, event) in model_of_key(case, events, end) {
            let row = lines(&rows(&[event]).batch).remove(0);
            all.push(format!("{} | {cause} | {} | {row}", text_of(at), text_of(since)));
        }
    }
    all.sort();
    all
}

/// A time of the column's unit as `lines` shows it.
fn text_of(nanos: i64) -> String {
    let event = Event {
        ts: Some(nanos.div_euclid(1_000_000)),
        key: None,
        number: None,
        float: None,
        text: None,
        flag: None,
        clock: 0,
    };
    lines(&rows(&[event]).batch)[0].split(" | ").next().unwrap().to_owned()
}

/// Puts some steps together, so that what the watermark did between them is left to the rows.
fn joined(steps: Vec<Step>, joins: &[bool]) -> Vec<Step> {
    let mut all: Vec<Step> = Vec::new();
    for (nth, step) in steps.into_iter().enumerate() {
        match all.last_mut() {
            Some(last) if joins[nth % joins.len()] && step.watermark != i64::MAX => {
                last.batches.extend(step.batches);
                last.watermark = step.watermark;
            }
            _ => all.push(step),
        }
    }
    all
}

fn said(
    spec: &Arc<dyn OperatorSpec>,
    steps: &[Step],
    workers: u32,
    between: impl Fn(usize) -> Between,
) -> Vec<String> {
    let (out, _) = run(spec, &[1], steps, workers, between);
    let mut all: Vec<String> = out.iter().flat_map(|rows| lines(&rows.batch)).collect();
    all.sort();
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn triggers_do_what_the_model_does(
        seed in any::<u64>(),
        cut in any::<u64>(),
        spread in 0_i64..4_000,
        joins in prop::collection::vec(any::<bool>(), 1..6),
        restarts in prop::collection::vec(0_u8..6, 1..9),
        workers in 1_u32..5,
    ) {
        let scenario = Scenario::random(seed, 300, spread);
        for (number, case) in CASES.iter().enumerate() {
            let expect = model(case, &scenario);
            let spec = spec(case);
            let steps = joined(scenario.cut(cut), &joins);
            let between = |step: usize| match restarts[step % restarts.len()] {
                0 => Between::Snapshot { full: step.is_multiple_of(7) },
                1 => Between::Restart { full: step.is_multiple_of(5), workers: 1 + (step as u32 * 7) % 4 },
                _ => Between::Nothing,
            };
            prop_assert_eq!(&said(&spec, &steps, workers, between), &expect, "case {}", number);
        }
    }
}

#[test]
fn the_model_is_not_asleep() {
    for (number, case) in CASES.iter().enumerate() {
        let fired: usize = (0..4).map(|seed| model(case, &Scenario::random(seed, 400, 1_000)).len()).sum();
        assert!(fired > 3, "case {number} fires {fired} times");
    }
}

#[test]
fn rows_without_a_time_go_where_late_rows_go() {
    let untimed = Event {
        ts: None,
        key: Some("a".into()),
        number: Some(9),
        float: None,
        text: None,
        flag: None,
        clock: i64::MIN,
    };
    let step = Step { batches: vec![rows(&[untimed])], watermark: 0 };
    let (out, late) = run(&spec(&CASES[0]), &[1], &[step], 1, |_| Between::Nothing);
    assert!(out.is_empty());
    assert_eq!(late.len(), 1, "{late:?}");
}

#[test]
fn the_end_of_the_input_is_not_time() {
    let event = Event {
        ts: Some(0),
        key: Some("a".into()),
        number: Some(9),
        float: None,
        text: None,
        flag: None,
        clock: i64::MIN,
    };
    let steps = [
        Step { batches: vec![rows(&[event])], watermark: 0 },
        Step { batches: Vec::new(), watermark: i64::MAX },
    ];
    for case in CASES.iter().filter(|case| case.hold.is_some()) {
        assert!(run(&spec(case), &[1], &steps, 1, |_| Between::Nothing).0.is_empty());
    }
}

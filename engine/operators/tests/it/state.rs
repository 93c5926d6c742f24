//! State ends with the watermark, and snapshots cost what has changed.

use std::sync::Arc;

use headwater_core::EventTime;
use headwater_operators::{
    OperatorSpec, Output, SessionAggregate, SessionAggregateSpec, Snapshot, StateEntries, WindowAggregate,
    WindowAggregateSpec, WindowKind,
};

use crate::data::{Event, SECOND, rows, schema};
use crate::harness::{Between, Runner, Step};
use crate::oracle;
use crate::windows::output;

const MINUTE: i64 = 60 * SECOND;

fn event(ms: i64, key: i64) -> Event {
    Event {
        ts: Some(ms),
        key: Some(format!("key {key}")),
        number: Some(ms % 17),
        float: Some(1.0),
        text: Some(format!("text {}", ms % 5)),
        flag: None,
        clock: i64::MIN,
    }
}

fn window(kind: WindowKind) -> Arc<dyn OperatorSpec> {
    let calls = oracle::calls(&schema(), &["count(*)", "max(s)", "count(distinct n)", "median(f)"]);
    let what = WindowAggregate {
        kind,
        input: schema(),
        time: 0,
        keys: vec![1],
        output: output(1, calls.len()),
        aggregates: calls,
        per_key: None,
    };
    Arc::new(WindowAggregateSpec::try_new(what).unwrap())
}

fn session() -> Arc<dyn OperatorSpec> {
    let calls = oracle::calls(&schema(), &["count(*)", "max(s)", "count(distinct n)"]);
    let what = SessionAggregate {
        gap: 10 * SECOND,
        input: schema(),
        time: 0,
        keys: vec![1],
        output: output(1, calls.len()),
        aggregates: calls,
        per_key: None,
        early: false,
        lateness: 0,
    };
    Arc::new(SessionAggregateSpec::try_new(what).unwrap())
}

fn all() -> Vec<Arc<dyn OperatorSpec>> {
    vec![
        window(WindowKind::Tumble { size: MINUTE, offset: 0 }),
        window(WindowKind::Hop { size: 3 * MINUTE, slide: MINUTE, offset: 0 }),
        window(WindowKind::Cumulate { size: 4 * MINUTE, step: MINUTE, offset: 0 }),
        session(),
    ]
}

/// A minute's rows of keys that never come again, half a minute long.
fn minute(number: i64, keys: i64) -> Step {
    let events: Vec<Event> =
        (0..keys).map(|key| event(number * 60_000 + key * 30_000 / keys, number * keys + key)).collect();
    Step { batches: vec![rows(&events)], watermark: (number + 1) * MINUTE }
}

#[test]
fn state_after_a_hundred_windows_is_state_after_ten() {
    for spec in all() {
        let mut runner = Runner::new(Arc::clone(&spec), &[1], 2);
        let mut sizes = Vec::new();
        for number in 0..160 {
            runner.step(&minute(number, 500));
            sizes.push(runner.state_size());
        }
        let most = |range: std::ops::Range<usize>| sizes[range].iter().map(|size| size.bytes).max().unwrap();
        // Capacities grow in jumps; more than that is a leak.
        let (early, later) = (most(0..40), most(120..160));
        assert!(later <= early + early / 10, "{}: {later} > {early}", spec.name());
        assert_eq!(sizes[100].entries, sizes[140].entries, "{}", spec.name());
        runner.step(&Step { batches: Vec::new(), watermark: i64::MAX });
        assert_eq!(runner.state_size().entries, 0, "{}", spec.name());
        assert!(runner.state_size().bytes < 10_000, "{} holds {}", spec.name(), runner.state_size().bytes);
    }
}

#[test]
fn a_snapshot_writes_what_has_changed() {
    for spec in all() {
        let mut runner = Runner::new(Arc::clone(&spec), &[1], 2);
        let events: Vec<Event> = (0..2_000).map(|key| event(1_000, key)).collect();
        runner.step(&Step { batches: vec![rows(&events)], watermark: i64::MIN });
        assert_eq!(runner.snapshot_rows(false), 2_000);
        assert_eq!(runner.snapshot_rows(false), 0);
        runner.step(&Step { batches: vec![rows(&events[..7])], watermark: i64::MIN });
        assert_eq!(runner.snapshot_rows(false), 7, "{}", spec.name());
        assert_eq!(runner.snapshot_rows(true), 2_000);
        // Death is one number, not two thousand rows.
        runner.step(&Step { batches: Vec::new(), watermark: i64::MAX });
        assert_eq!(runner.snapshot_rows(false), 0, "{}", spec.name());
    }
}

#[test]
fn a_day_of_expiries_in_one_step() {
    let day: Vec<Event> = (0..86_400).map(|second| event(second * 1_000, second % 3)).collect();
    for (kind, windows) in [
        (WindowKind::Tumble { size: SECOND, offset: 0 }, 86_400),
        (WindowKind::Hop { size: MINUTE, slide: 20 * SECOND, offset: 0 }, 3 * (86_400 / 20 + 2)),
    ] {
        let calls = oracle::calls(&schema(), &["count(*)"]);
        let what = WindowAggregate {
            kind,
            input: schema(),
            time: 0,
            keys: vec![1],
            output: output(1, 1),
            aggregates: calls,
            per_key: None,
        };
        let mut runner = Runner::new(Arc::new(WindowAggregateSpec::try_new(what).unwrap()), &[1], 1);
        runner.step(&Step { batches: vec![rows(&day)], watermark: i64::MIN });
        runner.between(Between::Restart { full: true, workers: 1 });
        let out = runner.step(&Step { batches: Vec::new(), watermark: i64::MAX }).unwrap();
        assert_eq!(out.len(), windows, "{kind:?}");
        assert_eq!(runner.state_size().entries, 0);
    }
}

/// An instance that was put away is given the newest watermark first, then its own rows, which may have been written before that.
#[test]
fn what_has_closed_is_not_said_again_behind_a_newer_watermark() {
    let time = EventTime(10 * MINUTE);
    for spec in all() {
        let mut operator = spec.instantiate().unwrap();
        let (mut said, mut before, mut after) = (Output::default(), Snapshot::default(), Snapshot::default());
        operator.on_batch(0, rows(&[event(1_000, 1), event(2_000, 2)]), &mut said).unwrap();
        operator.snapshot(true, &mut before).unwrap();
        operator.on_watermark(time, &mut said).unwrap();
        operator.snapshot(false, &mut after).unwrap();
        assert!(!said.rows.is_empty(), "{}", spec.name());
        let is_time = |entries: &&StateEntries| entries.table == "watermark";
        let mut again = spec.instantiate().unwrap();
        for entries in after.entries.iter().filter(is_time) {
            again.restore(entries).unwrap();
        }
        for entries in before.entries.iter().filter(|entries| !is_time(entries)) {
            again.restore(entries).unwrap();
        }
        let mut nothing = Output::default();
        again.on_watermark(time, &mut nothing).unwrap();
        assert!(nothing.rows.is_empty() && nothing.late.is_empty(), "{}", spec.name());
    }
}

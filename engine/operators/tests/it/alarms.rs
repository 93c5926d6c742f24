//! Alarms: the same at any number of workers and with restarts anywhere; what is late; what is forgotten.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray};
use headwater_core::EventTime;
use headwater_decide::alarm::{AlarmRule, Comparison, LowSamples, MissingData, Statistic, Timing};
use headwater_operators::decide::{AlarmSpec, Report, alarm_points_schema};
use headwater_operators::{Clocks, OperatorSpec, Rows};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::harness::{Between, Runner, Step, lines};

const SECOND: i64 = 1_000_000_000;

fn alarm(missing: MissingData, report: Report) -> Arc<dyn OperatorSpec> {
    let rule = AlarmRule {
        comparison: Comparison::Greater,
        threshold: 50.0,
        periods: 3,
        to_alarm: 2,
        missing,
        low_samples: LowSamples::Ignore,
    };
    Arc::new(AlarmSpec {
        name: "hot".into(),
        subject: "p90(value)".into(),
        rule,
        timing: Timing::of_metric(Duration::from_secs(30)).unwrap(),
        statistic: Some(Statistic::Percentile(90.0)),
        report,
        insists: false,
    })
}

/// Second, dimensions, value, samples.
type Row = (i64, &'static str, Option<f64>, i64);

fn rows(rows: &[Row], clock: i64) -> Rows {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(TimestampNanosecondArray::from_iter_values(rows.iter().map(|row| row.0 * SECOND))),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.1))),
        Arc::new(rows.iter().map(|row| row.2).collect::<Float64Array>()),
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.3))),
    ];
    let batch = RecordBatch::try_new(alarm_points_schema(), columns).unwrap();
    Rows { batch, weights: None, clocks: Clocks::Uniform(EventTime(clock)) }
}

fn said(runner: &mut Runner, step: &Step) -> Vec<String> {
    runner.step(step).map_or_else(Vec::new, |rows| lines(&rows.batch))
}

#[test]
fn alarms_are_the_same_with_any_workers_and_restarts() {
    const NAMES: [&str; 5] = ["host=a", "host=b", "host=c", "host=d", ""];
    for seed in 0..40 {
        let mut random = SmallRng::seed_from_u64(seed);
        let missing =
            [MissingData::Missing, MissingData::Ignore, MissingData::Breaching, MissingData::NotBreaching];
        let missing = missing[random.random_range(0..4)];
        let mut steps = Vec::new();
        let mut watermark = 0;
        for _ in 0..30 {
            let until = watermark + random.random_range(0..12) * 10;
            let mut batch: Vec<Row> = Vec::new();
            for at in (watermark..until).step_by(10) {
                for name in NAMES {
                    if random.random_bool(0.6) {
                        let value = random.random_bool(0.9).then(|| random.random_range(0.0..100.0));
                        batch.push((at + 10, name, value, random.random_range(0..300)));
                    }
                }
            }
            let clock = watermark * SECOND;
            steps.push((batch, clock, until * SECOND));
            watermark = until;
        }
        let steps: Vec<Step> = steps
            .into_iter()
            .map(|(batch, clock, watermark)| Step { batches: vec![rows(&batch, clock)], watermark })
            .chain([Step { batches: Vec::new(), watermark: i64::MAX }])
            .collect();
        let mut run = |workers: u32, restarts: bool| {
            let mut runner = Runner::new(alarm(missing, Report::Evaluations), &[1], workers);
            let mut all = Vec::new();
            for step in &steps {
                all.extend(said(&mut runner, step));
                match random.random_range(0..4) {
                    0 if restarts => runner.between(Between::Restart {
                        full: random.random_bool(0.5),
                        workers: random.random_range(1..5),
                    }),
                    1 if restarts => runner.between(Between::Snapshot { full: false }),
                    _ => {}
                }
            }
            assert!(runner.late.is_empty());
            all
        };
        let expect = run(1, false);
        assert!(expect.len() > 100, "the test says something");
        for workers in [1, 3] {
            assert_eq!(run(workers, false), expect, "seed {seed}, {workers} workers");
            assert_eq!(run(workers, true), expect, "seed {seed}, {workers} workers, restarts");
        }
    }
}

#[test]
fn a_point_that_comes_after_its_evaluation_is_late() {
    let mut runner = Runner::new(alarm(MissingData::Missing, Report::Changes), &[1], 1);
    let first = Step { batches: vec![rows(&[(10, "", Some(90.0), 200)], 0)], watermark: 15 * SECOND };
    assert!(said(&mut runner, &first).is_empty(), "one point of three is too few");
    // Its shard has come to 25 s by now; the other shards hold the watermark back, but that is not what it goes by.
    let late = rows(&[(20, "", Some(90.0), 200), (30, "", Some(90.0), 200)], 25 * SECOND);
    let second = Step { batches: vec![rows(&[(10, "", Some(1.0), 200)], 0), late], watermark: 15 * SECOND };
    assert!(said(&mut runner, &second).is_empty());
    assert_eq!(runner.late.len(), 2, "{:?}", runner.late);
    assert!(runner.late[0].starts_with("Alarm: 1970-01-01T00:00:10"), "{:?}", runner.late);
    assert!(runner.late[1].starts_with("Alarm: 1970-01-01T00:00:20"), "{:?}", runner.late);
}

#[test]
fn an_alarm_that_has_come_to_its_end_is_forgotten() {
    let mut runner = Runner::new(alarm(MissingData::Missing, Report::Changes), &[1], 1);
    let points = [10, 20, 30].map(|second| (second, "host=a", Some(1.0), 200));
    let calm = Step { batches: vec![rows(&points, 0)], watermark: 30 * SECOND };
    let begin = said(&mut runner, &calm);
    assert!(begin.len() == 1 && begin[0].contains("INSUFFICIENT_DATA | OK"), "{begin:?}");
    assert_eq!(runner.state_size().entries, 1);
    let end = said(&mut runner, &Step { batches: Vec::new(), watermark: 3_600 * SECOND });
    // Five points are looked at, half a minute apart: the last evaluation with one of them is that of 02:30.
    assert!(
        end.len() == 1 && end[0].contains("00:02:40Z") && end[0].contains("OK | INSUFFICIENT_DATA"),
        "{end:?}"
    );
    assert_eq!(runner.state_size().entries, 0);
    runner.between(Between::Restart { full: false, workers: 2 });
    assert_eq!(runner.state_size().entries, 0);
}

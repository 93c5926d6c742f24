//! Metrics of real servers and machines, from `fixtures/`, and what must come of them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, TimestampMillisecondArray};
use arrow::compute::kernels::cast_utils::string_to_timestamp_nanos;
use headwater_core::ShardId;
use headwater_log::{Append, ReadSpec};
use headwater_run::fit_columns;

use crate::machine::Machine;

/// Milliseconds and value.
pub type Sample = (i64, f64);

/// A file of the repository.
pub fn file(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A series of samples of a server.
pub fn series(name: &str) -> Vec<Sample> {
    samples(&format!("fixtures/cloudwatch/{name}.csv"))
}

/// The samples of a file, as they lie in it.
pub fn samples(path: &str) -> Vec<Sample> {
    let text = file(path);
    let sample = |line: &str| {
        let (time, value) = line.split_once(',').unwrap();
        (string_to_timestamp_nanos(time).unwrap() / 1_000_000, value.parse().unwrap())
    };
    text.lines().skip(1).map(sample).collect()
}

/// Creates the stream of a series: `(ts, value)`.
pub fn create_series(machine: &Machine, name: &str) {
    machine.sql(&format!(
        "CREATE STREAM {name} (ts TIMESTAMP(3) NOT NULL, value DOUBLE, WATERMARK FOR ts AS ts - INTERVAL '1' MINUTE) \
         WITH ('clock.guard' = 'none')"
    ));
}

/// Appends samples to the stream of a series.
pub fn append(machine: &Machine, name: &str, samples: &[Sample]) {
    let info = machine.log().stream_named(name).unwrap();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(TimestampMillisecondArray::from_iter_values(samples.iter().map(|sample| sample.0))),
        Arc::new(Float64Array::from_iter_values(samples.iter().map(|sample| sample.1))),
    ];
    let rows = fit_columns(&info.spec.schema, columns).unwrap();
    machine.log().append(vec![Append::new(info.id, ShardId(0), rows)]).unwrap();
}

/// The columns of a stream that are named, as text, row by row.
pub fn columns(machine: &Machine, stream: &str, names: &[&str]) -> Vec<Vec<String>> {
    let info = machine.log().stream_named(stream).unwrap();
    let bounds = machine.log().bounds(info.id).unwrap()[0];
    let spec = ReadSpec { until: Some(bounds.next), ..ReadSpec::all(info.id, ShardId(0)) };
    let mut all = Vec::new();
    let mut reader = machine.log().read(spec).unwrap();
    while bounds.first < bounds.next
        && let Some(read) = reader.next().unwrap()
    {
        let wanted: Vec<usize> =
            names.iter().map(|name| read.rows.schema().index_of(name).unwrap()).collect();
        let texts: Vec<ArrayRef> = wanted
            .iter()
            .map(|column| {
                arrow::compute::cast(read.rows.column(*column), &arrow::datatypes::DataType::Utf8).unwrap()
            })
            .collect();
        for row in 0..read.rows.num_rows() {
            all.push(texts.iter().map(|text| text.as_string::<i32>().value(row).to_owned()).collect());
        }
    }
    all
}

/// What the alarms of a machine changed: for each alarm its lines as the oracle writes them, without the name.
pub fn changes(machine: &Machine) -> BTreeMap<String, Vec<String>> {
    let mut changes: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in columns(machine, "system.alarm_history", &["alarm", "at", "before", "after"]) {
        let [alarm, at, before, after] = &row[..] else { unreachable!("four columns are asked for") };
        if before != after {
            let line = format!("{},{before},{after}", at.trim_end_matches('Z'));
            changes.entry(alarm.clone()).or_default().push(line);
        }
    }
    changes
}

/// What the oracle says that alarms change.
pub fn expected(path: &str) -> BTreeMap<String, Vec<String>> {
    let mut changes: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in file(path).lines().skip(1) {
        let (alarm, change) = line.split_once(',').unwrap();
        changes.entry(alarm.to_owned()).or_default().push(change.to_owned());
    }
    changes
}

/// What the groups of a machine did: for each group its activities as the oracle writes them, without the name.
pub fn scaled(machine: &Machine) -> BTreeMap<String, Vec<String>> {
    let names = ["group", "at", "by", "before", "after", "scaled"];
    let mut scaled: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in columns(machine, "system.scaling_activities", &names) {
        if row[5] == "true" {
            let line = format!("{},{},{},{}", row[1].trim_end_matches('Z'), row[2], row[3], row[4]);
            scaled.entry(row[0].clone()).or_default().push(line);
        }
    }
    scaled
}

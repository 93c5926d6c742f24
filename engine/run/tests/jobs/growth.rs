//! State stops growing: for every job and materialized view of `queries/` and of the page on streaming, the state after a hundred
//! windows has as many entries as after ten.
//!
//! Each stream gets the same rows again and again, moved on in time by the least common multiple of all lengths that the queries
//! name. So whatever a query waits for, it waits for the same at the end of each such stretch. Left out is what says of itself that
//! it grows with rows.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Float64Builder, Int32Array, Int64Array, ListBuilder, StringArray,
    TimestampMillisecondArray, new_null_array,
};
use arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use headwater_plan::{Parsed, Statement, parse};

use crate::machine::Machine;

/// Rows of each stream in a stretch: as many as windows of 2, 3, 4, 6 and 12 rows of each of three keys fit into.
const ROWS: i64 = 36;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The lengths that a text names as `INTERVAL '5' MINUTE` or `'5 minutes'`, in milliseconds.
fn lengths(text: &str) -> Vec<i64> {
    let unit = |word: &str| match word.to_lowercase().trim_end_matches('s') {
        "second" => Some(1_000),
        "minute" => Some(60_000),
        "hour" => Some(3_600_000),
        "day" => Some(86_400_000),
        _ => None,
    };
    let words =
        text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect::<Vec<_>>();
    let length = |pair: &[&str]| Some(pair[0].parse::<i64>().ok()? * unit(pair[1])?);
    words.windows(2).filter_map(length).collect()
}

fn least_common_multiple(lengths: &[i64]) -> i64 {
    fn gcd(a: i64, b: i64) -> i64 {
        if b == 0 { a } else { gcd(b, a % b) }
    }
    lengths.iter().fold(ROWS * 1_000, |all, length| all / gcd(all, *length) * length)
}

/// The rows of one stretch: texts of three kinds, small numbers, all the same in each.
fn rows(schema: &SchemaRef, time: &str, from: i64, stretch: i64) -> Vec<ArrayRef> {
    let each = 0..ROWS;
    let column = |(name, kind): (&str, &DataType)| -> ArrayRef {
        match kind {
            DataType::Timestamp(TimeUnit::Millisecond, None) if name == time => {
                Arc::new(TimestampMillisecondArray::from_iter_values(
                    each.clone().map(|row| from + row * stretch / ROWS),
                ))
            }
            DataType::Utf8 => {
                Arc::new(StringArray::from_iter_values(each.clone().map(|row| format!("k{}", row % 3))))
            }
            DataType::Int64 => Arc::new(Int64Array::from_iter_values(each.clone().map(|row| row / 3 % 4))),
            DataType::Int32 => {
                Arc::new(Int32Array::from_iter_values(each.clone().map(|row| (row / 3 % 4) as i32)))
            }
            DataType::Float64 => {
                Arc::new(Float64Array::from_iter_values(each.clone().map(|row| (row / 3 % 6) as f64 * 20.0)))
            }
            DataType::Boolean => {
                Arc::new(each.clone().map(|row| Some(row % 2 == 0)).collect::<BooleanArray>())
            }
            DataType::List(item) if *item.data_type() == DataType::Float64 => {
                let mut lists = ListBuilder::new(Float64Builder::new()).with_field(Arc::clone(item));
                for row in each.clone() {
                    lists.values().append_value(row as f64);
                    lists.append(true);
                }
                Arc::new(lists.finish())
            }
            other => new_null_array(other, ROWS as usize),
        }
    };
    let fields = schema.fields().iter().map(|field| (field.name().as_str(), field.data_type()));
    fields.map(column).collect()
}

/// What a script is made of, as far as it is of use here: streams of one shard, instead of tables and of many shards.
pub fn statements(text: &str) -> Vec<Parsed> {
    let mut plain = String::new();
    for line in text.lines().map(|line| line.split("--").next().unwrap_or_default()) {
        plain.push_str(line);
        plain.push('\n');
    }
    let plain = plain.replace("shards = 2", "shards = 1").replace("shards = 3", "shards = 1");
    let parts: Vec<String> = plain
        .split(';')
        .map(|part| match part.trim().strip_prefix("CREATE TABLE") {
            Some(table) => format!("CREATE STREAM{}", table.split(" WITH (").next().unwrap_or_default()),
            None => part.to_owned(),
        })
        .collect();
    parse(&parts.join(";")).unwrap_or_else(|error| panic!("{}", error.render()))
}

/// Runs a script's jobs over a hundred stretches. Gives how many of them were held to it.
fn check(name: &str, text: &str, prelude: &str) -> usize {
    let machine = Machine::new(2);
    let mut streams: BTreeMap<String, String> = BTreeMap::new();
    let mut growing: Vec<String> = Vec::new();
    for (nth, parsed) in statements(&format!("{prelude};{text}")).into_iter().enumerate() {
        let (job, sql) = match &parsed.statement {
            Statement::Insert(_) => continue,
            Statement::Query(_) => {
                let job = format!("query_{nth}");
                let (settings, query) = match parsed.text.rsplit_once("; ") {
                    Some((settings, query)) if settings.starts_with("SET") => {
                        (format!("{settings}; "), query)
                    }
                    _ => (String::new(), parsed.text.as_str()),
                };
                (Some(job.clone()), format!("{settings}CREATE MATERIALIZED VIEW {job} AS {query}"))
            }
            Statement::CreateMaterializedView(view) => (Some(view.name.value.clone()), parsed.text.clone()),
            Statement::CreateJob(job) => (Some(job.name.value.clone()), parsed.text.clone()),
            Statement::CreateTrigger(trigger) => (Some(trigger.name.value.clone()), parsed.text.clone()),
            Statement::CreateStream(stream) => {
                if let Some(watermark) = &stream.definition.watermark {
                    streams.insert(stream.name.value.clone(), watermark.column.clone());
                }
                (None, parsed.text.clone())
            }
            _ => (None, parsed.text.clone()),
        };
        if let Some(job) = job {
            let explain = match sql.rsplit_once("; CREATE") {
                Some((settings, create)) => format!("{settings}; EXPLAIN CREATE{create}"),
                None => format!("EXPLAIN {sql}"),
            };
            if machine.query(&explain).iter().any(|line| line.contains("state grows with rows")) {
                growing.push(job);
            }
        }
        machine.sql(&sql);
    }
    let stretch = least_common_multiple(&lengths(&format!("{prelude}{text}")));
    let entries = || -> BTreeMap<String, u64> {
        let jobs = machine.engine().jobs().into_iter().filter(|job| !growing.contains(&job.name));
        jobs.map(|job| (job.name, job.state_entries)).collect()
    };
    let mut after_ten = BTreeMap::new();
    for nth in 1..=100 {
        for (stream, time) in &streams {
            let schema = Arc::clone(&machine.log().stream_named(stream).unwrap().spec.schema);
            machine.append_to(stream, rows(&schema, time, nth * stretch, stretch));
        }
        machine.catch_up();
        if nth == 10 {
            after_ten = entries();
        }
    }
    assert_eq!(entries(), after_ten, "{name}: entries after a hundred windows, and after ten");
    assert!(machine.engine().jobs().iter().all(|job| job.rows_in > 0 || job.state_entries == 0), "{name}");
    after_ten.len()
}

fn sql_files(folder: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let mut files: Vec<PathBuf> =
        files.filter(|file| file.extension().is_some_and(|extension| extension == "sql")).collect();
    files.sort();
    files
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn the_state_of_ready_jobs_does_not_grow_from_window_to_window() {
    let mut checked = 0;
    for folder in ["alerts", "cpu", "machines", "patterns", "sequences", "stations", "weather"] {
        let text: Vec<String> =
            sql_files(&root().join("queries").join(folder)).iter().map(|file| read(file)).collect();
        checked += check(folder, &text.join(";\n"), "");
    }
    assert!(checked >= 20, "{checked} jobs");
}

#[test]
fn the_state_of_streaming_queries_does_not_grow_from_window_to_window() {
    let mut checked = 0;
    for file in sql_files(&root().join("queries/streaming")) {
        checked += check(&file.display().to_string(), &read(&file), "");
    }
    assert!(checked >= 20, "{checked} jobs");
}

#[test]
fn the_state_of_nexmark_does_not_grow_from_window_to_window() {
    let folder = root().join("queries/nexmark");
    let tables = read(&folder.join("tables.sql"));
    let checked: usize = sql_files(&folder)
        .iter()
        .filter(|file| !file.ends_with("tables.sql") && read(file).contains("DESCRIPTOR"))
        .map(|file| check(&file.display().to_string(), &read(file), &tables))
        .sum();
    assert!(checked >= 4, "{checked} queries");
}

#[test]
fn the_state_of_documented_queries_does_not_grow_from_window_to_window() {
    const STREAMS: &str = "
        CREATE STREAM readings (device STRING, ts TIMESTAMP(3), temp DOUBLE, WATERMARK FOR ts AS ts - INTERVAL '5' SECOND);
        CREATE STREAM alarms (device STRING, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '5' SECOND);
        CREATE STREAM orders (id BIGINT, ts TIMESTAMP(3), amount DOUBLE, currency STRING, WATERMARK FOR ts AS ts - INTERVAL '5' SECOND);
        CREATE STREAM shipments (order_id BIGINT, ts TIMESTAMP(3), carrier STRING, WATERMARK FOR ts AS ts - INTERVAL '5' SECOND);
        CREATE STREAM trades (id BIGINT, symbol STRING, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '5' SECOND);
        CREATE STREAM quotes (symbol STRING, ts TIMESTAMP(3), price DOUBLE, WATERMARK FOR ts AS ts - INTERVAL '5' SECOND);
        CREATE STREAM rates_history (currency STRING, ts TIMESTAMP(3), rate DOUBLE, WATERMARK FOR ts AS ts - INTERVAL '5' SECOND);
        CREATE STREAM sales (shop STRING, item STRING, price DOUBLE, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '5' SECOND)";
    let page = read(&root().join("docs/streaming.md"));
    let blocks = page.split("```sql").skip(1).filter_map(|block| block.split("```").next());
    // Databases are asked elsewhere, and another definition needs a job that stands.
    let blocks = blocks.filter(|block| !block.contains("connector") && !block.contains("EXPLAIN REPLACE"));
    let checked: usize = blocks.map(|block| check(block, block, STREAMS)).sum();
    assert!(checked >= 12, "{checked} queries");
}

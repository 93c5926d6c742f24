//! Sequences of events and of text in bounded queries; and the same queries, to the letter, in ClickHouse.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread::spawn;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use headwater_plan::{Planner, Statement, Tables, parse_one};
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use crate::fixture::{InMemory, catalog, seconds};

fn table(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter(columns).unwrap()
}

/// Rows as ClickHouse writes them: columns separated by tabs.
fn run(sql: &str, tables: &Arc<dyn Tables>) -> Result<Vec<String>, String> {
    let (catalog, planner) = (catalog(""), Planner::new());
    let parsed = parse_one(sql).map_err(|error| error.render())?;
    let Statement::Query(query) = &parsed.statement else { panic!("{sql}") };
    let plan = planner.batch(&catalog, tables, query).map_err(|error| error.render())?;
    let session = planner.session();
    let rows = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(async { session.execute_logical_plan(plan).await?.collect().await })
        .map_err(|error| error.to_string())?;
    let options = FormatOptions::default().with_null("NULL");
    let mut lines = Vec::new();
    for batch in rows {
        let columns: Vec<_> = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column.as_ref(), &options).unwrap())
            .collect();
        lines.extend((0..batch.num_rows()).map(|row| {
            let cells = columns.iter().map(|column| column.value(row).to_string().replace(", ", ","));
            cells.collect::<Vec<_>>().join("\t")
        }));
    }
    Ok(lines)
}

fn visits() -> Arc<dyn Tables> {
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("who", Arc::new(StringArray::from(vec!["a", "a", "a", "b", "b", "a"]))),
        ("ts", seconds(&[30, 0, 10, 0, 5, 90])),
        ("page", Arc::new(StringArray::from(vec!["buy", "home", "item", "home", "buy", "home"]))),
    ];
    let lines = StringArray::from(vec![Some("ERROR x ERROR"), None, Some("error aaaa"), Some("ok")]);
    InMemory::default()
        .with("visits", table(columns))
        .with("log", table(vec![("line", Arc::new(lines))]))
        .tables()
}

#[track_caller]
fn check(sql: &str, expect: &[&str]) {
    assert_eq!(run(sql, &visits()).unwrap_or_else(|error| panic!("{error}")), expect, "{sql}");
}

#[track_caller]
fn refused(sql: &str, expect: &str) {
    let error = run(sql, &visits()).unwrap_err();
    assert!(error.contains(expect), "{sql}\n{error}");
}

#[test]
fn both_spellings_and_distances_in_seconds() {
    for call in [
        "sequenceCount('(?1).*(?2)')(ts, page = 'home', page = 'buy')",
        "sequence_count('(?1).*(?2)', ts, page = 'home', page = 'buy')",
        "SEQUENCE_COUNT('(?1).*(?2)', ts, page = 'home', page = 'buy')",
    ] {
        check(&format!("SELECT who, {call} FROM visits GROUP BY who ORDER BY who"), &["a\t1", "b\t1"]);
    }
    check(
        "SELECT who, sequenceMatch('(?1)(?t<=10)(?2)')(ts, page = 'home', page = 'buy'), \
         windowFunnel(INTERVAL '20' SECOND)(ts, page = 'home', page = 'item', page = 'buy'), \
         window_funnel(60, 'strict_increase', ts, page = 'home', page = 'item', page = 'buy'), \
         retention(page = 'home', page = 'item', page = 'buy') FROM visits GROUP BY who ORDER BY who",
        &["a\tfalse\t2\t3\t[1,1,1]", "b\ttrue\t1\t1\t[1,0,1]"],
    );
    check("SELECT sequenceCount('(?1)')(ts, page = 'home') FILTER (WHERE who = 'a') FROM visits", &["2"]);
    check("SELECT sequenceCount('(?1)')(ts, page = 'none') FROM visits WHERE who = 'c'", &["0"]);
}

#[test]
fn sequences_of_text() {
    check(
        "SELECT sequence_count(line, 'ERROR'), sequence_count(line, 'ERROR', 'lines'), \
         sequence_count(line, 'error', 'ignore_case'), sequence_count(line, 'aa'), \
         sequence_count(line, 'aa', 'overlapping'), sequence_count(line, 'a{2}|x', 'regex') FROM log",
        &["2\t1\t3\t2\t3\t3"],
    );
    check(
        "SELECT sequence_occurrences(line, 'ERROR'), sequence_occurrences(line, 'r', 'lines, ignore_case') FROM log",
        &["2\t1", "NULL\tNULL", "0\t1", "0\t0"],
    );
}

#[test]
fn mistakes_are_told_when_a_query_is_planned() {
    refused("SELECT sequenceCount('(?1)(?4)')(ts, page = 'home') FROM visits", "there is no condition 4");
    refused("SELECT sequenceCount(page)(ts, page = 'home') FROM visits", "a text in quotes");
    refused("SELECT sequence_count('(?1)', ts) FROM visits", "sequence_count(pattern, time, condition, ...)");
    refused("SELECT windowFunnel(10, 'strict')(ts, page = 'home') FROM visits", "no mode 'strict'");
    refused("SELECT windowFunnel(10, 'allow_reentry')(ts, page = 'home') FROM visits", "strict_order only");
    refused("SELECT windowFunnel(page)(ts, page = 'home') FROM visits", "is a number of seconds");
    refused("SELECT sequence_count(line, '(', 'regex') FROM log", "unclosed group");
    refused("SELECT sequence_count(line, 'x', 'fuzzy') FROM log", "no option 'fuzzy'");
    refused("SELECT sequenceMatch('(?1)')(page, page = 'home') FROM visits", "is a timestamp or an integer");
    refused("SELECT sum(1)(ts) FROM visits", "sum");
    for call in
        ["sequenceMatch('(?1)')(ts, page = 'home')", "retention(page = 'home')", "sequence_count(page, 'o')"]
    {
        let sql = format!("SELECT who, {call} OVER (PARTITION BY who ORDER BY ts) FROM visits");
        refused(&sql, "but not with OVER");
    }
}

/// A call over a table's keys.
struct MadeUp {
    call: String,
    table: String,
    /// The conditions that hold, as a number.
    bits: String,
}

impl MadeUp {
    fn query(&self) -> String {
        format!("SELECT k, {} AS r FROM {} GROUP BY k ORDER BY k", self.call, self.table)
    }

    /// The same for ClickHouse: what is of one moment counts in the order in which it comes, so it gets it in ours (and must not
    /// find that sorting redundant).
    fn for_clickhouse(&self) -> String {
        let Self { call, table, bits } = self;
        format!(
            "SELECT k, {call} AS r FROM (SELECT * FROM {table} ORDER BY t, {bits}) GROUP BY k ORDER BY k \
             SETTINGS max_threads = 1, query_plan_remove_redundant_sorting = 0"
        )
    }
}

/// A query that both can run over a table. Where events may be of one moment it is a funnel: of other functions ClickHouse leaves the
/// order open.
fn made_up(random: &mut SmallRng, table: &str, has_ties: bool) -> MadeUp {
    let conditions = ["e = 1", "e = 2", "e = 3", "e <= 2", "e % 2 = 1", "e > 3"];
    let count = random.random_range(2..=4);
    let chosen: Vec<_> = conditions.choose_multiple(random, count).copied().collect();
    let chosen = chosen.join(", ");
    let which = if has_ties { 1 } else { random.random_range(0..10) };
    let call = match which {
        0 => format!("retention({chosen})"),
        1..=3 => {
            let modes = ["strict_order", "strict_increase", "strict_once", "strict_deduplication"];
            let mut words = vec![random.random_range(1..30).to_string()];
            words.extend(modes.iter().filter(|_| random.random_bool(0.3)).map(|mode| format!("'{mode}'")));
            if words.iter().any(|word| word == "'strict_order'") && random.random_bool(0.5) {
                words.push("'allow_reentry'".to_owned());
            }
            format!("windowFunnel({})(t, {chosen})", words.join(", "))
        }
        which => {
            let mut pattern = String::new();
            for _ in 0..random.random_range(1..6) {
                match random.random_range(0..10) {
                    0..6 => pattern.push_str(&format!("(?{})", random.random_range(1..=count))),
                    6 => pattern.push('.'),
                    7 => pattern.push_str(".*"),
                    _ if !pattern.is_empty() && !pattern.ends_with("~)") => {
                        let sign = ["<=", "<", ">=", ">", "=="].choose(random).unwrap();
                        pattern.push_str(&format!("(?t{sign}{}~)", random.random_range(0..8)));
                    }
                    _ => {}
                }
            }
            // Where a pattern ends with a time ClickHouse's answer was not the same in two runs: it is not asked.
            while let Some(time) = pattern.rfind("(?t").filter(|_| pattern.ends_with("~)")) {
                pattern.truncate(time);
            }
            let pattern = if pattern.is_empty() { "(?1)".to_owned() } else { pattern.replace('~', "") };
            let function = if which % 2 == 0 { "sequenceCount" } else { "sequenceMatch" };
            format!("{function}('{pattern}')(t, {chosen})")
        }
    };
    let bits: Vec<_> =
        chosen.split(", ").enumerate().map(|(nth, holds)| format!("({holds}) * {}", 1 << nth)).collect();
    MadeUp { call, table: table.to_owned(), bits: bits.join(" + ") }
}

/// `tests/run` fetches ClickHouse's library from PyPI and names the Python that has it in `HEADWATER_TEST_CHDB`.
#[test]
fn the_same_as_clickhouse() {
    let Ok(python) = std::env::var("HEADWATER_TEST_CHDB") else {
        println!("left out: HEADWATER_TEST_CHDB names no Python with chdb");
        return;
    };
    let mut random = SmallRng::seed_from_u64(11);
    let mut tables = InMemory::default();
    let (mut script, mut queries) = (String::new(), Vec::new());
    for (name, has_ties, count) in [("events", false, 400), ("ties", true, 400)] {
        let rows = events(&mut random, has_ties);
        let column = |pick: fn(&(i64, i64, i64)) -> i64| -> ArrayRef {
            Arc::new(Int64Array::from_iter_values(rows.iter().map(pick)))
        };
        let columns =
            vec![("k", column(|row| row.0)), ("t", column(|row| row.1)), ("e", column(|row| row.2))];
        tables = tables.with(name, table(columns));
        queries.extend((0..count).map(|_| made_up(&mut random, name, has_ties)));
        script.push_str(&format!("CREATE TABLE {name} (k UInt32, t UInt32, e UInt8) ENGINE = Memory\n"));
        let rows: Vec<_> = rows.iter().map(|(k, t, e)| format!("({k},{t},{e})")).collect();
        script.push_str(&format!("INSERT INTO {name} VALUES {}\n", rows.join(",")));
    }
    let tables = tables.tables();
    queries.iter().for_each(|query| script.push_str(&format!("{}\n", query.for_clickhouse())));
    let answers = clickhouse(&python, &script);
    assert_eq!(answers.len(), queries.len());
    for (query, expect) in queries.iter().map(MadeUp::query).zip(answers) {
        let found = run(&query, &tables).unwrap_or_else(|error| panic!("{query}\n{error}"));
        let found = found.join("\n").replace("\ttrue", "\t1").replace("\tfalse", "\t0");
        assert_eq!(found, expect, "{query}");
    }
}

/// Events of sixty keys in any order: key, time, kind. Unless they have ties no two of a key are of one moment.
fn events(random: &mut SmallRng, has_ties: bool) -> Vec<(i64, i64, i64)> {
    let mut rows = Vec::new();
    for key in 0..60 {
        let mut at = 0;
        for _ in 0..random.random_range(0..25) {
            at += if has_ties { random.random_range(0..2) } else { random.random_range(1..6) };
            rows.push((key, at, random.random_range(1..=5)));
        }
    }
    rand::seq::SliceRandom::shuffle(rows.as_mut_slice(), random);
    rows
}

/// What ClickHouse answers to each line that asks for something.
#[expect(clippy::disallowed_methods, reason = "a test of a process has no World")]
fn clickhouse(python: &str, script: &str) -> Vec<String> {
    const RUN: &str = "\
import sys, chdb.session
session = chdb.session.Session()
for line in sys.stdin:
    answer = str(session.query(line, 'TSV'))
    if line.startswith('SELECT'):
        sys.stdout.write(answer.rstrip('\\n') + '\\n\\n')
";
    let mut child = Command::new(python)
        .args(["-c", RUN])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{python}: {error}"));
    // Answers are read while questions are asked: neither waits for the other's pipe.
    let (mut stdin, script) = (child.stdin.take().unwrap(), script.to_owned());
    let asking = spawn(move || stdin.write_all(script.as_bytes()));
    let output = child.wait_with_output().unwrap();
    asking.join().unwrap().unwrap();
    assert!(output.status.success());
    let answers = String::from_utf8(output.stdout).unwrap();
    answers.trim_end().split("\n\n").map(str::to_owned).collect()
}

//! Nexmark: the queries of an auction, each timed over events that are in the log already.
//!
//! The events are made up by the connector `nexmark`, and either appended beforehand (`--source log`) or while the query runs (`--source
//! generator`). Each query runs alone, from its creation until its input is at its end, checkpoints on: as a job into a black hole, as
//! peers are measured, or (`--into view`) as a materialized view whose rows all go to the log. A query that writes into a table of its
//! own, q10, does that, and ends when all of it is there. CPU time is that of the whole process; memory is the most that it held while
//! the query ran.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};
use headwater_core::World;
use headwater_run::{Engine, JobState};

use super::command::Common;
use super::process::cpu_seconds;
use super::report::Report;
use crate::memory;
use crate::open::{EngineArgs, Tuning};

const TABLE_NAMES: [&str; 3] = ["person", "auction", "bid"];
const TABLES: &str = include_str!("../../../../queries/nexmark/tables.sql");

macro_rules! queries {
    ($($name:literal),* $(,)?) => {
        /// The queries that run, by name.
        const QUERIES: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../../../../queries/nexmark/", $name, ".sql")))),*];
    };
}

queries!(
    "q0", "q1", "q2", "q3", "q4", "q5", "q6", "q7", "q8", "q9", "q10", "q11", "q12", "q13", "q14", "q15",
    "q16", "q17", "q18", "q19", "q20", "q21", "q22",
);

/// How many rows the file has that q13 looks rows up in.
const SIDE_ROWS: u64 = 10_000;

/// How often a query is looked at.
const LOOK: Duration = Duration::from_millis(2);

/// Where a query's events come from.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum From {
    /// From the log, where they are before the time starts.
    Log,
    /// From the generator, through the log: what is timed are both.
    Generator,
}

/// Where a query's rows go.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Into {
    /// Nowhere: they are counted.
    Blackhole,
    /// Into the log, as those of a materialized view.
    View,
}

impl Into {
    /// The statements that start a query.
    fn start(self, name: &str, sql: &str) -> String {
        match self {
            _ if target_of(sql).is_some() => format!("CREATE JOB nexmark_{name} AS {sql}"),
            Into::Blackhole => format!(
                "CREATE TABLE nowhere_{name} WITH (connector = 'blackhole');
                 CREATE JOB nexmark_{name} AS INSERT INTO nowhere_{name} {sql}"
            ),
            Into::View => format!("CREATE MATERIALIZED VIEW nexmark_{name} AS {sql}"),
        }
    }

    /// The statements after which it is as if the query had never been.
    fn end(self, name: &str, sql: &str) -> String {
        match (self, target_of(sql)) {
            (_, Some(table)) => format!("DROP JOB nexmark_{name}; DROP TABLE {table}"),
            (Into::Blackhole, None) => format!("DROP JOB nexmark_{name}; DROP TABLE nowhere_{name}"),
            (Into::View, None) => format!("DROP MATERIALIZED VIEW nexmark_{name}"),
        }
    }
}

/// The table that a query writes into, if it is one that does.
fn target_of(sql: &str) -> Option<&str> {
    sql.strip_prefix("INSERT INTO ").and_then(|rest| rest.split_whitespace().next())
}

/// The queries of the Nexmark auction
#[derive(Args, Clone)]
pub(crate) struct Nexmark {
    #[command(flatten)]
    common: Common,
    /// Which queries, such as q0,q5; all that run unless given
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    queries: Vec<String>,
    /// How many events
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    events: u64,
    /// Where the events come from
    #[arg(long, value_enum, default_value = "log")]
    source: From,
    /// Where their rows go
    #[arg(long, value_enum, default_value = "blackhole")]
    into: Into,
    /// How many threads compute; as many as there are processors unless given
    #[arg(long, value_name = "N")]
    workers: Option<usize>,
}

impl Nexmark {
    /// Whether figures are wanted as JSON.
    pub fn json(&self) -> bool {
        self.common.json
    }
}

/// What one run of a query took.
#[derive(Clone, Copy)]
struct Taken {
    seconds: f64,
    cpu: f64,
    rows: u64,
    state: u64,
    /// The most that the process held, in bytes.
    memory: u64,
}

pub(crate) async fn run(args: &Nexmark) -> Result<Report> {
    let chosen = choose(&args.queries)?;
    let mut report = Report::new("nexmark");
    tell_setup(args, &mut report);
    let taken = measure(args, &chosen).await?;
    for ((name, _), taken) in chosen.into_iter().zip(taken) {
        tell_figures(name, args.events, taken, &mut report);
    }
    Ok(report)
}

fn tell_setup(args: &Nexmark, report: &mut Report) {
    report.setup(
        "events",
        format!("{}, of which 1 in 50 is a person, 3 are auctions, 46 bids; 10,000 a second", args.events),
    );
    report.setup(
        "source",
        match args.source {
            From::Log => "the log; the events were appended before",
            From::Generator => "the generator, through the log",
        },
    );
    report.setup(
        "rows go",
        match args.into {
            Into::Blackhole => "nowhere: they are counted",
            Into::View => "into the log, as a materialized view's",
        },
    );
    report.setup(
        "runs",
        format!("{}, of which the one with the median of CPU time is shown", args.common.runs),
    );
}

/// Runs each query as often as was asked for.
async fn measure(args: &Nexmark, chosen: &[(&str, &str)]) -> Result<Vec<Vec<Taken>>> {
    let mut taken: Vec<Vec<Taken>> = vec![Vec::new(); chosen.len()];
    match args.source {
        From::Log => {
            let dir = args.common.workspace()?;
            let engine = args.open(dir.path())?;
            make_tables(&engine, &TABLE_NAMES, args.events).await?;
            filled(&engine, args.events).await?;
            for ((name, sql), taken) in chosen.iter().zip(&mut taken) {
                for _ in 0..args.common.runs {
                    let query = Timed { name, sql, into: args.into, dir: dir.path() };
                    taken.push(query.time(&engine, &[], args.events).await?);
                    query.end(&engine).await?;
                }
            }
            engine.close().await?;
        }
        From::Generator => {
            for ((name, sql), taken) in chosen.iter().zip(&mut taken) {
                for _ in 0..args.common.runs {
                    let dir = args.common.workspace()?;
                    let engine = args.open(dir.path())?;
                    let query = Timed { name, sql, into: args.into, dir: dir.path() };
                    taken.push(query.time(&engine, &tables_of(sql), args.events).await?);
                    engine.close().await?;
                }
            }
        }
    }
    Ok(taken)
}

/// Tells what the run with the median of CPU time took.
fn tell_figures(name: &str, events: u64, mut taken: Vec<Taken>, report: &mut Report) {
    taken.sort_by(|one, other| one.cpu.total_cmp(&other.cpu));
    let Some(taken) = taken.get(taken.len() / 2) else { return };
    report.figure(format!("{name}, until done"), taken.seconds, "s");
    report.figure(format!("{name}, CPU"), taken.cpu, "s");
    report.figure(format!("{name}, events per CPU second"), events as f64 / taken.cpu.max(1e-2), "/s");
    report.figure(format!("{name}, rows out"), taken.rows as f64, "");
    report.figure(format!("{name}, state at its end"), taken.state as f64 / 1e6, "MB");
    report.figure(format!("{name}, memory at most"), taken.memory as f64 / 1e6, "MB");
}

impl Nexmark {
    fn open(&self, dir: &Path) -> Result<Engine> {
        let tuning = Tuning { workers: self.workers, ..Tuning::default() };
        EngineArgs { data: dir.join("data"), tuning, allowed: Default::default(), log: Default::default() }
            .open()
    }
}

fn choose(names: &[String]) -> Result<Vec<(&'static str, &'static str)>> {
    let known = || QUERIES.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    for name in names {
        ensure!(
            QUERIES.iter().any(|(known, _)| known == name),
            "there is no query {name}; there are {}",
            known()
        );
    }
    let wanted = |name: &str| names.is_empty() || names.iter().any(|wanted| wanted == name);
    Ok(QUERIES.iter().copied().filter(|(name, _)| wanted(name)).collect())
}

/// Which tables a query reads.
fn tables_of(sql: &str) -> Vec<&'static str> {
    let words = sql.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    let reads = |table: &str| {
        words.windows(2).any(|pair| pair[1] == table && ["FROM", "JOIN", "TABLE"].contains(&pair[0]))
            || words.windows(3).any(|three| three[0] == "auction" && three[2] == table)
    };
    TABLE_NAMES.into_iter().filter(|table| reads(table)).collect()
}

/// Makes tables, whose events begin to come.
async fn make_tables(engine: &Engine, tables: &[&str], events: u64) -> Result<()> {
    for statement in TABLES.split_inclusive(");\n") {
        if tables.iter().any(|table| statement.contains(&format!("CREATE TABLE {table} "))) {
            // The files are for tests, with few events over a long time.
            let statement = statement.replace("'10000'", &format!("'{events}'")).replace("'100'", "'10000'");
            engine.execute(&statement).await?;
        }
    }
    Ok(())
}

/// Waits until all events are in the log.
async fn filled(engine: &Engine, events: u64) -> Result<()> {
    let wanted =
        |first: u64, share: u64| events / 50 * share + (events % 50).saturating_sub(first).min(share);
    for (table, rows) in [("person", wanted(0, 1)), ("auction", wanted(1, 3)), ("bid", wanted(4, 46))] {
        let stream = engine.log().stream_named(table)?.id;
        while engine.log().bounds(stream)?.iter().map(|bounds| bounds.next.0).sum::<u64>() < rows {
            tokio::time::sleep(LOOK).await;
        }
    }
    Ok(())
}

/// A query that is timed.
struct Timed<'a> {
    name: &'a str,
    /// Its file: what it needs beside the tables, and then the query.
    sql: &'a str,
    into: Into,
    /// The folder of the files that it names.
    dir: &'a Path,
}

impl Timed<'_> {
    /// The statements before the query, and the query.
    fn parts(&self) -> (String, String) {
        let sql = self.sql.replace("path = '", &format!("path = '{}/", self.dir.display()));
        match sql.rsplit_once(";\n") {
            Some((before, query)) => (format!("{before};"), query.trim().to_owned()),
            None => (String::new(), sql),
        }
    }

    /// Makes what the query needs beside the tables.
    async fn prepare(&self, engine: &Engine, statements: &str) -> Result<()> {
        if statements.contains("side_input.csv") {
            let rows: String = (0..SIDE_ROWS).map(|key| format!("{key},value {key}\n")).collect();
            tokio::fs::write(self.dir.join("side_input.csv"), rows).await?;
        }
        if !statements.is_empty() {
            engine.execute(statements).await?;
        }
        Ok(())
    }

    /// Runs it from its creation to its end, and from that of the tables that are not there yet.
    async fn time(&self, engine: &Engine, tables: &[&str], events: u64) -> Result<Taken> {
        let (name, world) = (self.name, World::real());
        let (before, query) = self.parts();
        memory::forget_peak();
        let (started, cpu) = (world.clock.monotonic(), cpu_seconds()?);
        make_tables(engine, tables, events).await?;
        self.prepare(engine, &before).await.context(name.to_owned())?;
        engine.execute(&self.into.start(name, &query)).await.context(name.to_owned())?;
        loop {
            let view = format!("nexmark_{name}");
            let Some(job) = engine.jobs().into_iter().find(|job| job.name == view) else {
                bail!("{name} is gone")
            };
            match job.state {
                JobState::Finished => {
                    if target_of(&query).is_some() {
                        // What is still to be written into the table is written when it is dropped.
                        engine.wait_bounded().await?;
                        engine.execute(&self.into.end(name, &query)).await?;
                    }
                    return Ok(Taken {
                        seconds: (world.clock.monotonic() - started).as_secs_f64(),
                        cpu: cpu_seconds()? - cpu,
                        rows: job.rows_out,
                        state: job.state_bytes,
                        memory: memory::peak().unwrap_or_default(),
                    });
                }
                JobState::Failed => bail!("{name}: {}", job.error.unwrap_or_default()),
                _ => tokio::time::sleep(LOOK).await,
            }
        }
    }

    /// Makes it as if it had never been.
    async fn end(&self, engine: &Engine) -> Result<()> {
        let (_, query) = self.parts();
        if target_of(&query).is_none() {
            engine.execute(&self.into.end(self.name, &query)).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use futures::TryStreamExt;
    use headwater_run::Answer;

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn every_query_says_what_the_batch_says() {
        let dir = tempfile::tempdir().unwrap();
        let tuning = Tuning { workers: Some(3), ..Tuning::default() };
        let engine = EngineArgs {
            data: dir.path().join("data"),
            tuning,
            allowed: Default::default(),
            log: Default::default(),
        }
        .open()
        .unwrap();
        engine.execute(TABLES).await.unwrap();
        filled(&engine, 10_000).await.unwrap();
        for (name, sql) in QUERIES {
            let query = Timed { name, sql, into: Into::Blackhole, dir: dir.path() };
            query.time(&engine, &[], 10_000).await.unwrap();
            query.end(&engine).await.unwrap();
            if sql.contains("INSERT INTO") {
                check_files(&engine, dir.path()).await;
                continue;
            }
            let query = Timed { into: Into::View, ..query };
            query.time(&engine, &[], 10_000).await.unwrap();
            let found = rows(&engine, &format!("SELECT * FROM nexmark_{name}")).await.unwrap();
            // Bids of one price come in the order of time; a batch puts them in any, unless told.
            let (_, settled) = query.parts();
            let settled = settled.replace("ORDER BY price DESC", "ORDER BY price DESC, `dateTime`");
            // A batch reads the file that is looked up as any other table.
            let settled = settled.replace("FOR SYSTEM_TIME AS OF B.p_time ", "");
            let expected = rows(&engine, &settled).await.unwrap();
            assert!(!expected.is_empty(), "{name} says nothing");
            let more: Vec<_> =
                found.iter().filter(|(line, n)| expected.get(*line) != Some(n)).take(3).collect();
            let less: Vec<_> =
                expected.iter().filter(|(line, n)| found.get(*line) != Some(n)).take(3).collect();
            assert!(more.is_empty() && less.is_empty(), "{name}: found {more:?}, expected {less:?}");
        }
        engine.close().await.unwrap();
    }

    /// Each bid is in a file, in the folder of its minute, which is told to be complete.
    async fn check_files(engine: &Engine, dir: &Path) {
        let mut found: BTreeMap<String, u64> = BTreeMap::new();
        for day in std::fs::read_dir(dir.join("bid_files")).unwrap().map(|entry| entry.unwrap()) {
            let name = day.file_name().into_string().unwrap();
            if name.starts_with('.') {
                continue;
            }
            for minute in std::fs::read_dir(day.path()).unwrap().map(|entry| entry.unwrap()) {
                let folder = format!("{name}/{}", minute.file_name().into_string().unwrap());
                assert!(minute.path().join("_SUCCESS").exists(), "{folder} is not committed");
                for file in std::fs::read_dir(minute.path()).unwrap() {
                    let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
                    for line in text.lines().filter(|line| !line.starts_with("auction")) {
                        let first: Vec<&str> = line.split(',').take(3).collect();
                        *found.entry(format!("{folder} | {}", first.join(" | "))).or_default() += 1;
                    }
                }
            }
        }
        let expected =
            "SELECT 'dt=2026-01-01/hm=00%3A0' || minute(`dateTime`), auction, bidder, price FROM bid";
        let expected = rows(engine, expected).await.unwrap();
        let missing: Vec<_> =
            expected.iter().filter(|(line, n)| found.get(*line) != Some(n)).take(3).collect();
        assert!(missing.is_empty() && found.len() == expected.len(), "{}: {missing:?}", found.len());
    }

    #[test]
    fn a_query_names_its_tables() {
        let of = |name: &str| tables_of(QUERIES.iter().find(|(query, _)| *query == name).unwrap().1);
        assert_eq!(of("q0"), ["bid"]);
        assert_eq!(of("q3"), ["person", "auction"]);
        assert_eq!(of("q4"), ["auction", "bid"]);
        assert_eq!(of("q6"), ["auction", "bid"]);
        assert_eq!(of("q7"), ["bid"]);
        assert_eq!(of("q8"), ["person", "auction"]);
        assert_eq!(of("q9"), ["auction", "bid"]);
        assert_eq!(of("q12"), ["bid"]);
        assert_eq!(of("q13"), ["bid"]);
        assert_eq!(of("q20"), ["auction", "bid"]);
    }

    /// A bounded query's rows as text, each with how often it is there.
    async fn rows(engine: &Engine, sql: &str) -> Result<BTreeMap<String, u64>> {
        use arrow::util::display::{ArrayFormatter, FormatOptions};
        let mut found = BTreeMap::new();
        let Some(Answer::Rows(batches)) = engine.execute(sql).await?.pop() else {
            bail!("{sql} gives no rows")
        };
        let batches: Vec<arrow::array::RecordBatch> = batches.try_collect().await?;
        let options = FormatOptions::default().with_null("NULL");
        for batch in &batches {
            let columns =
                batch.columns().iter().map(|column| ArrayFormatter::try_new(column.as_ref(), &options));
            let columns = columns.collect::<Result<Vec<_>, _>>()?;
            for row in 0..batch.num_rows() {
                let line: Vec<String> = columns.iter().map(|column| column.value(row).to_string()).collect();
                *found.entry(line.join(" | ")).or_default() += 1;
            }
        }
        Ok(found)
    }
}

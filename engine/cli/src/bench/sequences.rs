//! Sequences: in events beside ClickHouse, in text beside `grep`, and a mapper and a reducer beside a shell pipeline with `sort`.
//!
//! The two of a pair run in turn over the same file, and the medians of the runs are compared. `HEADWATER_TEST_CHDB` names a Python
//! with ClickHouse's library; without it that comparison is left out.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use arrow::array::{ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::datatypes::Int64Type;
use clap::Args;
use datafusion::dataframe::DataFrameWriteOptions;
use datafusion::prelude::{ParquetReadOptions, SessionContext};
use futures::TryStreamExt;
use headwater_core::World;
use headwater_mapreduce::{JobSpec, Program, Progress};
use headwater_objects::Location;
use headwater_operators::sequences::aggregate_functions;
use headwater_run::{Answer, Engine, EngineOptions, NoConnectors};

use super::command::Common;
use super::report::{Report, median};

/// How many events there are of one of those whose events they are.
const EVENTS_EACH: u32 = 100;
const NEEDLE: &str = "connection reset";

/// What is asked of both, and what of each.
const CALLS: [(&str, &str, &str); 2] = [
    (
        "sequenceCount",
        "sequence_count('(?1)(?t<=20000000)(?2).*(?3)', ts, e = 1, e = 2, e = 3)",
        "sequenceCount('(?1)(?t<=20000000)(?2).*(?3)')(ts, e = 1, e = 2, e = 3)",
    ),
    (
        "windowFunnel",
        "window_funnel(200000000, ts, e = 1, e = 2, e = 3, e = 4)",
        "windowFunnel(200000000)(ts, e = 1, e = 2, e = 3, e = 4)",
    ),
];

const CHDB: &str = "\
import sys, time, chdb
chdb.query('SELECT 1')
started = time.perf_counter()
answer = str(chdb.query(sys.argv[1], 'TSV')).strip()
print(time.perf_counter() - started, answer)
";

const MAP: &str = "#!/usr/bin/env python3
import sys
for line in sys.stdin:
    for word in line.split():
        print(word, 1, sep='\\t')
";

const REDUCE: &str = "#!/usr/bin/env python3
import sys
last, count = None, 0
for line in sys.stdin:
    key, value = line.rstrip('\\n').split('\\t')
    if key != last:
        if last is not None:
            print(last, count, sep='\\t')
        last, count = key, 0
    count += int(value)
if last is not None:
    print(last, count, sep='\\t')
";

/// Sequences in events beside ClickHouse, in text beside grep, and programs beside a pipeline with sort
#[derive(Args, Clone)]
pub(crate) struct Sequences {
    #[command(flatten)]
    common: Common,
    /// How many events
    #[arg(long, value_name = "N", default_value_t = 10_000_000, value_parser = clap::value_parser!(u32).range(1000..))]
    events: u32,
    /// How many lines of text; an eighth of them goes through the programs
    #[arg(long, value_name = "N", default_value_t = 4_000_000, value_parser = clap::value_parser!(u32).range(1000..))]
    lines: u32,
}

impl Sequences {
    /// Whether figures are wanted as JSON.
    pub fn json(&self) -> bool {
        self.common.json
    }
}

/// Numbers that look random, the same ones in each run.
struct Noise(u64);

impl Noise {
    fn below(&mut self, bound: u32) -> u32 {
        self.0 = self.0.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(0x1405_7B7E_F767_814F);
        (((self.0 >> 32) * u64::from(bound)) >> 32) as u32
    }
}

/// The bench at work.
struct Bench<'a> {
    args: &'a Sequences,
    runs: u32,
    dir: &'a Path,
    world: World,
    report: Report,
}

pub(crate) async fn run(args: &Sequences) -> Result<Report> {
    let dir = args.common.workspace()?;
    let (world, report) = (World::real(), Report::new("sequences"));
    let mut bench = Bench { args, runs: args.common.runs, dir: dir.path(), world, report };
    bench.report.setup("runs", bench.runs);
    bench.events().await?;
    bench.text().await?;
    bench.programs().await?;
    Ok(bench.report)
}

impl Bench<'_> {
    fn seconds_since(&self, started: Duration) -> f64 {
        (self.world.clock.monotonic() - started).as_secs_f64()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Runs a command of the shell in the directory; what it says, and how long it took.
    fn shell(&self, command: &str) -> Result<(String, f64)> {
        let started = self.world.clock.monotonic();
        let said = Command::new("bash").args(["-c", command]).current_dir(self.dir).output()?;
        ensure!(said.status.success(), "{command}: {}", String::from_utf8_lossy(&said.stderr));
        Ok((String::from_utf8(said.stdout)?.trim().to_owned(), self.seconds_since(started)))
    }

    async fn events(&mut self) -> Result<()> {
        let context = SessionContext::new();
        aggregate_functions().into_iter().for_each(|function| context.register_udaf(function));
        let file = self.path("events.parquet");
        let file = file.to_str().context("the directory's name")?;
        context.register_batch("made", made_up_events(self.args.events)?)?;
        let made = context.table("made").await?;
        made.write_parquet(file, DataFrameWriteOptions::new().with_single_file_output(true), None).await?;
        context.deregister_table("made")?;
        context.register_parquet("events", file, ParquetReadOptions::default()).await?;
        self.report.setup(
            "events",
            format!("{}, {EVENTS_EACH} of each, out of order, in a Parquet file, warm", self.args.events),
        );
        let python = std::env::var("HEADWATER_TEST_CHDB").ok();
        if python.is_none() {
            self.report.setup("ClickHouse", "left out: HEADWATER_TEST_CHDB names no Python with chdb");
        }
        for (name, ours, theirs) in CALLS {
            let (mut own, mut other) = (Vec::new(), Vec::new());
            for _ in 0..self.runs {
                let sql =
                    format!("SELECT sum(n) FROM (SELECT who, {ours} AS n FROM events GROUP BY who) AS q");
                let started = self.world.clock.monotonic();
                let rows = context.sql(&sql).await?.collect().await?;
                own.push(self.seconds_since(started));
                let answer = rows[0].column(0).as_primitive::<Int64Type>().value(0).to_string();
                let Some(python) = &python else { continue };
                let sql = format!(
                    "SELECT sum(n) FROM (SELECT who, {theirs} AS n FROM file('{file}', Parquet) GROUP BY who)"
                );
                let said = Command::new(python).args(["-c", CHDB, &sql]).output()?;
                let text = String::from_utf8_lossy(&said.stdout).into_owned();
                let (took, found) = text
                    .trim()
                    .split_once(' ')
                    .with_context(|| String::from_utf8_lossy(&said.stderr).into_owned())?;
                ensure!(found == answer, "{name}: {answer}, and {found} in ClickHouse");
                other.push(took.parse()?);
            }
            let own = median(own);
            self.report.figure(format!("{name}, events"), f64::from(self.args.events) / own, "/s");
            if !other.is_empty() {
                let ratio = median(other) / own;
                self.report.aimed(format!("{name}: speed / ClickHouse"), ratio, "", "at least 1");
            }
        }
        Ok(())
    }

    async fn text(&mut self) -> Result<()> {
        let file = self.path("lines.log");
        write_lines(&file, self.args.lines)?;
        let megabytes = std::fs::metadata(&file)?.len() as f64 / 1e6;
        self.report.setup(
            "lines",
            format!("{}, {megabytes:.0} MB, a seventh of them with '{NEEDLE}', warm", self.args.lines),
        );
        let engine = self.engine()?;
        for (name, options, command, aim) in [
            ("lines", "lines", format!("grep -c '{NEEDLE}' lines.log"), "at least 0.67"),
            ("occurrences", "occurrences", format!("grep -o '{NEEDLE}' lines.log | wc -l"), "at least 1"),
        ] {
            let sql = format!(
                "SELECT sequence_count(line, '{NEEDLE}', '{options}') FROM read_text('{}')",
                file.display()
            );
            let (mut own, mut other) = (Vec::new(), Vec::new());
            for _ in 0..self.runs {
                let started = self.world.clock.monotonic();
                let answer = one_number(&engine, &sql).await?;
                own.push(self.seconds_since(started));
                let (found, took) = self.shell(&command)?;
                ensure!(found == answer.to_string(), "{answer} {name}, and {found} by {command}");
                other.push(took);
            }
            let own = median(own);
            self.report.figure(format!("{name} with a sequence"), megabytes / own, "MB/s");
            self.report.aimed(format!("{name}: speed / grep"), median(other) / own, "", aim);
        }
        engine.close().await?;
        Ok(())
    }

    fn engine(&self) -> Result<Engine> {
        let options = EngineOptions {
            workers: self.world.tasks.parallelism(),
            step_rows_max: 1 << 20,
            step_bytes_max: 64 << 20,
            ..EngineOptions::in_memory()
        };
        Ok(Engine::open(self.world.clone(), options, Arc::new(NoConnectors))?)
    }

    async fn programs(&mut self) -> Result<()> {
        for (name, text) in [("map.py", MAP), ("reduce.py", REDUCE)] {
            let path = self.path(name);
            File::create(&path)?.write_all(text.as_bytes())?;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
        }
        let lines = self.args.lines / 8;
        self.shell(&format!("head -n {lines} lines.log > words.txt"))?;
        let slots = self.world.tasks.parallelism();
        self.report
            .setup("programs", format!("word count in Python over {lines} lines, {slots} tasks at a time"));
        let (mut own, mut other) = (Vec::new(), Vec::new());
        for nth in 0..self.runs {
            let place = |name: &str| Location::parse(&self.path(name).to_string_lossy());
            let program = |name: &str| Program::new(vec![self.path(name).to_string_lossy().into_owned()]);
            let output = format!("out-{nth}");
            let (inputs, output_at) = (vec![place("words.txt")?], place(&output)?);
            let mut spec = JobSpec::new(program("map.py")?, inputs, output_at, self.path("work"), slots);
            spec.reducer = Some(program("reduce.py")?);
            let started = self.world.clock.monotonic();
            headwater_mapreduce::run(&self.world, spec, Arc::new(Progress::default())).await?;
            own.push(self.seconds_since(started));
            let pipeline = "cat words.txt | ./map.py | LC_ALL=C sort | ./reduce.py > piped";
            other.push(self.shell(pipeline)?.1);
            let differs = format!("cat {output}/part-* | LC_ALL=C sort | cmp - <(LC_ALL=C sort piped)");
            self.shell(&differs).context("both say the same")?;
        }
        let ratio = median(other) / median(own);
        self.report.aimed("MapReduce: speed / a pipeline with sort", ratio, "", "at least 1");
        Ok(())
    }
}

fn made_up_events(events: u32) -> Result<RecordBatch> {
    let mut noise = Noise(1);
    let mut column = |bound| -> ArrayRef {
        Arc::new(UInt32Array::from_iter_values((0..events).map(|_| noise.below(bound))))
    };
    // Of one of them hardly two events are of one moment: their order is undefined in ClickHouse.
    let columns = [("who", column(events / EVENTS_EACH)), ("ts", column(1_000_000_000)), ("e", column(8))];
    Ok(RecordBatch::try_from_iter(columns)?)
}

fn write_lines(file: &Path, lines: u32) -> Result<()> {
    const WORDS: [&str; 7] = ["session", "opened", "for", "unit", "closed", NEEDLE, "timeout"];
    let (mut noise, mut into) = (Noise(2), BufWriter::with_capacity(1 << 20, File::create(file)?));
    for line in 0..lines {
        write!(into, "2026-03-01T10:00:{:02}Z host{} app[{line}]: ", line % 60, noise.below(500))?;
        for _ in 0..8 {
            // One in seven lines has the sequence, now and then twice.
            let word = noise.below(7 * 52);
            let word = if word < 7 { 5 } else { [0, 1, 2, 3, 4, 6][word as usize % 6] };
            write!(into, "{} ", WORDS[word])?;
        }
        writeln!(into, "id={}", noise.below(1_000_000))?;
    }
    Ok(into.flush()?)
}

async fn one_number(engine: &Engine, sql: &str) -> Result<i64> {
    for answer in engine.execute(sql).await? {
        if let Answer::Rows(rows) = answer {
            let rows: Vec<RecordBatch> = rows.try_collect().await?;
            return Ok(rows[0].column(0).as_primitive::<Int64Type>().value(0));
        }
    }
    anyhow::bail!("no rows: {sql}")
}

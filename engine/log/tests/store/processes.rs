//! Real processes: one is killed while it appends, one finds the directory taken.
//!
//! The other process is this test binary again, told by an environment variable what to do.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use headwater_core::{Epoch, ProducerId, ShardId, StreamName, World};
use headwater_log::{
    Append, DiskLog, DiskLogOptions, Durability, Log, LogError, Producer, ReadSpec, StreamSpec,
};

use super::script::{read, rows, schema};

const DIRECTORY: &str = "HEADWATER_TEST_DIRECTORY";

fn open(dir: &Path) -> Result<Arc<DiskLog>, LogError> {
    let options = DiskLogOptions { segment_bytes: 64 << 10, ..DiskLogOptions::default() };
    DiskLog::open(World::real(), dir, options)
}

/// This binary again, running one of the tests below in a directory.
fn child(test: &str, dir: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(DIRECTORY, dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The part of the process that is killed: appends until then, and writes each acknowledged number to its output.
#[test]
fn appends_until_killed() {
    let Some(dir) = std::env::var_os(DIRECTORY) else { return };
    let log = open(Path::new(&dir)).unwrap();
    for (name, durability) in [("disk", Durability::Disk), ("process", Durability::Process)] {
        if log.stream_named(name).is_err() {
            let spec = StreamSpec::new(StreamName::new(name).unwrap(), schema(false));
            log.create_stream(StreamSpec { shards: 2, durability, ..spec }).unwrap();
        }
    }
    let (disk, process) = (log.stream_named("disk").unwrap().id, log.stream_named("process").unwrap().id);
    let start = log.bounds(disk).unwrap()[0].next.0 as i64;
    for number in start.. {
        let producer = Producer { id: ProducerId(1), epoch: Epoch(0), sequence: number as u64 };
        let one = |stream, shard| Append {
            producer: Some(producer),
            ..Append::new(stream, ShardId(shard), rows(number..number + 1, false))
        };
        let streams: &[_] = if number % 3 == 0 { &[disk, process] } else { &[disk] };
        let group = streams.iter().flat_map(|stream| [one(*stream, 0), one(*stream, 1)]).collect();
        let alone = Append::new(process, ShardId(0), rows(0..0, false));
        log.append(vec![alone]).unwrap();
        log.append(group).unwrap();
        println!("acknowledged {number}");
        std::io::stdout().flush().unwrap();
    }
}

#[test]
fn a_killed_process_loses_nothing_that_was_acknowledged() {
    if std::env::var_os(DIRECTORY).is_some() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = None;
    for appends in [1, 37, 150, 400] {
        let mut child = child("processes::appends_until_killed", dir.path());
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut numbers = lines.map_while(Result::ok).filter_map(|line| {
            line.split_once("acknowledged ").map(|(_, number)| number.parse::<i64>().unwrap())
        });
        acknowledged = numbers.by_ref().take(appends).last();
        child.kill().unwrap();
        // What it had written before it died counts as well.
        acknowledged = numbers.last().or(acknowledged);
        child.wait().unwrap();

        let log = open(dir.path()).unwrap();
        let stream = log.stream_named("disk").unwrap().id;
        let bounds = log.bounds(stream).unwrap();
        assert_eq!(bounds[0], bounds[1], "a group is there as a whole or not at all");
        assert!(bounds[0].next.0 as i64 > acknowledged.unwrap(), "none is lost");
        for shard in 0..2 {
            let values = read(&*log, ReadSpec::all(stream, ShardId(shard))).unwrap();
            assert!(values.into_iter().eq(0..bounds[0].next.0 as i64), "none is lost, none is there twice");
        }
        let stream = log.stream_named("process").unwrap().id;
        let thirds = (0..bounds[0].next.0 as i64).filter(|number| number % 3 == 0);
        assert!(read(&*log, ReadSpec::all(stream, ShardId(1))).unwrap().into_iter().eq(thirds));
    }
    assert!(acknowledged.unwrap() >= 587);
}

/// The part of the process that comes second.
#[test]
fn finds_the_directory_taken() {
    let Some(dir) = std::env::var_os(DIRECTORY) else { return };
    match open(Path::new(&dir)) {
        Err(error @ LogError::Locked { .. }) => println!("refused: {error}"),
        Err(error) => println!("another error: {error}"),
        Ok(_) => println!("opened"),
    }
}

#[test]
fn a_second_process_is_refused() {
    if std::env::var_os(DIRECTORY).is_some() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let says = || {
        let output = child("processes::finds_the_directory_taken", dir.path()).wait_with_output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let log = open(dir.path()).unwrap();
    assert!(says().contains("refused: the data directory"));
    assert!(matches!(open(dir.path()), Err(LogError::Locked { .. })), "nor twice by the same process");
    log.close().unwrap();
    assert!(says().contains("opened"), "a closed log gives the directory back");
    drop(log);
    drop(open(dir.path()).unwrap());
    drop(open(dir.path()).unwrap());
}

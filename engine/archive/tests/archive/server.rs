//! Archiving to a real S3-compatible server: conditional puts, uploads in parts, and the server killed while one is under way.
//!
//! `tests/run` starts a server and names it in `HEADWATER_TEST_S3`; the test that kills one starts its own with the program that
//! `HEADWATER_TEST_WEED` names. Without them there is nothing to test against, and the tests say so.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray};
use headwater_archive::{Archive, Codec, History, Place, Settings, compact, verify};
use headwater_core::{ShardId, StreamName, World};
use headwater_log::{Append, DiskLog, DiskLogOptions, Log, StreamInfo, StreamSpec};

use super::bench_log::{every, lying, read_shard, schema};

/// A log on this machine's disk with one shard of rows that do not compress well.
fn log(dir: &std::path::Path, rows: i64) -> (Arc<dyn Log>, Arc<StreamInfo>) {
    let log: Arc<dyn Log> = DiskLog::open(World::real(), dir, DiskLogOptions::default()).unwrap();
    let spec = StreamSpec {
        event_time: Some("ts".into()),
        ..StreamSpec::new(StreamName::new("readings").unwrap(), schema())
    };
    let info = Arc::new(log.create_stream(spec).unwrap());
    fill(&*log, &info, 0..rows);
    (log, info)
}

fn fill(log: &dyn Log, info: &StreamInfo, rows: std::ops::Range<i64>) {
    for from in rows.clone().step_by(10_000) {
        let numbers = || from..(from + 10_000).min(rows.end);
        let scattered = |n: i64| n.wrapping_mul(0x9E37_79B9_7F4A_7C15_u64 as i64);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(
                numbers().map(|n| format!("{:016x}{:016x}", scattered(n), scattered(!n))),
            )),
            Arc::new(TimestampMillisecondArray::from_iter_values(numbers().map(|n| n * 1000))),
            Arc::new(Int64Array::from_iter_values(numbers())),
        ];
        let batch = RecordBatch::try_new(schema(), columns).unwrap();
        log.append(vec![Append::new(info.id, ShardId(0), batch)]).unwrap();
    }
}

fn wait_for(what: &str, mut reached: impl FnMut() -> bool) {
    for _ in 0..9_000 {
        if reached() {
            return;
        }
        std::thread::yield_now();
        let pause = Command::new("sleep").arg("0.02").status();
        assert!(pause.is_ok());
    }
    panic!("{what} does not come");
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

#[test]
fn rows_go_to_a_bucket_and_come_back() {
    if std::env::var("HEADWATER_TEST_S3").is_err() {
        println!("left out: HEADWATER_TEST_S3 names no server");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (log, info) = log(dir.path(), 20_000);
    let runtime = runtime();
    let world = World::real();
    let address = format!("s3://headwater-tests/archive-{}", std::process::id());
    let place = Place::open(&world, &address).unwrap();
    // Two at once: what one has put the other must not put again.
    let settings = Settings { part_bytes: 5 << 20, ..every(3_000) };
    let start = |log: &Arc<dyn Log>| {
        let (log, info) = (Arc::clone(log), Arc::clone(&info));
        Archive::start(&world, log, info, place.clone(), settings.clone(), runtime.handle().clone())
    };
    let (one, other) = (start(&log), start(&log));
    wait_for("the archive", || one.status().rows == 20_000 && other.manifest().is_ok());
    one.stop();
    other.stop();
    let verified = runtime.block_on(verify(&world, &place)).unwrap();
    assert!(verified.problems.is_empty() && verified.leftovers.is_empty(), "{verified:?}");
    assert_eq!((verified.rows, verified.unfinished.len()), (20_000, 0));
    assert_eq!(
        runtime.block_on(async {
            tokio::task::spawn_blocking({
                let place = place.clone();
                move || lying(&place)[&0].len()
            })
            .await
            .unwrap()
        }),
        20_000
    );
    let done = runtime.block_on(compact(&world, &place, 64 << 20, Duration::ZERO)).unwrap();
    assert_eq!(done.files_after, 1, "{done:?}");
    let history = History::new(Arc::clone(&log));
    history.attach(start(&log));
    log.trim(info.id, ShardId(0), headwater_core::Sequence(20_000)).unwrap();
    assert_eq!(read_shard(&*history, &info, 0).len(), 20_000);
}

#[test]
fn an_archive_outlives_the_data_directory() {
    if std::env::var("HEADWATER_TEST_S3").is_err() {
        println!("left out: HEADWATER_TEST_S3 names no server");
        return;
    }
    let runtime = runtime();
    let world = World::real();
    let address = format!("s3://headwater-tests/attach-{}", std::process::id());
    let place = Place::open(&world, &address).unwrap();
    let settings = every(3_000);
    let start = |log: &Arc<dyn Log>, info: &Arc<StreamInfo>| {
        let (log, info) = (Arc::clone(log), Arc::clone(info));
        Archive::start(&world, log, info, place.clone(), settings.clone(), runtime.handle().clone())
    };
    {
        let dir = tempfile::tempdir().unwrap();
        let (log, info) = log(dir.path(), 10_000);
        let archive = start(&log, &info);
        wait_for("the archive", || archive.status().rows == 10_000);
        archive.stop();
    }
    let dir = tempfile::tempdir().unwrap();
    let (log, info) = log(dir.path(), 0);
    let claim =
        |settings: &Settings| Archive::claim(&world, &log, &info, &place, settings, runtime.handle().clone());
    let refused = claim(&settings).unwrap_err().to_string();
    assert!(refused.contains("attach = 'true'"), "{refused}");
    claim(&Settings { attach: true, ..settings.clone() }).unwrap();
    fill(&*log, &info, 10_000..12_000);
    let history = History::new(Arc::clone(&log));
    let archive = start(&log, &info);
    history.attach(Arc::clone(&archive));
    wait_for("the rest", || archive.status().rows == 12_000);
    let read = read_shard(&*history, &info, 0);
    assert!(read.iter().copied().eq((0..12_000).map(|n| (n, n as i64))), "{} rows", read.len());
    archive.stop();
    let verified = runtime.block_on(verify(&world, &place)).unwrap();
    assert!(verified.problems.is_empty() && verified.leftovers.is_empty(), "{verified:?}");
    assert_eq!(verified.rows, 12_000);
}

/// A server of our own, which can be killed.
struct Server {
    weed: String,
    dir: tempfile::TempDir,
    ports: [u16; 4],
    child: Option<Child>,
}

impl Server {
    fn new(weed: String) -> Self {
        let config = r#"{"identities": [{"name": "tests", "credentials": [{"accessKey": "tests", "secretKey": "tests-secret"}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"]}]}"#;
        let dir = tempfile::tempdir().unwrap();
        #[expect(clippy::disallowed_methods, reason = "the configuration of a server that a test starts")]
        std::fs::write(dir.path().join("s3.json"), config).unwrap();
        std::fs::create_dir(dir.path().join("data")).unwrap();
        let mut server = Self { weed, dir, ports: std::array::from_fn(|_| free_port()), child: None };
        server.start();
        server
    }

    fn start(&mut self) {
        let [s3, master, volume, filer] = self.ports;
        let log = std::fs::File::create(self.dir.path().join("log")).unwrap();
        let child = Command::new(&self.weed)
            .arg("server")
            // What else it would serve has fixed ports, which another server may have.
            .args(["-s3.port.iceberg=0", "-s3.port.lance=0"])
            .args([
                "-ip=127.0.0.1",
                "-ip.bind=127.0.0.1",
                "-s3",
                "-master.telemetry=false",
                "-master.volumeSizeLimitMB=64",
                "-volume.max=8",
            ])
            .arg(format!("-dir={}", self.dir.path().join("data").display()))
            .arg(format!("-s3.port={s3}"))
            .arg(format!("-s3.config={}", self.dir.path().join("s3.json").display()))
            .arg(format!("-master.port={master}"))
            .arg(format!("-volume.port={volume}"))
            .arg(format!("-filer.port={filer}"))
            .stdout(Stdio::from(log.try_clone().unwrap()))
            .stderr(Stdio::from(log))
            .spawn()
            .unwrap();
        self.child = Some(child);
    }

    /// Kills it as a loss of power would, as far as the process goes.
    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    fn make_bucket(&self) {
        wait_for("the server", || {
            let ask = "echo s3.bucket.create -name kills | timeout 20 \"$0\" shell -master=127.0.0.1:$1 2>&1";
            let said = Command::new("sh").args(["-c", ask, &self.weed, &self.ports[1].to_string()]).output();
            let said = said.unwrap();
            let said = String::from_utf8_lossy(&said.stdout);
            (said.contains("created bucket") || said.contains("exist"))
                && std::net::TcpStream::connect(("127.0.0.1", self.ports[0])).is_ok()
        });
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port that is free together with the one 10,000 above it, which SeaweedFS takes for gRPC; another one with each call. Both lie below
/// those that the system gives to connections (Linux: from 32,768 on), so that none of them takes one before the server does, or while it
/// is down.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let begin = u16::try_from(std::process::id() % 10_000 * 97 % 10_000).unwrap();
    let is_free = |port| std::net::TcpListener::bind(("127.0.0.1", port)).is_ok();
    loop {
        let low = 11_000 + (begin + NEXT.fetch_add(1, Ordering::Relaxed) % 10_000) % 10_000;
        if is_free(low) && is_free(low + 10_000) {
            return low;
        }
    }
}

#[test]
fn a_server_killed_during_an_upload() {
    let Ok(weed) = std::env::var("HEADWATER_TEST_WEED") else {
        println!("left out: HEADWATER_TEST_WEED names no program");
        return;
    };
    let mut server = Server::new(weed);
    server.make_bucket();
    let dir = tempfile::tempdir().unwrap();
    // About 20 MB in files of four parts.
    let (log, info) = log(dir.path(), 300_000);
    let runtime = runtime();
    let world = World::real();
    let s3 = object_store::aws::AmazonS3Builder::new()
        .with_endpoint(format!("http://127.0.0.1:{}", server.ports[0]))
        .with_allow_http(true)
        .with_region("us-east-1")
        .with_bucket_name("kills")
        .with_access_key_id("tests")
        .with_secret_access_key("tests-secret")
        .with_retry(object_store::RetryConfig { max_retries: 0, ..Default::default() })
        .build()
        .unwrap();
    // Each put takes so long that the server can be killed between two.
    let slow = object_store::throttle::ThrottleConfig {
        wait_put_per_call: Duration::from_millis(1_200),
        ..Default::default()
    };
    let s3 = Arc::new(object_store::throttle::ThrottledStore::new(s3, slow));
    let place =
        Place::new(Arc::clone(&s3) as _, Some(s3), object_store::path::Path::from("x"), "s3://kills/x");
    let settings = Settings { part_bytes: 5 << 20, codec: Codec::None, ..every(300_000) };
    let archive = Archive::start(
        &world,
        Arc::clone(&log),
        Arc::clone(&info),
        place.clone(),
        settings,
        runtime.handle().clone(),
    );
    wait_for("a part", || archive.status().upload.is_some_and(|(_, done, _)| done >= 5 << 20));
    server.kill();
    wait_for("an error", || archive.status().retries > 0);
    assert_eq!(archive.status().state, "retrying");
    assert_eq!(archive.status().rows, 0, "nothing is committed that is not there");
    server.start();
    wait_for("the archive", || archive.status().rows == 300_000);
    let status = archive.status();
    assert!(status.parts_resumed > 0 && status.state == "running", "{status:?}");
    archive.stop();
    let verified = runtime.block_on(verify(&world, &place)).unwrap();
    assert!(verified.problems.is_empty() && verified.leftovers.is_empty(), "{verified:?}");
    assert_eq!((verified.rows, verified.unfinished.len()), (300_000, 0));
}

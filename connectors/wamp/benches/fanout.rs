//! How fast events go from one publisher to one subscriber, and to a hundred; beside Crossbar.io on the same cores, if it is there.
//!
//!     cargo bench -p headwater-wamp
//!
//! The load is the same for both: RawSocket, JSON, one argument of 100 letters; publishers and subscribers are tasks of this process. Our
//! router has threads of its own, as Crossbar.io has: otherwise its writes and the subscribers' reads would wait for each other.
//! Subscribers cost as little as they can, so that routers are what is measured: they take what has come with one call and count the
//! events in it.
//! Prints the set-up, one line of JSON for each router and case with the medians of several runs, and one with the ratios.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench prints, and fails by panicking")]

#[path = "../tests/connector/crossbar.rs"]
#[allow(dead_code, reason = "what others need of it")]
mod crossbar;
#[path = "../../mqtt/tests/clients/found.rs"]
#[allow(dead_code, reason = "what others need of it")]
mod found;
#[path = "../tests/load/peer.rs"]
#[allow(dead_code, reason = "what others need of it")]
mod peer;
#[path = "../../kafka/tests/kafka/ports.rs"]
mod ports;

use std::sync::Arc;
use std::time::Duration;

use headwater_core::World;
use headwater_wamp::auth::AuthOptions;
use headwater_wamp::net::{Listener, Running};
use headwater_wamp::realm::{MailboxOptions, RealmOptions};
use headwater_wamp::router::{RealmSetup, Router, RouterOptions};

use peer::Peer;

const PADDING: usize = 100;

const RUNS: usize = 5;

/// How an event begins.
const EVENT: &[u8] = b"[36,";

/// How many subscribers there are, and how many events each hears.
const CASES: [(usize, usize); 2] = [(1, 50_000), (100, 5_000)];

/// How many events a second are published while delays are measured: far below what either router can do.
const PACE: u32 = 500;

fn main() {
    let threads =
        || tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (routers, clients) = (threads(), threads());
    let cores = std::thread::available_parallelism().unwrap();
    println!(
        "{cores} cores, debug assertions {}, {PADDING} letters an event, {RUNS} runs",
        cfg!(debug_assertions)
    );
    let (port, running) = routers.block_on(start());
    let ours = clients.block_on(measure_all("headwater", port));
    routers.block_on(running.stop());
    let Some(crossbar) = clients.block_on(crossbar::Crossbar::start(None)) else { return };
    let theirs = clients.block_on(measure_all("crossbar 26.10.1", crossbar.rawsocket));
    for ((ours, theirs), (subscribers, _)) in ours.iter().zip(&theirs).zip(CASES) {
        println!(
            r#"{{"subscribers":{subscribers},"deliveries_ratio":{:.1},"p50_ratio":{:.2},"p99_ratio":{:.2}}}"#,
            ours.rate / theirs.rate,
            ours.p50 / theirs.p50,
            ours.p99 / theirs.p99,
        );
    }
}

/// Starts our router.
async fn start() -> (u16, Running) {
    let setup = RealmSetup { options: RealmOptions::new("realm1"), auth: AuthOptions::open() };
    // Nothing may be skipped: what is measured is what arrives.
    let mailbox =
        MailboxOptions { bytes_max: 1 << 30, messages_max: 10_000_000, ..MailboxOptions::default() };
    let options = RouterOptions { mailbox, ..RouterOptions::new(vec![setup]) };
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), None).await.unwrap();
    let port = listener.address().unwrap().port();
    (port, listener.serve(Router::new(World::real(), options)))
}

/// What one router does in one case.
struct Measured {
    /// Deliveries a second.
    rate: f64,
    /// Of the way from publisher to subscriber, in microseconds.
    p50: f64,
    p99: f64,
}

async fn measure_all(router: &str, port: u16) -> Vec<Measured> {
    let mut all = Vec::new();
    for (subscribers, events) in CASES {
        let (mut rates, mut p50s, mut p99s) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..RUNS {
            rates.push(throughput(port, subscribers, events).await);
            let (p50, p99) = delays(port, subscribers, 1_000).await;
            p50s.push(p50 as f64);
            p99s.push(p99 as f64);
        }
        let measured = Measured { rate: median(rates), p50: median(p50s), p99: median(p99s) };
        let Measured { rate, p50, p99 } = &measured;
        println!(
            r#"{{"router":"{router}","subscribers":{subscribers},"deliveries_per_second":{rate:.0},"p50_us":{p50},"p99_us":{p99}}}"#
        );
        all.push(measured);
    }
    all
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

async fn subscribe(port: u16, count: usize) -> Vec<Peer> {
    let mut peers = Vec::new();
    for _ in 0..count {
        let mut peer = Peer::join(port).await;
        peer.say(r#"[32,1,{},"com.bench"]"#).await;
        assert!(peer.hear().await.starts_with("[33,1,"));
        peers.push(peer);
    }
    peers
}

/// Deliveries a second, as fast as they go.
async fn throughput(port: u16, subscribers: usize, events: usize) -> f64 {
    let world = World::real();
    let peers = subscribe(port, subscribers).await;
    let mut publisher = Peer::join(port).await;
    let filler = "x".repeat(PADDING);
    let begin = world.clock.monotonic();
    let readers: Vec<_> = peers
        .into_iter()
        .map(|mut peer| {
            tokio::spawn(async move {
                for _ in 0..events {
                    peer.look(|event| assert!(event.starts_with(EVENT))).await;
                }
            })
        })
        .collect();
    for request in 1..=events {
        publisher.say(&format!(r#"[16,{request},{{}},"com.bench",["{filler}"]]"#)).await;
    }
    for reader in readers {
        reader.await.unwrap();
    }
    (events * subscribers) as f64 / (world.clock.monotonic() - begin).as_secs_f64()
}

/// The median and the 99th percentile of the way from publisher to subscriber, in microseconds, at an easy pace.
async fn delays(port: u16, subscribers: usize, events: u32) -> (u64, u64) {
    let world = World::real();
    let pace = Duration::from_secs(1) / (PACE / (subscribers as u32 / 10).max(1));
    let peers = subscribe(port, subscribers).await;
    let mut publisher = Peer::join(port).await;
    let clock = Arc::clone(&world.clock);
    let readers: Vec<_> = peers
        .into_iter()
        .map(|mut peer| {
            let clock = Arc::clone(&clock);
            tokio::spawn(async move {
                let mut delays = Vec::new();
                for _ in 0..events {
                    let event = peer.hear().await;
                    let sent =
                        event.rsplit('[').next().unwrap().trim_end_matches(']').parse::<u128>().unwrap();
                    delays.push((clock.monotonic().as_micros() - sent) as u64);
                }
                delays
            })
        })
        .collect();
    for request in 1..=events {
        tokio::time::sleep(pace).await;
        let now = clock.monotonic().as_micros();
        publisher.say(&format!(r#"[16,{request},{{}},"com.bench",[{now}]]"#)).await;
    }
    let mut all = Vec::new();
    for reader in readers {
        all.extend(reader.await.unwrap());
    }
    all.sort_unstable();
    (all[all.len() / 2], all[all.len() * 99 / 100])
}

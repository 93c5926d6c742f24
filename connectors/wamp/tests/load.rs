//! Many sessions, and slow ones, over real sockets.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "load/peer.rs"]
mod peer;

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use headwater_core::World;
use headwater_wamp::auth::AuthOptions;
use headwater_wamp::net::{Listener, Running};
use headwater_wamp::realm::{MailboxOptions, RealmOptions, WhenFull};
use headwater_wamp::router::{RealmSetup, Router, RouterOptions};
use tokio::time::timeout;

use peer::Peer;

async fn router(mailbox: MailboxOptions) -> (Running, u16) {
    let setup = RealmSetup { options: RealmOptions::new("realm1"), auth: AuthOptions::open() };
    let options = RouterOptions { mailbox, ..RouterOptions::new(vec![setup]) };
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), None).await.unwrap();
    let port = listener.address().unwrap().port();
    (listener.serve(Router::new(World::real(), options)), port)
}

/// How many bytes of this process are in memory.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4_096
}

const SESSIONS: usize = 10_000;

/// The port at which a child process of the test finds its parent's router.
const PORT: &str = "HEADWATER_TEST_IDLE_PORT";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_idle_sessions_fit() {
    // One process may not have so many sockets at both ends, so the clients are in another one.
    if let Ok(port) = std::env::var(PORT) {
        return idle_clients(port.parse().unwrap()).await;
    }
    let (running, port) = router(MailboxOptions::default()).await;
    let realm = running.service().realm("realm1").unwrap().clone();
    let sessions = || realm.with(|realm| realm.session_count());
    let mut publisher = Peer::join(port).await;
    let before = resident();
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "ten_thousand_idle_sessions_fit"]).env(PORT, port.to_string());
    let clients = tokio::task::spawn_blocking(move || child.output().unwrap());
    until(|| sessions() == SESSIONS).await;
    let bytes = (resident() - before) / SESSIONS as u64;
    println!("{bytes} bytes for an idle session with a subscription");
    assert!(bytes < 16_384, "{bytes} bytes for a session");

    publisher.say(r#"[48,1,{},"wamp.session.count"]"#).await;
    assert_eq!(publisher.hear().await, format!("[50,1,{{}},[{SESSIONS}]]"));
    // The last of them may have joined, and not subscribed yet.
    publisher.say(r#"[48,2,{},"wamp.subscription.lookup",["com.all"]]"#).await;
    let found = publisher.hear().await;
    let subscription = found.strip_prefix("[50,2,{},[").and_then(|rest| rest.strip_suffix("]]"));
    let subscription = subscription.unwrap_or_else(|| panic!("{found}"));
    let mut request = 3;
    loop {
        let ask = format!(r#"[48,{request},{{}},"wamp.subscription.count_subscribers",[{subscription}]]"#);
        publisher.say(&ask).await;
        let counted = publisher.hear().await;
        request += 1;
        if counted.ends_with(&format!(",[{}]]", SESSIONS - 1)) {
            break;
        }
        assert!(request < 10_000, "not all subscribe: {counted}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    publisher.say(&format!(r#"[16,{request},{{"acknowledge":true}},"com.all",["hello"]]"#)).await;
    assert!(publisher.hear().await.starts_with(&format!("[17,{request},")));
    let clients = clients.await.unwrap();
    assert!(clients.status.success(), "{}", String::from_utf8_lossy(&clients.stdout));
    // All are gone soon, and nothing of them is left.
    until(|| sessions() == 1).await;
    running.stop().await;
}

async fn until(mut holds: impl FnMut() -> bool) {
    for _ in 0..15_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it has not come to this in five minutes");
}

/// All sessions but one; each hears one event.
async fn idle_clients(port: u16) {
    let mut peers = Vec::with_capacity(SESSIONS);
    for _ in 1..SESSIONS {
        let mut peer = Peer::join(port).await;
        peer.say(r#"[32,1,{},"com.all"]"#).await;
        assert!(peer.hear().await.starts_with("[33,1,"));
        peers.push(peer);
    }
    for peer in &mut peers {
        assert!(peer.hear().await.ends_with(r#",["hello"]]"#));
    }
}

/// Publishes much to one who reads and one who does not; answers both, after the first has all.
async fn flood(when_full: WhenFull) -> (Running, Peer, usize) {
    const EVENTS: usize = 20_000;
    let (running, port) =
        router(MailboxOptions { bytes_max: 1 << 20, messages_max: 1_000_000, when_full }).await;
    let (mut reads, mut sleeps, mut publishes) =
        (Peer::join(port).await, Peer::join(port).await, Peer::join(port).await);
    for subscriber in [&mut reads, &mut sleeps] {
        subscriber.say(r#"[32,1,{},"com.flood"]"#).await;
        assert!(subscriber.hear().await.starts_with("[33,1,"));
    }
    let filler = "x".repeat(1_000);
    let read = Arc::new(AtomicUsize::new(0));
    let has_read = Arc::clone(&read);
    let reader = tokio::spawn(async move {
        for number in 0..EVENTS {
            let event = reads.hear().await;
            assert!(event.contains(&format!("[{number},")), "event {number} is {}", &event[..80]);
            has_read.store(number, Ordering::Relaxed);
        }
    });
    for number in 0..EVENTS {
        // The one who reads is never far behind.
        while number > read.load(Ordering::Relaxed) + 500 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let acknowledge = number % 100 == 99;
        let request = number + 1;
        publishes
            .say(&format!(
                r#"[16,{request},{{"acknowledge":{acknowledge}}},"com.flood",[{number},"{filler}"]]"#
            ))
            .await;
        if acknowledge {
            let answer = publishes.hear().await;
            assert!(answer.starts_with("[17,"), "{answer}");
        }
    }
    timeout(Duration::from_secs(300), reader).await.unwrap().unwrap();
    (running, sleeps, EVENTS)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_subscriber_misses_events_and_others_do_not() {
    let (running, mut sleeps, events) = flood(WhenFull::Skip).await;
    let mut heard = 0;
    while let Ok(event) = timeout(Duration::from_secs(1), sleeps.hear()).await {
        assert!(event.starts_with("[36,"), "{event}");
        heard += 1;
    }
    // It goes on as if nothing had been, behind what was still under way.
    sleeps.say(r#"[48,2,{},"wamp.session.count"]"#).await;
    let answer = loop {
        let message = sleeps.hear().await;
        if !message.starts_with("[36,") {
            break message;
        }
        heard += 1;
    };
    assert!(answer.starts_with("[50,2,{},["), "{answer}");
    assert!(0 < heard && heard < events, "{heard} of {events}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_subscriber_is_cut_off_where_the_policy_says_so() {
    let (running, mut sleeps, _) = flood(WhenFull::Cut).await;
    assert!(timeout(Duration::from_secs(120), sleeps.ends()).await.is_ok(), "it is cut off");
    running.stop().await;
}

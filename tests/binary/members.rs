//! Members of a consumer group that die without leaving it, as a process does that is killed: another one takes over once the group has
//! given them up.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::kafka::Kafka;
use crate::process::{PATIENCE, Process, Server, headwater, until};

/// A topic that the members of a group share.
struct Shared {
    kafka: Kafka,
    topic: String,
    sent: u64,
}

impl Shared {
    fn serve(&self, data: &Path) -> Server {
        let arguments = ["serve", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()];
        Server::of(Process::spawn(headwater(&arguments)))
    }

    /// Lets a server be a member.
    async fn join(&self, server: &Server) {
        let sql = format!(
            "CREATE TABLE readings (n BIGINT, p INT METADATA FROM 'partition' VIRTUAL, at BIGINT METADATA FROM 'offset' VIRTUAL)
             WITH (connector = 'kafka', type = 'source', topic = '{0}', format = 'json', 'scan.assignment' = 'group',
                   'properties.bootstrap.servers' = '{1}', 'properties.group.id' = '{0}',
                   'properties.session.timeout.ms' = '6000', 'properties.heartbeat.interval.ms' = '500')",
            self.topic, self.kafka.address
        );
        server.sql(&sql).await;
    }

    /// Sends so many more messages, to all partitions.
    fn send(&mut self, count: u64) {
        let numbers = self.sent..self.sent + count;
        self.sent += count;
        send(&self.kafka, &self.topic, numbers);
    }

    /// Sends a few at a time until both have some of them.
    async fn send_until_both_share(&mut self, members: [&Server; 2]) {
        let count = async |server: &Server| rows(server).await.len();
        let before = [count(members[0]).await, count(members[1]).await];
        let share = async {
            loop {
                self.send(100);
                self.until_committed().await;
                if count(members[0]).await > before[0] && count(members[1]).await > before[1] {
                    break;
                }
            }
        };
        tokio::time::timeout(PATIENCE, share).await.expect("both have a share");
    }

    /// Waits until the group has committed all that there is, as Kafka's own command says.
    async fn until_committed(&self) {
        let (class, arguments) = (
            "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
            ["--describe", "--group", &self.topic],
        );
        let described = || {
            let output = self.kafka.java(class, &arguments).output().unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            let lines: Vec<Vec<_>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
            let lag = lines.iter().find_map(|line| line.iter().position(|name| *name == "LAG"));
            let of_group = lines.iter().filter(|line| line.first() == Some(&&*self.topic));
            let lags: Vec<_> = of_group.filter_map(|line| line.get(lag?).copied()).collect();
            if lags.len() == 3 && lags.iter().all(|lag| *lag == "0") { Ok(()) } else { Err(text) }
        };
        until("the group has committed everything", described).await;
    }
}

fn send(kafka: &Kafka, topic: &str, numbers: std::ops::Range<u64>) {
    let lines: String = numbers.map(|n| format!("{}|{{\"n\":{n}}}\n", n % 64)).collect();
    kafka.produce_with(topic, &["--property", "parse.key=true", "--property", "key.separator=|"], &lines);
}

/// What a member has in its log, each once: where each row comes from, by its number.
async fn rows(server: &Server) -> BTreeMap<u64, (u64, u64)> {
    let rows = server.rows("SELECT n, p, at FROM readings").await;
    let number = |row: &Value, name: &str| row[name].as_u64().unwrap();
    let found: BTreeMap<_, _> =
        rows.iter().map(|row| (number(row, "n"), (number(row, "p"), number(row, "at")))).collect();
    assert_eq!(found.len(), rows.len(), "a log has no row twice");
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_member_leaves_another_takes_over_and_nothing_is_lost_or_there_twice() {
    let Some(kafka) = Kafka::of() else { return };
    let mut shared = Shared { kafka, topic: format!("members-{}", std::process::id()), sent: 0 };
    let dirs = [(); 2].map(|()| tempfile::tempdir().unwrap());
    shared.send(100);
    let [first, second] = dirs.each_ref().map(|dir| shared.serve(dir.path()));
    shared.join(&first).await;
    shared.join(&second).await;
    shared.send_until_both_share([&first, &second]).await;

    // It dies with all that it has read committed.
    let kept = rows(&first).await;
    first.kill();
    shared.send(500);
    let least = shared.sent - kept.len() as u64;
    second.wait_for_count("SELECT COUNT(*) AS n FROM readings", least).await;
    let taken = rows(&second).await;
    assert_eq!(taken.len() as u64, least);
    assert!((0..shared.sent).all(|n| kept.contains_key(&n) != taken.contains_key(&n)));

    // It comes back, and dies in the middle of its work.
    let first = shared.serve(dirs[0].path());
    assert_eq!(rows(&first).await, kept);
    shared.send_until_both_share([&first, &second]).await;
    let before = rows(&first).await.len() as u64;
    let numbers = shared.sent..shared.sent + 200_000;
    shared.sent = numbers.end;
    let (kafka, topic) = (shared.kafka.clone(), shared.topic.clone());
    let sending = tokio::task::spawn_blocking(move || send(&kafka, &topic, numbers));
    first.wait_for_count("SELECT COUNT(*) AS n FROM readings", before + 1).await;
    first.kill();
    sending.await.unwrap();
    shared.until_committed().await;

    let first = shared.serve(dirs[0].path());
    let (kept, taken) = (rows(&first).await, rows(&second).await);
    let lost: Vec<_> = (0..shared.sent).filter(|n| !kept.contains_key(n) && !taken.contains_key(n)).collect();
    assert!(lost.is_empty(), "{} rows are lost, from {:?} on", lost.len(), lost.first());
    // What was in its log and not yet committed to the group when it died the other one has, too: of each partition the last ones.
    let mut begin = BTreeMap::new();
    for (_, (partition, at)) in kept.iter().filter(|(n, _)| taken.contains_key(n)) {
        let first = begin.entry(*partition).or_insert(*at);
        *first = (*first).min(*at);
    }
    for (n, (partition, at)) in &kept {
        let is_behind = begin.get(partition).is_some_and(|begin| at >= begin);
        assert_eq!(taken.contains_key(n), is_behind, "{n} of partition {partition} at {at}");
    }

    // From then on each message has one place again.
    let before = shared.sent;
    shared.send_until_both_share([&first, &second]).await;
    let (kept, taken) = (rows(&first).await, rows(&second).await);
    assert!((before..shared.sent).all(|n| kept.contains_key(&n) != taken.contains_key(&n)));
    assert_eq!((first.terminate(), second.terminate()), (Some(0), Some(0)));
}

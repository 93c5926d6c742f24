//! What outlives the process: a broker is dropped as a kill leaves it, and another one takes in what was written down.

use headwater_core::World;
use tempfile::TempDir;

use super::*;
use crate::store::Store;

/// Brokers that follow one another on one disk.
struct Lives {
    dir: TempDir,
    store: Option<Store>,
}

impl Lives {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), store: None }
    }

    /// The next broker.
    fn next(&mut self) -> Arc<Broker> {
        self.next_for(&[])
    }

    /// The next broker, for recorders of these filters.
    fn next_for(&mut self, filters: &[&str]) -> Arc<Broker> {
        let (store, entries) = Store::open(&World::real(), self.dir.path()).unwrap();
        self.store = Some(store);
        let broker = broker();
        filters.iter().for_each(|filter| broker.record(filter, filter));
        broker.restore(&entries).unwrap();
        broker
    }

    /// Writes down what has changed.
    fn write(&mut self, broker: &Broker) {
        let (changes, upto) = broker.changes();
        self.store.as_mut().unwrap().append(&changes).unwrap();
        broker.written(upto);
    }

    /// What a client hears before and after changes are written down.
    #[track_caller]
    fn hears(&mut self, talk: &Talk, at_once: &[&str], then: &[&str]) {
        talk.hears(at_once);
        self.write(&talk.broker);
        talk.hears(then);
    }
}

fn released(number: u16) -> Packet {
    Packet::Pubrel(Release::success(id(number)))
}

#[test]
fn sessions_and_what_waits_for_them_outlive_the_process() {
    let mut lives = Lives::new();
    let broker = lives.next();
    let (a, p) = (Talk::lasting(&broker, "a"), Talk::fresh(&broker, "p"));
    // Nothing is said that rests on what may still be lost.
    lives.hears(&a, &[], &["CONNACK new"]);
    a.subscribes("x/#", 2);
    lives.hears(&a, &[], &["SUBACK GrantedQos2"]);
    p.publishes(1, 1, "x/1", "one");
    lives.hears(&p, &[], &["PUBACK 1 Success"]);
    lives.hears(&a, &[], &["PUBLISH 1 x/1=one qos 1"]);
    p.publishes(2, 2, "x/2", "two").says(released(2));
    lives.hears(&p, &[], &["PUBREC 2 Success", "PUBCOMP 2 Success"]);
    lives.hears(&a, &[], &["PUBLISH 2 x/2=two qos 2"]);
    a.says(Packet::Pubrec(Acknowledgement::success(id(2))));
    lives.hears(&a, &[], &["PUBREL 2 Success"]);
    // What nobody keeps waits for nothing.
    p.publishes(3, 1, "y", "nobody's").hears(&["PUBACK 3 Success"]);
    a.lost();
    p.publishes(4, 1, "x/3 kept", "three").publishes(5, 0, "x/4", "four");
    lives.hears(&p, &[], &["PUBACK 4 Success"]);

    // It hears again what it may have missed, then what came while it was away.
    let broker = lives.next();
    let a = Talk::lasting(&broker, "a");
    let again = ["CONNACK known", "PUBLISH 1 x/1=one qos 1 again", "PUBREL 2 Success"];
    lives.hears(&a, &[], &again);
    lives.hears(&a, &[], &["PUBLISH 3 x/3=three qos 1"]);
    for number in [1, 3] {
        a.says(Packet::Puback(Acknowledgement::success(id(number))));
    }
    a.says(Packet::Pubcomp(Release::success(id(2))));
    lives.hears(&a, &[], &[]);
    let b = Talk::fresh(&broker, "b");
    b.subscribes("x/+", 1).hears(&["SUBACK GrantedQos1", "PUBLISH 1 x/3=three qos 1 kept"]);

    // All of that is over, but for the subscription.
    let broker = lives.next();
    let (a, p) = (Talk::lasting(&broker, "a"), Talk::fresh(&broker, "p"));
    lives.hears(&a, &[], &["CONNACK known"]);
    p.publishes(1, 1, "x/5", "five");
    lives.hears(&a, &[], &["PUBLISH 1 x/5=five qos 1"]);
    a.says(Packet::Unsubscribe(Unsubscribe { packet_id: id(9), filters: vec!["x/#".into()] }));
    lives.hears(&a, &[], &["UNSUBACK Success"]);
    let broker = lives.next();
    let a = Talk::lasting(&broker, "a");
    lives.hears(&a, &[], &["CONNACK known", "PUBLISH 1 x/5=five qos 1 again"]);
    Talk::fresh(&broker, "p").publishes(1, 1, "x/6", "six").hears(&["PUBACK 1 Success"]);
}

#[test]
fn a_message_of_qos_2_is_taken_once_by_brokers_that_follow_one_another() {
    let mut lives = Lives::new();
    let broker = lives.next();
    let (a, b) = (Talk::lasting(&broker, "a"), Talk::lasting(&broker, "b"));
    b.subscribes("x", 0);
    a.publishes(7, 2, "x", "once");
    lives.hears(&a, &[], &["CONNACK new", "PUBREC 7 Success"]);
    let broker = lives.next();
    let (a, b) = (Talk::lasting(&broker, "a"), Talk::lasting(&broker, "b"));
    a.publishes(7, 2, "x", "once").says(released(7));
    lives.hears(&a, &[], &["CONNACK known", "PUBREC 7 Success", "PUBCOMP 7 Success"]);
    b.hears(&["CONNACK known"]);
    // Its number is free again.
    a.publishes(7, 2, "x", "another");
    lives.hears(&a, &[], &["PUBREC 7 Success"]);
    b.hears(&["PUBLISH x=another qos 0"]);
}

#[test]
fn what_has_ended_stays_so() {
    let mut lives = Lives::new();
    let broker = lives.next();
    let a = Talk::lasting(&broker, "a");
    a.subscribes("x", 1);
    lives.write(&broker);
    let fresh = Talk::new(&broker, Connect::new("a"));
    lives.hears(&fresh, &[], &["CONNACK new"]);
    fresh.lost();
    let broker = lives.next();
    let a = Talk::lasting(&broker, "a");
    lives.hears(&a, &[], &["CONNACK new"]);
    // A session that is to end with its connection after all.
    a.says(Packet::Disconnect(Disconnect {
        session_expiry: Some(0),
        ..Disconnect::new(DisconnectReasonCode::NormalDisconnection)
    }));
    a.lost();
    lives.write(&broker);
    let broker = lives.next();
    let a = Talk::lasting(&broker, "a");
    lives.hears(&a, &[], &["CONNACK new"]);
}

#[test]
fn wills_of_those_who_were_connected_are_published_by_the_next_broker() {
    let mut lives = Lives::new();
    let broker = lives.next();
    let watcher = Talk::lasting(&broker, "watcher");
    watcher.subscribes("gone/#", 1);
    lives.hears(&watcher, &[], &["CONNACK new", "SUBACK GrantedQos1"]);
    let with_will = |broker: &Arc<Broker>, name: &str, delay: u32, session_expiry: u32| {
        let will = Will {
            topic: format!("gone/{name}").into(),
            payload: "bye".into(),
            qos: Qos::AtLeastOnce,
            retain: name == "kept",
            delay,
            properties: Vec::new(),
        };
        Talk::new(broker, Connect { will: Some(will), session_expiry, ..Connect::new(name) })
    };
    // Nobody is let in whose will could still be lost.
    let fresh = with_will(&broker, "fresh", 0, 0);
    lives.hears(&fresh, &[], &["CONNACK new"]);
    let others = [("kept", 0, 100), ("patient", 50, 100), ("forgotten", 50, 0)];
    let _connected = others.map(|(name, delay, expiry)| with_will(&broker, name, delay, expiry));
    let (polite, lost) = (with_will(&broker, "polite", 0, 0), with_will(&broker, "lost", 0, 0));
    polite.says(Packet::Disconnect(Disconnect::new(DisconnectReasonCode::NormalDisconnection)));
    polite.lost();
    lost.lost();
    lives.write(&broker);
    lives.hears(&watcher, &[], &["PUBLISH 1 gone/lost=bye qos 1"]);

    let broker = lives.next();
    lives.write(&broker);
    let watcher = Talk::lasting(&broker, "watcher");
    let before = ["CONNACK known", "PUBLISH 1 gone/lost=bye qos 1 again"];
    lives.hears(&watcher, &[], &before);
    let now = [
        "PUBLISH 2 gone/kept=bye qos 1",
        "PUBLISH 3 gone/fresh=bye qos 1",
        "PUBLISH 4 gone/forgotten=bye qos 1",
    ];
    lives.hears(&watcher, &[], &now);

    // They are said once, the one that was put off not at all, as its client is back; and what was retained stays.
    let patient = Talk::lasting(&broker, "patient");
    lives.hears(&patient, &[], &["CONNACK known"]);
    let broker = lives.next();
    lives.write(&broker);
    let other = Talk::fresh(&broker, "other");
    other.subscribes("gone/#", 0).hears(&["SUBACK GrantedQos0", "PUBLISH gone/kept=bye qos 0 kept"]);
    broker.tick();
    other.hears(&[]);
}

#[test]
fn a_will_is_kept_until_its_row_is_durable() {
    let mut lives = Lives::new();
    let with_will = |broker: &Arc<Broker>, payload: &'static str| {
        let (topic, payload) = ("gone/a".into(), payload.into());
        let will =
            Will { topic, payload, qos: Qos::AtLeastOnce, retain: false, delay: 0, properties: Vec::new() };
        Talk::new(broker, Connect { will: Some(will), session_expiry: 100, ..Connect::new("a") })
    };
    let filters = ["gone/#", "#"];
    let recorded = |broker: &Arc<Broker>, filter: &str| {
        let recording = broker.attach(filter, filter, None);
        let (messages, position) = recording.take(10);
        let payloads = messages.iter().map(|message| String::from_utf8_lossy(&message.payload).into_owned());
        (payloads.collect::<Vec<_>>(), recording, position)
    };
    let broker = lives.next_for(&filters);
    let watcher = Talk::lasting(&broker, "watcher");
    watcher.subscribes("gone/#", 1);
    let client = with_will(&broker, "bye");
    lives.write(&broker);
    client.lost();
    lives.write(&broker);
    let told = ["PUBLISH 1 gone/a=bye qos 1"];
    lives.hears(&watcher, &["CONNACK new", "SUBACK GrantedQos1"], &told);
    // One of the recorders gets to it before the broker is killed.
    let (rows, recording, position) = recorded(&broker, "#");
    assert_eq!(rows, ["bye"]);
    recording.committed(&position);
    lives.write(&broker);

    // Subscribers have it already. The client is back with another will, which takes nothing of the first away.
    let broker = lives.next_for(&filters);
    let watcher = Talk::lasting(&broker, "watcher");
    watcher.says(Packet::Puback(Acknowledgement::success(id(1))));
    lives.hears(&watcher, &[], &["CONNACK known", "PUBLISH 1 gone/a=bye qos 1 again"]);
    assert_eq!(recorded(&broker, "gone/#").0, ["bye"]);
    let _connected = with_will(&broker, "bye again");
    lives.write(&broker);

    let broker = lives.next_for(&filters);
    lives.write(&broker);
    for filter in filters {
        let (rows, recording, position) = recorded(&broker, filter);
        assert_eq!(rows, ["bye", "bye again"]);
        recording.committed(&position);
    }
    lives.write(&broker);

    // All of it is durable, and nothing is left to be done.
    let broker = lives.next_for(&filters);
    for filter in filters {
        assert_eq!(recorded(&broker, filter).0, [""; 0]);
    }
}

#[test]
fn a_will_that_nobody_records_any_more_is_forgotten() {
    let mut lives = Lives::new();
    let broker = lives.next_for(&["gone"]);
    let (topic, payload) = ("gone".into(), "bye".into());
    let will = Will { topic, payload, qos: Qos::AtMostOnce, retain: false, delay: 0, properties: Vec::new() };
    let client = Talk::new(&broker, Connect { will: Some(will), ..Connect::new("a") });
    lives.write(&broker);
    client.lost();
    lives.write(&broker);
    let broker = lives.next();
    lives.write(&broker);
    let broker = lives.next_for(&["gone"]);
    assert!(broker.attach("gone", "gone", None).take(10).0.is_empty());
}

#[test]
fn nothing_is_promised_any_more_when_nothing_can_be_written_down() {
    let mut lives = Lives::new();
    let broker = lives.next();
    let (a, p) = (Talk::lasting(&broker, "a"), Talk::fresh(&broker, "p"));
    a.subscribes("x", 1);
    lives.write(&broker);
    p.publishes(1, 1, "x", "lost");
    broker.broken();
    p.hears(&["DISCONNECT UnspecifiedError"]);
}

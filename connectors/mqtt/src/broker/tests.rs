//! Conversations with a broker, without a network: what clients say, and what they hear.

mod lasting;

use std::sync::Arc;

use headwater_core::World;
use tokio::sync::Notify;

use super::*;
use crate::wire::{
    Acknowledgement, Connect, ConnectReasonCode, Disconnect, DisconnectReasonCode, Packet, Property, Publish,
    Qos, Release, Subscribe, SubscriptionOptions, Unsubscribe, Version, Will,
};

fn broker() -> Arc<Broker> {
    broker_with(BrokerOptions::default())
}

fn broker_with(options: BrokerOptions) -> Arc<Broker> {
    Broker::new(World::real(), options, Access::open())
}

/// A client at one end of a conversation.
struct Talk {
    broker: Arc<Broker>,
    link: LinkId,
    wake: Arc<Notify>,
}

impl Talk {
    fn new(broker: &Arc<Broker>, connect: Connect) -> Self {
        let wake = Arc::new(Notify::new());
        let link = broker.connect(connect, Version::V5, Arc::clone(&wake)).unwrap();
        Self { broker: Arc::clone(broker), link, wake }
    }

    /// A client whose session ends with its connection.
    fn fresh(broker: &Arc<Broker>, name: &str) -> Self {
        let talk = Self::new(broker, Connect::new(name));
        talk.hears(&["CONNACK new"]);
        talk
    }

    /// A client whose session lasts.
    fn lasting(broker: &Arc<Broker>, name: &str) -> Self {
        Self::new(broker, Connect { clean_start: false, session_expiry: 100, ..Connect::new(name) })
    }

    fn says(&self, packet: Packet) -> &Self {
        self.broker.receive(self.link, packet).unwrap();
        self
    }

    fn publishes(&self, id: u16, qos: u8, topic: &str, payload: &str) -> &Self {
        self.says(publish(id, qos, topic, payload))
    }

    fn subscribes(&self, filter: &str, qos: u8) -> &Self {
        self.subscribes_with(filter, SubscriptionOptions::new(level(qos)))
    }

    fn subscribes_with(&self, filter: &str, options: SubscriptionOptions) -> &Self {
        let filters = vec![(filter.into(), options)];
        self.says(Packet::Subscribe(Subscribe { packet_id: id(1), id: None, filters }))
    }

    /// Everything that was said to it since it was last asked.
    fn heard(&self) -> Vec<String> {
        let mut packets = Vec::new();
        while self.broker.outgoing(self.link, &mut packets, usize::MAX) == Sending::More {}
        packets.iter().map(shown).collect()
    }

    #[track_caller]
    fn hears(&self, expected: &[&str]) -> &Self {
        assert_eq!(self.heard(), expected);
        self
    }

    /// Whether it was told to look since it was last asked.
    fn is_woken(&self) -> bool {
        let mut woken = std::pin::pin!(self.wake.notified());
        let mut nobody = std::task::Context::from_waker(std::task::Waker::noop());
        Future::poll(woken.as_mut(), &mut nobody).is_ready()
    }

    /// Its connection is lost.
    fn lost(self) {
        self.broker.lost(self.link);
    }
}

fn id(id: u16) -> std::num::NonZeroU16 {
    id.try_into().unwrap()
}

fn level(qos: u8) -> Qos {
    [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce][usize::from(qos)]
}

fn publish(number: u16, qos: u8, topic: &str, payload: &str) -> Packet {
    let (retain, topic) = match topic.strip_suffix(" kept") {
        Some(topic) => (true, topic),
        None => (false, topic),
    };
    Packet::Publish(Box::new(Publish {
        dup: false,
        qos: level(qos),
        retain,
        topic: topic.into(),
        packet_id: (qos > 0).then(|| id(number)),
        payload: payload.to_owned().into(),
        properties: Vec::new(),
    }))
}

fn shown(packet: &Packet) -> String {
    match packet {
        Packet::Connack(ack) => format!("CONNACK {}", if ack.session_present { "known" } else { "new" }),
        Packet::Publish(publish) => {
            let id = publish.packet_id.map(|id| format!(" {id}")).unwrap_or_default();
            let marks = format!(
                "{}{}",
                if publish.dup { " again" } else { "" },
                if publish.retain { " kept" } else { "" },
            );
            let payload = String::from_utf8_lossy(&publish.payload).into_owned();
            format!("PUBLISH{id} {}={payload} qos {}{marks}", publish.topic, publish.qos as u8)
        }
        Packet::Puback(ack) => format!("PUBACK {} {}", ack.packet_id, ack.reason),
        Packet::Pubrec(ack) => format!("PUBREC {} {}", ack.packet_id, ack.reason),
        Packet::Pubrel(ack) => format!("PUBREL {} {}", ack.packet_id, ack.reason),
        Packet::Pubcomp(ack) => format!("PUBCOMP {} {}", ack.packet_id, ack.reason),
        Packet::Suback(ack) => format!("SUBACK {}", ack.reasons[0]),
        Packet::Unsuback(ack) => format!("UNSUBACK {}", ack.reasons[0]),
        Packet::Disconnect(end) => format!("DISCONNECT {}", end.reason),
        other => format!("{other:?}"),
    }
}

#[test]
fn messages_go_to_those_who_want_them_with_the_lesser_certainty() {
    let broker = broker();
    let (a, b) = (Talk::fresh(&broker, "a"), Talk::fresh(&broker, "b"));
    a.subscribes("x/+", 1).hears(&["SUBACK GrantedQos1"]);
    b.publishes(1, 0, "x/1", "p").hears(&[]);
    b.publishes(7, 1, "x/2", "q").hears(&["PUBACK 7 Success"]);
    b.publishes(8, 2, "x/3", "r").hears(&["PUBREC 8 Success"]);
    b.says(Packet::Pubrel(Release::success(id(8)))).hears(&["PUBCOMP 8 Success"]);
    b.publishes(9, 1, "y", "s").hears(&["PUBACK 9 Success"]);
    a.hears(&["PUBLISH x/1=p qos 0", "PUBLISH 1 x/2=q qos 1", "PUBLISH 2 x/3=r qos 1"]);
    // Twice the same is once.
    a.subscribes("#", 0).hears(&["SUBACK GrantedQos0"]);
    b.publishes(10, 1, "x/4", "t");
    a.hears(&["PUBLISH 3 x/4=t qos 1"]);
    a.says(Packet::Unsubscribe(Unsubscribe { packet_id: id(2), filters: vec!["x/+".into(), "z".into()] }));
    a.hears(&["UNSUBACK Success"]);
    b.publishes(11, 1, "x/5", "u");
    a.hears(&["PUBLISH x/5=u qos 0"]);
    a.says(Packet::Pingreq).hears(&["Pingresp"]);
}

#[test]
fn a_message_of_qos_2_is_delivered_once_in_either_direction() {
    let broker = broker();
    let (a, b) = (Talk::fresh(&broker, "a"), Talk::lasting(&broker, "b"));
    b.hears(&["CONNACK new"]);
    a.subscribes("t", 2).hears(&["SUBACK GrantedQos2"]);
    b.publishes(5, 2, "t", "p").publishes(5, 2, "t", "p");
    b.hears(&["PUBREC 5 Success", "PUBREC 5 Success"]);
    // The connection is lost before the release: the number is known to the session.
    b.lost();
    let b = Talk::lasting(&broker, "b");
    b.publishes(5, 2, "t", "p").hears(&["CONNACK known", "PUBREC 5 Success"]);
    b.says(Packet::Pubrel(Release::success(id(5)))).says(Packet::Pubrel(Release::success(id(5))));
    b.hears(&["PUBCOMP 5 Success", "PUBCOMP 5 PacketIdentifierNotFound"]);
    a.hears(&["PUBLISH 1 t=p qos 2"]);
    a.says(Packet::Pubrec(Acknowledgement::success(id(1)))).hears(&["PUBREL 1 Success"]);
    a.says(Packet::Pubcomp(Release::success(id(1)))).hears(&[]);
}

#[test]
fn sessions_outlive_connections_and_say_again_what_may_be_lost() {
    let broker = broker();
    let (a, b) = (Talk::lasting(&broker, "a"), Talk::fresh(&broker, "b"));
    a.subscribes("t/#", 2).hears(&["CONNACK new", "SUBACK GrantedQos2"]);
    b.publishes(1, 1, "t/1", "p").publishes(2, 2, "t/2", "q").publishes(3, 2, "t/3", "r");
    a.hears(&["PUBLISH 1 t/1=p qos 1", "PUBLISH 2 t/2=q qos 2", "PUBLISH 3 t/3=r qos 2"]);
    a.says(Packet::Pubrec(Acknowledgement::success(id(2)))).hears(&["PUBREL 2 Success"]);
    a.lost();
    b.publishes(4, 1, "t/4", "s").publishes(0, 0, "t/5", "gone");
    let a = Talk::lasting(&broker, "a");
    a.hears(&[
        "CONNACK known",
        "PUBLISH 1 t/1=p qos 1 again",
        "PUBREL 2 Success",
        "PUBLISH 3 t/3=r qos 2 again",
        "PUBLISH 4 t/4=s qos 1",
    ]);
    // A clean start forgets all of it; so does the end of a session that does not last.
    a.lost();
    let a = Talk::fresh(&broker, "a");
    b.publishes(5, 1, "t/6", "x");
    a.hears(&[]);
    a.lost();
    Talk::lasting(&broker, "a").hears(&["CONNACK new"]);
}

#[test]
fn a_second_connection_of_a_client_takes_the_place_of_the_first() {
    let broker = broker();
    let first = Talk::lasting(&broker, "a");
    first.hears(&["CONNACK new"]);
    let second = Talk::lasting(&broker, "a");
    second.hears(&["CONNACK known"]);
    first.hears(&["DISCONNECT SessionTakenOver"]);
    assert!(broker.receive(first.link, Packet::Pingreq).is_err());
    // Its end is not the end of the session.
    first.lost();
    second.says(Packet::Pingreq).hears(&["Pingresp"]);
}

#[test]
fn retained_messages_greet_new_subscriptions() {
    let broker = broker();
    let (a, b) = (Talk::fresh(&broker, "a"), Talk::fresh(&broker, "b"));
    b.publishes(1, 1, "t/1 kept", "p").publishes(2, 1, "t/1 kept", "q").publishes(3, 1, "t/2 kept", "r");
    b.publishes(4, 1, "u kept", "s").publishes(5, 1, "t/2 kept", "");
    a.subscribes("t/#", 0).hears(&["SUBACK GrantedQos0", "PUBLISH t/1=q qos 0 kept"]);
    // To those who are there it is a message like others.
    b.publishes(6, 0, "t/1 kept", "t");
    a.hears(&["PUBLISH t/1=t qos 0"]);
    let options = SubscriptionOptions::new(Qos::AtMostOnce);
    let only_new = crate::wire::RetainHandling::SendRetainedIfNotExists;
    a.subscribes_with("t/#", SubscriptionOptions { retain_handling: only_new, ..options });
    a.hears(&["SUBACK GrantedQos0"]);
    a.subscribes_with(
        "+",
        SubscriptionOptions { retain_handling: only_new, retain_as_published: true, ..options },
    );
    a.hears(&["SUBACK GrantedQos0", "PUBLISH u=s qos 0 kept"]);
    b.publishes(0, 0, "u kept", "v");
    a.hears(&["PUBLISH u=v qos 0 kept"]);
    let never = crate::wire::RetainHandling::DoNotSendRetained;
    a.subscribes_with("u", SubscriptionOptions { retain_handling: never, no_local: true, ..options });
    a.hears(&["SUBACK GrantedQos0"]);
}

#[test]
fn wills_are_published_when_a_client_is_gone_without_a_word() {
    let broker = broker();
    let watcher = Talk::fresh(&broker, "watcher");
    watcher.subscribes("gone/#", 1).hears(&["SUBACK GrantedQos1"]);
    let with_will = |name: &str, delay: u32| {
        let will = Will {
            topic: format!("gone/{name}").into(),
            payload: "bye".into(),
            qos: Qos::AtLeastOnce,
            retain: false,
            delay,
            properties: Vec::new(),
        };
        let connect = Connect { will: Some(will), session_expiry: 100, ..Connect::new(name) };
        Talk::new(&broker, connect)
    };
    let goodbye = |reason| Packet::Disconnect(Disconnect::new(reason));
    with_will("a", 0).lost();
    watcher.hears(&["PUBLISH 1 gone/a=bye qos 1"]);
    let polite = with_will("b", 0);
    polite.says(goodbye(DisconnectReasonCode::NormalDisconnection)).heard();
    polite.lost();
    let insisting = with_will("c", 0);
    insisting.says(goodbye(DisconnectReasonCode::DisconnectWithWillMessage)).heard();
    insisting.lost();
    watcher.hears(&["PUBLISH 2 gone/c=bye qos 1"]);
    // A will that is put off is not published if the client is back in time.
    with_will("d", 50).lost();
    broker.tick();
    watcher.hears(&[]);
    let back = Talk::lasting(&broker, "d");
    back.hears(&["CONNACK known"]);
    watcher.hears(&[]);
}

#[test]
fn a_shared_subscription_gives_each_message_to_one_who_is_there() {
    let broker = broker();
    let names = ["a", "b", "c"];
    let members: Vec<_> = names.iter().map(|name| Talk::lasting(&broker, name)).collect();
    for member in &members {
        member.subscribes("$share/g/t/#", 1).hears(&["CONNACK new", "SUBACK GrantedQos1"]);
    }
    let alone = Talk::fresh(&broker, "alone");
    alone.subscribes("t/#", 1).heard();
    let publisher = Talk::fresh(&broker, "publisher");
    for number in 1..=9 {
        publisher.publishes(number, 1, "t/x", "p");
    }
    let heard: Vec<_> = members.iter().map(|member| member.heard().len()).collect();
    assert_eq!((heard, alone.heard().len()), (vec![3, 3, 3], 9));
    // Who is gone gets none as long as somebody is there.
    let mut members = members.into_iter();
    let (one, rest) = (members.next().unwrap(), members.collect::<Vec<_>>());
    one.lost();
    for number in 11..=14 {
        publisher.publishes(number, 1, "t/x", "p");
    }
    assert_eq!(rest.iter().map(|member| member.heard().len()).sum::<usize>(), 4);
    for filter in ["$share/g", "$share/+/a", "a#"] {
        publisher.heard();
        publisher.subscribes(filter, 1).hears(&["SUBACK TopicFilterInvalid"]);
    }
}

#[test]
fn an_acknowledgement_says_that_the_row_is_durable() {
    let broker = broker();
    let (watcher, a) = (Talk::fresh(&broker, "watcher"), Talk::fresh(&broker, "a"));
    watcher.subscribes("#", 0).heard();
    broker.record("one", "t/#");
    broker.record("two", "t/x");
    a.publishes(1, 1, "t/x", "p").publishes(2, 2, "t/y", "q").publishes(3, 1, "u", "r");
    // Neither acknowledged nor seen: not even the one that nobody records, as acknowledgements are in order.
    a.hears(&[]);
    watcher.hears(&[]);
    let one = broker.attach("one", "t/#", None);
    let (messages, position) = one.take(10);
    assert_eq!(messages.iter().map(|message| &*message.topic).collect::<Vec<_>>(), ["t/x", "t/y"]);
    one.committed(&position);
    a.hears(&[]);
    let two = broker.attach("two", "t/x", None);
    let (messages, position) = two.take(10);
    assert_eq!(messages.len(), 1);
    // The same is not recorded again while it waits.
    a.publishes(1, 1, "t/x", "p").publishes(2, 2, "t/y", "q");
    two.committed(&position);
    a.hears(&["PUBACK 1 Success", "PUBREC 2 Success", "PUBACK 3 Success"]);
    watcher.hears(&["PUBLISH t/x=p qos 0", "PUBLISH t/y=q qos 0", "PUBLISH u=r qos 0"]);
    assert!(one.take(10).0.is_empty() && two.take(10).0.is_empty());
}

#[test]
fn what_is_not_durable_is_given_to_the_next_source_and_what_is_durable_is_not() {
    let broker = broker();
    let a = Talk::lasting(&broker, "a");
    a.heard();
    broker.record("s", "t");
    for number in 1..=4 {
        a.publishes(number, 1, "t", &number.to_string());
    }
    let payloads = |messages: &[Arc<Message>]| {
        messages
            .iter()
            .map(|message| String::from_utf8_lossy(&message.payload).into_owned())
            .collect::<Vec<_>>()
    };
    let first = broker.attach("s", "t", None);
    let (messages, durable) = first.take(2);
    assert_eq!(payloads(&messages), ["1", "2"]);
    let (messages, _) = first.take(2);
    assert_eq!(payloads(&messages), ["3", "4"]);
    // The source fails; of what it has appended the first two are durable, though it was not told.
    a.hears(&[]);
    let second = broker.attach("s", "t", Some(&durable));
    assert!(first.take(10).0.is_empty(), "it takes nothing from the one that goes on");
    a.hears(&["PUBACK 1 Success", "PUBACK 2 Success"]);
    let (messages, position) = second.take(10);
    assert_eq!(payloads(&messages), ["3", "4"]);
    // The client is gone meanwhile; what it has published is routed all the same, and it is told when it asks again.
    a.lost();
    second.committed(&position);
    let a = Talk::lasting(&broker, "a");
    a.hears(&["CONNACK known"]);
    // Another broker's position means nothing to this one.
    a.publishes(5, 1, "t", "5");
    let third = broker.attach("s", "t", Some("0000000000000000-99"));
    assert_eq!(payloads(&third.take(10).0), ["5"]);
    broker.forget("s");
    a.hears(&["PUBACK 5 Success"]);
}

#[test]
fn a_publisher_that_is_too_fast_for_a_recorder_is_held_and_others_are_not() {
    let broker =
        broker_with(BrokerOptions { recorder_messages_max: 3, in_flight_max: 5, ..Default::default() });
    let (a, b) = (Talk::fresh(&broker, "a"), Talk::fresh(&broker, "b"));
    let recording = broker.attach("s", "t", None);
    for _ in 0..3 {
        assert!(broker.may_read(a.link));
        a.publishes(0, 0, "t", "p");
    }
    assert!(!broker.may_read(a.link) && broker.may_read(b.link));
    b.publishes(1, 1, "u", "q").hears(&["PUBACK 1 Success"]);
    // Others go on until they are held themselves; as long as there is no room, nobody is woken in vain.
    b.publishes(0, 0, "t", "p").publishes(0, 0, "t", "p").heard();
    a.is_woken();
    let (messages, position) = recording.take(1);
    assert_eq!(messages.len(), 1);
    recording.committed(&position);
    assert!(!a.is_woken() && !broker.may_read(a.link));
    let (messages, position) = recording.take(3);
    assert_eq!(messages.len(), 3);
    recording.committed(&position);
    assert!(a.is_woken() && broker.may_read(a.link) && broker.may_read(b.link));
    // Nor may anybody have more under way than was agreed.
    for number in 1..=5 {
        b.publishes(number, 1, "t", "p");
    }
    assert!(!broker.may_read(b.link));
    let excess = broker.receive(b.link, publish(6, 1, "t", "p"));
    assert_eq!(excess, Err(DisconnectReasonCode::ReceiveMaximumExceeded));
}

#[test]
fn a_subscriber_that_is_too_slow_is_skipped_and_others_are_not() {
    let broker = broker_with(BrokerOptions { queue_messages_max: 3, ..Default::default() });
    let (slow, quick) = (Talk::lasting(&broker, "slow"), Talk::fresh(&broker, "quick"));
    slow.subscribes("t", 1).heard();
    quick.subscribes("t", 0).heard();
    let publisher = Talk::fresh(&broker, "publisher");
    for number in 1..=5 {
        publisher.publishes(number, 1, "t", &number.to_string());
        quick.hears(&[&format!("PUBLISH t={number} qos 0")]);
    }
    slow.hears(&["PUBLISH 1 t=1 qos 1", "PUBLISH 2 t=2 qos 1", "PUBLISH 3 t=3 qos 1"]);
    // A client that takes one at a time gets the next after it has acknowledged.
    let connect = Connect { receive_maximum: 1.try_into().ok(), ..Connect::new("careful") };
    let careful = Talk::new(&broker, connect);
    careful.subscribes("t", 1).heard();
    publisher.publishes(6, 1, "t", "6").publishes(7, 1, "t", "7");
    careful.hears(&["PUBLISH 1 t=6 qos 1"]);
    careful.says(Packet::Puback(Acknowledgement::success(id(1)))).hears(&["PUBLISH 2 t=7 qos 1"]);
}

#[test]
fn topics_may_have_numbers_and_messages_an_end() {
    let broker = broker();
    let (a, b) = (Talk::fresh(&broker, "a"), Talk::lasting(&broker, "b"));
    b.subscribes("t", 1).heard();
    let numbered = |topic: &str, number: u16| {
        let Packet::Publish(mut packet) = publish(1, 1, topic, "p") else { unreachable!() };
        let alias = mqtt_protocol_core::mqtt::packet::TopicAlias::new(number).unwrap();
        packet.properties.push(Property::TopicAlias(alias));
        Packet::Publish(packet)
    };
    a.says(numbered("t", 7)).says(numbered("", 7)).hears(&["PUBACK 1 Success", "PUBACK 1 Success"]);
    b.hears(&["PUBLISH 1 t=p qos 1", "PUBLISH 2 t=p qos 1"]);
    assert_eq!(broker.receive(a.link, numbered("", 8)), Err(DisconnectReasonCode::ProtocolError));
    assert_eq!(broker.receive(a.link, numbered("t", 65)), Err(DisconnectReasonCode::TopicAliasInvalid));
    // A message that nobody was there for in time is not delivered.
    b.lost();
    let Packet::Publish(mut packet) = publish(2, 1, "t", "late") else { unreachable!() };
    let expiry = mqtt_protocol_core::mqtt::packet::MessageExpiryInterval::new(1).unwrap();
    packet.properties.push(expiry.into());
    a.says(Packet::Publish(packet));
    std::thread::park_timeout(std::time::Duration::from_millis(1_100));
    Talk::lasting(&broker, "b").hears(&[
        "CONNACK known",
        "PUBLISH 1 t=p qos 1 again",
        "PUBLISH 2 t=p qos 1 again",
    ]);
}

#[test]
fn who_is_not_known_or_not_allowed_is_told() {
    let mut access = Access::default();
    let mut user = User::new(b"right", 7);
    user.publish = Some(vec!["mine/#".to_owned()]);
    user.subscribe.clone_from(&user.publish);
    access.users.insert("u".to_owned(), user);
    let broker = Broker::new(World::real(), BrokerOptions::default(), access);
    let connect = |name: Option<&str>, password: &'static [u8], version| {
        let username = name.map(Into::into);
        let connect = Connect { username, password: Some(password.into()), ..Connect::new("c") };
        broker.connect(connect, version, Arc::new(Notify::new()))
    };
    let reason = |name, password| connect(name, password, Version::V5).unwrap_err();
    assert_eq!(reason(None, b""), ConnectReasonCode::NotAuthorized);
    assert_eq!(reason(Some("u"), b"wrong"), ConnectReasonCode::BadUserNameOrPassword);
    let link = connect(Some("u"), b"right", Version::V5).unwrap();
    let talk = Talk { broker: Arc::clone(&broker), link, wake: Arc::default() };
    talk.heard();
    talk.publishes(1, 1, "mine/x", "p").publishes(2, 1, "yours", "p").publishes(3, 2, "yours", "p");
    talk.hears(&["PUBACK 1 Success", "PUBACK 2 NotAuthorized", "PUBREC 3 NotAuthorized"]);
    talk.subscribes("#", 0).hears(&["SUBACK NotAuthorized"]);
    talk.subscribes("mine/+", 0).hears(&["SUBACK GrantedQos0"]);
    // 3.1.1 has no other way to say it than to hang up.
    let link = connect(Some("u"), b"right", Version::V3).unwrap();
    let refused = broker.receive(link, publish(1, 1, "yours", "p"));
    assert_eq!(refused, Err(DisconnectReasonCode::NotAuthorized));
    assert_eq!(broker.connected(), 1);
    broker.close();
    assert_eq!(reason(Some("u"), b"right"), ConnectReasonCode::ServerUnavailable);
}

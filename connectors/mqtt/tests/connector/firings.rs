//! Firings of triggers as messages: of the broker of this process, and of Mosquitto. Mosquitto's client hears them.

use std::sync::{Arc, PoisonError};

use headwater_connectors::{Allowed, ConnectorSupervisor, DeliveryDef, Handle, Target};
use headwater_core::World;
use headwater_mqtt::broker::{Access, Broker, BrokerOptions, User};
use headwater_mqtt::connector::set_broker;
use headwater_mqtt::net::Listener;

use crate::lab::{Lab, runtime};
use crate::{Mosquitto, ONE_BROKER, Subscriber, found, setup, until};

/// Delivers the rows of `events` as if they were a trigger's firings, one after the other.
fn start(lab: &Lab, topic: &str, options: &[(&str, &str)]) -> Result<Handle, String> {
    let supervisor =
        ConnectorSupervisor::new(Arc::clone(&lab.ingest), tokio::runtime::Handle::current()).unwrap();
    let options = [&[("via", "mqtt")], options].concat();
    let def = DeliveryDef {
        trigger: "events".to_owned(),
        keys: Vec::new(),
        target: Target::Publish { topic: topic.to_owned() },
        options: options.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
    };
    supervisor.start_delivery(&def, &Allowed::default()).map_err(|error| error.to_string())
}

/// A client that tells of each message: QoS, whether it was kept, payload, user properties.
async fn subscriber(port: u16, topic: &str) -> Subscriber {
    Subscriber::start(port, topic, &["-q", "2", "-F", "%q %r %p %P"]).await
}

/// What a client hears, once it is so many messages.
async fn heard(subscriber: &Subscriber, count: usize) -> Vec<String> {
    until(|| subscriber.heard().len() >= count, "all is heard").await;
    subscriber.heard()
}

#[test]
fn firings_are_messages_of_this_broker_and_of_another() {
    let _one = ONE_BROKER.lock().unwrap_or_else(PoisonError::into_inner);
    if found::mosquitto().is_none() {
        return;
    }
    let Some(mosquitto) = Mosquitto::start(None) else { return };
    setup();
    runtime().block_on(async {
        let broker = Broker::new(World::real(), BrokerOptions::default(), Access::open());
        set_broker(&broker);
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), None).await.unwrap();
        let own = listener.address().unwrap().port();
        let _running = listener.serve(Arc::clone(&broker));
        let url = mosquitto.url();
        let elsewhere = ("url", url.as_str());
        for (nth, (port, options)) in [
            (own, vec![]),
            (own, vec![("qos", "2"), ("retain", "true")]),
            (mosquitto.port, vec![elsewhere, ("qos", "0")]),
            (mosquitto.port, vec![elsewhere, ("qos", "2"), ("retain", "true")]),
            (mosquitto.port, vec![elsewhere, ("protocol-version", "3.1.1")]),
        ]
        .into_iter()
        .enumerate()
        {
            let topic = format!("fired/{nth}");
            let listening = subscriber(port, &topic).await;
            let lab = Lab::new(1);
            lab.fill(0, 3);
            let trigger = start(&lab, &topic, &options).unwrap();
            let stream = lab.ingest.log().stream_named("events").unwrap().id;
            let said =
                |option: &str| options.iter().find(|(name, _)| *name == option).map(|(_, value)| *value);
            let qos = said("qos").unwrap_or("1");
            let expected: Vec<String> = (0..3)
                .map(|n| {
                    let id = format!("events/{stream}/{n}");
                    let firing = format!("{{\"n\":{n},\"text\":\"row {n}\"}}");
                    let key =
                        if said("protocol-version").is_none() { format!(" key:{id}") } else { String::new() };
                    format!("{qos} 0 {{\"trigger\":\"events\",\"id\":\"{id}\",\"firing\":{firing}}}{key}")
                })
                .collect();
            assert_eq!(heard(&listening, 3).await, expected, "{topic}");
            until(|| trigger.status().lag == Some(0), "all is delivered").await;
            assert_eq!((trigger.status().rows, trigger.status().dead_letters), (3, 0));
            trigger.stop().await;
            if said("retain").is_some() {
                let kept = heard(&subscriber(port, &topic).await, 1).await;
                assert_eq!(
                    kept,
                    [expected[2].replacen(" 0 ", " 1 ", 1)],
                    "whoever comes later hears the last one"
                );
            }
        }
    });
}

#[test]
fn a_firing_that_a_broker_refuses_is_parked_and_mistakes_are_told() {
    setup();
    runtime().block_on(async {
        let mut user = User::new(b"secret", 7);
        user.publish = Some(vec!["ok/#".to_owned()]);
        let access = Access { anonymous: false, users: [("u".to_owned(), user)].into() };
        let broker = Broker::new(World::real(), BrokerOptions::default(), access);
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), None).await.unwrap();
        let url = format!("mqtt://u@127.0.0.1:{}", listener.address().unwrap().port());
        let _running = listener.serve(Arc::clone(&broker));
        let lab = Lab::new(1);
        lab.fill(0, 2);
        let base = [("url", url.as_str()), ("password", "secret")];
        for (topic, delivered, parked) in [("no/x", 0, 2), ("ok/x", 2, 0)] {
            for qos in ["1", "2"] {
                let lab = Lab::new(1);
                lab.fill(0, 2);
                let trigger = start(&lab, topic, &[base[0], base[1], ("qos", qos)]).unwrap();
                until(|| trigger.status().lag == Some(0), "all is settled").await;
                let status = trigger.stop().await;
                assert_eq!((status.rows, status.dead_letters), (delivered, parked), "{topic}: {status:?}");
                assert_eq!(
                    status.last_error.is_some_and(|error| error.contains("NotAuthorized")),
                    parked > 0
                );
            }
        }
        let told = |topic: &str, options: &[(&str, &str)], what: &str| {
            let error = start(&lab, topic, options).err().unwrap();
            assert!(error.contains(what), "{error}");
        };
        told("fleet/#", &[], "no wildcards");
        told("fleet", &[("qos", "3")], "it is 0, 1 or 2");
        told("fleet", &[("retian", "true")], "did you mean 'retain'?");
        told("fleet", &[("url", "http://x")], "mqtt://");
        told("fleet", &[("via", "mqqt")], "did you mean 'mqtt'?");
    });
}

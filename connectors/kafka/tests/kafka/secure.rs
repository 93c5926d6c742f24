//! TLS and SASL: in with the right password, and told what is wrong without it.

use std::sync::Arc;

use headwater_connectors::{ConnectorSupervisor, State, registry};
use headwater_kafka::CONNECTOR;

use crate::broker::Broker;
use crate::lab::{Lab, def, runtime, until};
use crate::topic::Topic;

#[test]
fn a_listener_with_tls_lets_in_who_knows_the_password() {
    let Some((broker, secure, certificate)) = Broker::start_secure() else { return };
    registry::add(&CONNECTOR);
    let topic = Topic::new(&broker.address, 1);
    let producer = topic.producer(&[]);
    topic.fill(&producer, 0, 100);
    Topic::flush(&producer);
    let login = |password: &str| {
        format!(
            "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"fleet\" \
             password=\"{password}\";"
        )
    };
    let options = |login: &str, certificate: Option<&str>| {
        let mut options = vec![
            ("properties.bootstrap.servers", secure.clone()),
            ("topic", topic.name.clone()),
            ("scan.bounded.mode", "latest-offset".to_owned()),
            ("properties.security.protocol", "SASL_SSL".to_owned()),
            ("properties.sasl.mechanism", "PLAIN".to_owned()),
            ("properties.sasl.jaas.config", login.to_owned()),
        ];
        options.extend(certificate.map(|path| ("properties.ssl.ca.location", path.to_owned())));
        let options: Vec<_> = options.iter().map(|(name, value)| (*name, value.as_str())).collect();
        def("kafka", &options)
    };
    let lab = Lab::new(1);
    let status = lab.source_life(&options(&login("hunter2"), Some(&certificate)), None).unwrap();
    assert_eq!(status.state, State::Ended, "{:?}", status.last_error);
    assert_eq!(lab.numbers("events", "n"), (0..100).collect::<Vec<_>>());

    let refused = lab.source_life(&options(&login("sesame"), Some(&certificate)), None).unwrap();
    assert_eq!(refused.state, State::Failed);
    let told = refused.last_error.unwrap();
    assert!(told.starts_with("HW5005") && told.to_lowercase().contains("authentication"), "{told}");
    assert!(!told.contains("sesame"), "{told}");

    // Nobody vouches for the broker: that is told, and tried again.
    let runtime = runtime();
    let supervisor = ConnectorSupervisor::new(Arc::clone(&lab.ingest), runtime.handle().clone()).unwrap();
    let handle = supervisor.start_source(options(&login("hunter2"), None), |_| ()).unwrap();
    // A broker that is slow may be heard of before its certificate is.
    runtime.block_on(until(&handle, "it is told", |status| {
        status.last_error.as_ref().is_some_and(|told| told.contains("certificate"))
    }));
    let told = runtime.block_on(handle.stop()).last_error.unwrap();
    assert!(told.starts_with("HW5004") && told.contains("certificate"), "{told}");
}

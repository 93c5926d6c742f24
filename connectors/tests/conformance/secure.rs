//! HTTPS with a private authority and certificates of clients, against Python's TLS.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;

use headwater_connectors::{Allowed, ConnectorDef, ConnectorSupervisor, State, Status};

use crate::deliveries::{self, Firings, settle};
use crate::found::Keys;
use crate::lab::{Lab, def, runtime, until};

/// A server that asks for a certificate. Killed when dropped.
struct Receiver {
    child: Child,
    said: BufReader<ChildStdout>,
    url: String,
}

impl Receiver {
    fn start(keys: &Keys) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/conformance/secure.py");
        let mut child =
            Command::new("python3").arg(script).arg(keys.path(".")).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let mut port = String::new();
        said.read_line(&mut port).unwrap();
        let url = format!("https://127.0.0.1:{}/", port.trim());
        Self { child, said, url }
    }

    /// The next request.
    fn heard(&mut self) -> String {
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a sink and waits until it has failed; how it fares then.
fn failing(lab: &Lab, def: ConnectorDef) -> Status {
    let runtime = runtime();
    let supervisor = ConnectorSupervisor::new(Arc::clone(&lab.ingest), runtime.handle().clone()).unwrap();
    let handle = supervisor.start_sink(def).unwrap();
    // One that tries again is running meanwhile.
    let has_failed = |status: &Status| matches!(status.state, State::Retrying | State::Failed);
    let status = runtime.block_on(until(&handle, "it fails", has_failed));
    runtime.block_on(handle.stop());
    status
}

#[test]
fn a_private_authority_is_trusted_and_clients_prove_who_they_are() {
    let Some(keys) = Keys::make() else { return };
    let mut receiver = Receiver::start(&keys);
    let url = receiver.url.clone();
    let path = |name: &str| keys.path(name).to_str().unwrap().to_owned();
    let (ca, certificate, key) = (path("ca.crt"), path("client.crt"), path("client.key"));
    let trust = ("tls.ca", ca.as_str());
    let proof = [("tls.cert", certificate.as_str()), ("tls.key", key.as_str())];
    let endpoint = ("endpoint", url.as_str());

    let lab = Lab::new(1);
    lab.fill(0, 1);
    let status = lab.sink_life(&def("webhook", &[endpoint, trust, proof[0], proof[1]]), None).unwrap();
    assert_eq!((status.state, status.last_error), (State::Stopped, None));
    assert_eq!(receiver.heard(), r#"client POST {"n":0,"text":"row 0"}"#);

    let polled = Lab::new(1);
    let options = [endpoint, trust, proof[0], proof[1], ("emit-behavior", "changed")];
    let life = runtime();
    let supervisor = ConnectorSupervisor::new(Arc::clone(&polled.ingest), life.handle().clone()).unwrap();
    let source = supervisor.start_source(def("polling_http", &options), |_| ()).unwrap();
    life.block_on(until(&source, "it is polled", |_| polled.numbers("events", "n") == [7]));
    life.block_on(source.stop());
    assert_eq!(receiver.heard(), "client GET -");

    let firings = Firings::new();
    firings.fire("hot", &["a"]);
    let options = [trust, proof[0], proof[1], ("timeout", "60 s")];
    let handle = firings.start(&life, &deliveries::def("hot", &url, &options), &Allowed::default());
    let status = settle(&life, &handle);
    assert_eq!(status.last_error, None);
    let delivered = std::iter::repeat_with(|| receiver.heard()).find(|line| line.contains("POST")).unwrap();
    assert!(
        delivered.starts_with(r#"client POST {"#) && delivered.contains(r#""trigger":"hot""#),
        "{delivered}"
    );

    // Nobody here trusts that authority by himself, and the server lets nobody in whom it does not know: how its hanging up is heard
    // depends on who is faster.
    for (options, told) in
        [(vec![endpoint, proof[0], proof[1]], "UnknownIssuer"), (vec![endpoint, trust], "HW5004: POST ")]
    {
        let lab = Lab::new(1);
        lab.fill(0, 1);
        let status = failing(&lab, def("webhook", &options));
        let error = status.last_error.unwrap();
        assert!(status.state == State::Retrying && error.contains(told), "{error}");
    }

    // Files that are of no use are named.
    for (options, told) in [
        (vec![endpoint, ("tls.ca", "/no/such/file.pem")], "cannot use /no/such/file.pem"),
        (vec![endpoint, ("tls.ca", key.as_str())], "it has no certificate in PEM"),
        (vec![endpoint, trust, proof[0], ("tls.key", ca.as_str())], "cannot use "),
    ] {
        let lab = Lab::new(1);
        lab.fill(0, 1);
        let status = failing(&lab, def("webhook", &options));
        let error = status.last_error.unwrap();
        assert!(status.state == State::Failed && error.contains(told), "{error}");
    }
}

#[test]
fn options_of_tls_are_for_https_and_belong_together() {
    let lab = Lab::new(1);
    let runtime = runtime();
    let supervisor = ConnectorSupervisor::new(Arc::clone(&lab.ingest), runtime.handle().clone()).unwrap();
    let schema = lab.ingest.log().stream_named("events").unwrap().spec.schema.clone();
    let told = |options: &[(&str, &str)]| {
        supervisor.validate_sink(&def("webhook", options), &schema).unwrap_err().to_string()
    };
    let error = told(&[("endpoint", "http://127.0.0.1:9/"), ("tls.ca", "ca.crt")]);
    assert!(error.contains("'tls.ca'") && error.contains("https://"), "{error}");
    let error = told(&[("endpoint", "https://127.0.0.1:9/"), ("tls.key", "client.key")]);
    assert!(error.contains("belong together"), "{error}");
}

//! Crossbar.io, started for a test and stopped with it.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;

use crate::found::Keys;
use crate::ports::free_port;

/// A running Crossbar.io.
pub struct Crossbar {
    child: Child,
    /// The port of its WebSocket for everybody.
    pub websocket: u16,
    /// The port of its WebSocket for those who say who they are.
    pub by_name: u16,
    /// The port of its RawSocket.
    pub rawsocket: u16,
    /// The ports of WebSocket and RawSocket with TLS for those who have a certificate, if it was given keys.
    pub secure: [u16; 2],
    _directory: TempDir,
}

impl Crossbar {
    /// Starts it, if it is there; the test command fetches it.
    pub async fn start(keys: Option<&Keys>) -> Option<Self> {
        let given = std::env::var_os("HEADWATER_TEST_CROSSBAR").map(PathBuf::from);
        let usual = std::env::var_os("HOME")
            .map(|home| PathBuf::from(home).join(".cache/headwater/crossbar-26.10.1/bin/crossbar"));
        let command = given.or(usual)?;
        if !command.exists() {
            println!("left out: Crossbar.io is not at {}; tests/run fetches it", command.display());
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let (websocket, by_name, rawsocket) = (free_port(), free_port(), free_port());
        let config = directory.path().join("config.json");
        let mut text = config_of(websocket, by_name, rawsocket);
        let secure = [free_port(), free_port()];
        let mut ports = vec![websocket, by_name, rawsocket];
        if let (Some(keys), Some(transports)) = (keys, text["workers"][0]["transports"].as_array_mut()) {
            for (kind, port) in ["websocket", "rawsocket"].into_iter().zip(secure) {
                transports.push(secure_transport(kind, port, keys));
                ports.push(port);
            }
        }
        let text = text.to_string();
        std::io::Write::write_all(&mut std::fs::File::create(config).unwrap(), text.as_bytes()).unwrap();
        let child = Command::new(command)
            .args(["start", "--cbdir"])
            .arg(directory.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let crossbar = Self { child, websocket, by_name, rawsocket, secure, _directory: directory };
        for _ in 0..1_800 {
            if ports.iter().all(|port| std::net::TcpStream::connect(("127.0.0.1", *port)).is_ok()) {
                return Some(crossbar);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("Crossbar.io does not start within three minutes");
    }
}

impl Drop for Crossbar {
    fn drop(&mut self) {
        // Asked to stop, so that its workers stop, too.
        let _ = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status();
        let _ = self.child.wait();
    }
}

/// A way in for those whose certificates have been signed by these keys' authority.
fn secure_transport(kind: &str, port: u16, keys: &Keys) -> serde_json::Value {
    let tls = json!({
        "key": keys.path("server.key"), "certificate": keys.path("server.crt"), "ca_certificates": [keys.path("ca.crt")],
    });
    json!({
        "type": kind, "serializers": ["json"], "auth": {"anonymous": {"type": "static", "role": "all"}},
        "endpoint": {"type": "tcp", "port": port, "interface": "127.0.0.1", "tls": tls},
    })
}

fn config_of(websocket: u16, by_name: u16, rawsocket: u16) -> serde_json::Value {
    let endpoint = |port: u16| json!({"type": "tcp", "port": port, "interface": "127.0.0.1"});
    let everybody = json!({"anonymous": {"type": "static", "role": "all"}});
    json!({
        "version": 2,
        "workers": [{
            "type": "router",
            "realms": [{
                "name": "realm1",
                "roles": [{"name": "all", "permissions": [{
                    "uri": "", "match": "prefix",
                    "allow": {"call": true, "register": true, "publish": true, "subscribe": true},
                    "disclose": {"caller": false, "publisher": false}, "cache": true,
                }]}],
            }],
            "transports": [
                {"type": "websocket", "endpoint": endpoint(websocket), "auth": everybody},
                {"type": "websocket", "endpoint": endpoint(by_name), "auth": {
                    "ticket": {"type": "static", "principals": {"tina": {"ticket": "a ticket", "role": "all"}}},
                    "wampcra": {"type": "static", "users": {"cora": {"secret": "a secret", "role": "all"}}},
                }},
                {"type": "rawsocket", "endpoint": endpoint(rawsocket), "serializers": ["json", "cbor"], "auth": everybody},
            ],
        }],
    })
}

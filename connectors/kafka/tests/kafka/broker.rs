//! Brokers: the one that `tests/run` has started, and those that a test may kill.

use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::ports::free_port;

/// The address of the broker that all tests share; without it a test says so and is over.
pub fn shared() -> Option<String> {
    let address = std::env::var("HEADWATER_TEST_KAFKA").ok();
    if address.is_none() {
        eprintln!("skipped: HEADWATER_TEST_KAFKA is not set (tests/run sets it)");
    }
    address
}

/// A broker of one's own, which can be killed and started again on the same port with the same data.
pub struct Broker {
    pub address: String,
    dir: tempfile::TempDir,
    jars: String,
    child: Option<Child>,
}

impl Broker {
    /// Starts a broker; `None` where there are no jars.
    pub fn start() -> Option<Self> {
        Self::start_with(|_, properties| properties)
    }

    /// Starts a broker that also listens with TLS and asks `fleet` for the password `hunter2`; answers that address and the file of
    /// its certificate.
    pub fn start_secure() -> Option<(Self, String, String)> {
        let port = free_port();
        let broker = Self::start_with(|dir, properties| {
            certify(dir);
            let listener = format!("SECURE://127.0.0.1:{port}");
            let mut secure = String::new();
            for line in properties.lines() {
                secure += line;
                if line.contains("listeners=") {
                    secure += &format!(",{listener}");
                } else if line.starts_with("listener.security.protocol.map") {
                    secure += ",SECURE:SASL_SSL";
                }
                secure.push('\n');
            }
            secure += "listener.name.secure.sasl.enabled.mechanisms=PLAIN\n\
                       listener.name.secure.plain.sasl.jaas.config=\
                       org.apache.kafka.common.security.plain.PlainLoginModule required user_fleet=\"hunter2\";\n\
                       listener.name.secure.ssl.keystore.type=PEM\n";
            secure
                + &format!(
                    "listener.name.secure.ssl.keystore.location={}\n",
                    dir.join("server.pem").display()
                )
        })?;
        let certificate = broker.dir.path().join("certificate.pem").to_str().unwrap().to_owned();
        Some((broker, format!("127.0.0.1:{port}"), certificate))
    }

    fn start_with(change: impl FnOnce(&Path, String) -> String) -> Option<Self> {
        let Ok(jars) = std::env::var("HEADWATER_TEST_KAFKA_JARS") else {
            eprintln!("skipped: HEADWATER_TEST_KAFKA_JARS is not set (tests/run sets it)");
            return None;
        };
        let dir = tempfile::tempdir().unwrap();
        let (port, controller) = (free_port(), free_port());
        let properties = include_str!("../broker/server.properties")
            .replace("PORT", &port.to_string())
            .replace("CONTROL", &controller.to_string())
            .replace("DIR", dir.path().join("data").to_str().unwrap());
        write(&dir.path().join("server.properties"), &change(dir.path(), properties));
        let mut broker = Self { address: format!("127.0.0.1:{port}"), dir, jars, child: None };
        let format =
            ["kafka.tools.StorageTool", "format", "--cluster-id", "aGVhZHdhdGVyLXRlc3RzMA", "--standalone"];
        let mut format = broker.java(&[&format[..], &["--config"]].concat());
        assert!(format.status().unwrap().success(), "the broker's storage cannot be formatted");
        broker.restart();
        Some(broker)
    }

    fn java(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("java");
        command.args(["-Xmx256m", "-cp", &format!("{}/*", self.jars)]).args(arguments);
        command.arg(self.dir.path().join("server.properties"));
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Kills the broker: SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Starts it again, and waits until it listens.
    pub fn restart(&mut self) {
        assert!(self.child.is_none(), "it runs");
        let mut child = self.java(&["kafka.Kafka"]).spawn().unwrap();
        for _ in 0..3_000 {
            if TcpStream::connect(&self.address).is_ok() {
                self.child = Some(child);
                return;
            }
            assert_eq!(child.try_wait().unwrap(), None, "the broker ends as soon as it is started");
            pause(Duration::from_millis(100));
        }
        // It is not left behind.
        child.kill().unwrap();
        child.wait().unwrap();
        panic!("the broker does not listen");
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Waits in a test, where no clock is simulated.
#[expect(clippy::disallowed_methods, reason = "a test waits for a real broker")]
pub fn pause(time: Duration) {
    std::thread::sleep(time);
}

#[expect(clippy::disallowed_methods, reason = "a test makes its own files")]
pub fn write(path: &Path, content: &str) {
    std::fs::write(path, content).unwrap();
}

/// Makes a certificate for this machine, and a file with it and its key.
fn certify(dir: &Path) {
    let made = Command::new("openssl")
        .current_dir(dir)
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"])
        .args(["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "key.pem", "-out", "certificate.pem"])
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let read = |name: &str| std::fs::read_to_string(dir.join(name)).unwrap();
    write(&dir.join("server.pem"), &(read("key.pem") + &read("certificate.pem")));
}

//! Brokers: the one that `tests/run` has started, and those that a test may kill.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The address of the broker that all tests share; without it a test says so and is over.
pub fn shared() -> Option<String> {
    let address = std::env::var("HEADWATER_TEST_KAFKA").ok();
    if address.is_none() {
        println!("skipped: HEADWATER_TEST_KAFKA is not set (tests/run sets it)");
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
        let Ok(jars) = std::env::var("HEADWATER_TEST_KAFKA_JARS") else {
            println!("skipped: HEADWATER_TEST_KAFKA_JARS is not set (tests/run sets it)");
            return None;
        };
        let dir = tempfile::tempdir().unwrap();
        let (port, controller) = (free_port(), free_port());
        let properties = include_str!("../broker/server.properties")
            .replace("PORT", &port.to_string())
            .replace("CONTROL", &controller.to_string())
            .replace("DIR", dir.path().join("data").to_str().unwrap());
        write(&dir.path().join("server.properties"), &properties);
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
        self.child = Some(self.java(&["kafka.Kafka"]).spawn().unwrap());
        for _ in 0..600 {
            if TcpStream::connect(&self.address).is_ok() {
                return;
            }
            pause(Duration::from_millis(100));
        }
        panic!("the broker does not start");
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

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

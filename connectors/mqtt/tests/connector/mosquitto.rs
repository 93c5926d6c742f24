//! Mosquitto, started for a test, stopped, killed and started again by it.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::found::{Keys, mosquitto};
use crate::ports::free_port;

/// A Mosquitto that writes down its sessions when it is stopped.
pub struct Mosquitto {
    program: PathBuf,
    child: Child,
    /// Where it listens.
    pub port: u16,
    is_secure: bool,
    directory: TempDir,
}

impl Mosquitto {
    /// Starts it, if it is there: open to everybody, or with keys for TLS and one user, `u`.
    #[expect(clippy::disallowed_methods, reason = "a test makes its own files")]
    pub fn start(keys: Option<&Keys>) -> Option<Self> {
        let program = mosquitto()?;
        let directory = tempfile::tempdir().unwrap();
        let port = free_port();
        let state = directory.path().join("state");
        std::fs::create_dir(&state).unwrap();
        // Run as root it would become somebody else who may not write here.
        let mut config = format!(
            "user root\nlistener {port} 127.0.0.1\npersistence true\npersistence_location {}/\n\
             max_inflight_messages 200\nmax_queued_messages 0\n",
            state.display()
        );
        match keys {
            None => config += "allow_anonymous true\n",
            Some(keys) => {
                let passwords = keys.path("passwords");
                std::fs::write(keys.path("password"), "a password\n").unwrap();
                let made = Command::new("mosquitto_passwd")
                    .args(["-b", "-c", passwords.to_str().unwrap(), "u", "a password"])
                    .status();
                assert!(made.unwrap().success());
                let (ca, certificate, key) =
                    (keys.path("ca.crt"), keys.path("server.crt"), keys.path("server.key"));
                config += &format!(
                    "allow_anonymous false\npassword_file {}\ncafile {}\ncertfile {}\nkeyfile {}\n",
                    passwords.display(),
                    ca.display(),
                    certificate.display(),
                    key.display()
                );
            }
        }
        std::fs::write(directory.path().join("mosquitto.conf"), config).unwrap();
        let child = spawn(&program, &directory);
        let started = Self { program, child, port, is_secure: keys.is_some(), directory };
        started.wait();
        Some(started)
    }

    /// The URL of it.
    pub fn url(&self) -> String {
        let scheme = if self.is_secure { "mqtts" } else { "mqtt" };
        format!("{scheme}://127.0.0.1:{}", self.port)
    }

    /// Asks it to stop, and waits.
    pub fn stop(&mut self) {
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }

    /// Ends it by force.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again at the same place.
    pub fn start_again(&mut self) {
        self.child = spawn(&self.program, &self.directory);
        self.wait();
    }

    #[expect(clippy::disallowed_methods, reason = "a test has time")]
    fn wait(&self) {
        for _ in 0..12_000 {
            if std::net::TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("Mosquitto does not start");
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(program: &PathBuf, directory: &TempDir) -> Child {
    let mut command = Command::new(program);
    command.arg("-c").arg(directory.path().join("mosquitto.conf"));
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

//! What others wrote, where the test command has put it, and keys for TLS.

use std::path::PathBuf;
use std::process::{Command, Output};

use tempfile::TempDir;

/// A Python that has Paho, if it is there.
pub fn paho() -> Option<PathBuf> {
    let given = std::env::var_os("HEADWATER_TEST_PAHO").map(PathBuf::from);
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")));
    let usual = cache.map(|cache| cache.join("headwater/paho-2.1.0"));
    let python = given.or(usual)?.join("bin/python");
    let is_there = python.exists();
    if !is_there {
        println!("left out: Paho is not at {}; tests/run fetches it", python.display());
    }
    is_there.then_some(python)
}

/// Mosquitto, if it is there with its clients.
pub fn mosquitto() -> Option<PathBuf> {
    let given = std::env::var_os("HEADWATER_TEST_MOSQUITTO").map(PathBuf::from);
    let server = given.unwrap_or_else(|| PathBuf::from("/usr/sbin/mosquitto"));
    let has_clients = Command::new("mosquitto_pub").arg("--help").output().is_ok();
    let is_there = server.exists() && has_clients;
    if !is_there {
        println!("left out: Mosquitto is not at {}; tests/run installs it if it may", server.display());
    }
    is_there.then_some(server)
}

/// Runs a command to its end.
pub async fn run(command: &mut Command) -> Output {
    let child =
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    tokio::task::spawn_blocking(|| child.wait_with_output().unwrap()).await.unwrap()
}

/// Keys for TLS: `ca`, and `server` and `client` signed by it, for 127.0.0.1.
pub struct Keys(TempDir);

impl Keys {
    /// Makes them with OpenSSL, if that is there.
    #[expect(clippy::disallowed_methods, reason = "a test makes its own files")]
    pub fn make() -> Option<Self> {
        let keys = Self(tempfile::tempdir().unwrap());
        let openssl = |arguments: &[&str]| {
            let output = Command::new("openssl").args(arguments).current_dir(keys.0.path()).output();
            let done = output.as_ref().is_ok_and(|output| output.status.success());
            if !done {
                println!("left out: openssl makes no keys: {output:?}");
            }
            done.then_some(())
        };
        let new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
        let ca = ["req", "-x509", "-days", "2", "-subj", "/CN=ca", "-keyout", "ca.key", "-out", "ca.crt"];
        openssl(&[&ca[..], &new[..]].concat())?;
        std::fs::write(keys.path("names"), "subjectAltName=IP:127.0.0.1,DNS:localhost\n").unwrap();
        for name in ["server", "client"] {
            let (key, request, certificate) =
                (format!("{name}.key"), format!("{name}.csr"), format!("{name}.crt"));
            let subject = format!("/CN={name}");
            openssl(&[&["req", "-subj", &subject, "-keyout", &key, "-out", &request], &new[..]].concat())?;
            openssl(&[
                "x509",
                "-req",
                "-days",
                "2",
                "-in",
                &request,
                "-CA",
                "ca.crt",
                "-CAkey",
                "ca.key",
                "-CAcreateserial",
                "-extfile",
                "names",
                "-out",
                &certificate,
            ])?;
        }
        Some(keys)
    }

    /// Where a file is.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

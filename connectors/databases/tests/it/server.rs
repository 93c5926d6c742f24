//! A database server of one's own, as unprivileged as can be: started, killed, started again, asked by the client that comes with it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::ports::free_port;

/// Which server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Postgres,
    MariaDb,
}

/// A server, killed when dropped.
pub struct Server {
    pub kind: Kind,
    programs: PathBuf,
    dir: tempfile::TempDir,
    port: u16,
    child: Option<Child>,
}

pub const PASSWORD: &str = "a secret of tests";

impl Server {
    /// Starts a new server, if its programs are where `tests/run` says that they are.
    pub fn start(kind: Kind) -> Option<Self> {
        let (variable, usual) = match kind {
            Kind::Postgres => ("HEADWATER_TEST_POSTGRES", "postgresql"),
            Kind::MariaDb => ("HEADWATER_TEST_MARIADB", "mariadb-server"),
        };
        let programs = std::env::var_os(variable).map(PathBuf::from).filter(|programs| programs.is_dir());
        let Some(programs) = programs else {
            println!("left out: {variable} is not set; tests/run sets it where {usual} is installed");
            return None;
        };
        let dir = tempfile::Builder::new().prefix("headwater-db").tempdir_in("/tmp").unwrap();
        let mut server = Self { kind, programs, dir, port: free_port(), child: None };
        server.install();
        server.run();
        server.prepare();
        Some(server)
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    /// A program of the server's as somebody who may nothing: servers refuse to be root.
    fn program(&self, name: &str) -> Command {
        let program = self.programs.join(name);
        if !is_root() {
            return Command::new(program);
        }
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(program)
            .env("HOME", self.dir.path());
        command
    }

    fn install(&self) {
        write(&self.dir.path().join("password"), PASSWORD);
        certify(self.dir.path());
        let mut command = match self.kind {
            Kind::Postgres => {
                let mut command = self.program("initdb");
                command.args([
                    "--username=tests",
                    "--auth-local=trust",
                    "--auth-host=scram-sha-256",
                    "--no-sync",
                ]);
                command.args(["--encoding=UTF8", "--locale=C", "--pwfile"]).arg(self.path("password"));
                command.arg("--pgdata").arg(self.path("data"));
                command
            }
            Kind::MariaDb => {
                let mut command = self.program("bin/mariadb-install-db");
                command.args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"]);
                command.arg(format!("--datadir={}", self.path("data")));
                command
            }
        };
        if is_root() {
            let own =
                Command::new("chown").args(["-R", "65534:65534"]).arg(self.dir.path()).status().unwrap();
            assert!(own.success());
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Starts the server on what is in its directory, and waits until it answers.
    pub fn run(&mut self) {
        for _ in 0..20 {
            let mut child = self.command().spawn().unwrap();
            for _ in 0..1_200 {
                if child.try_wait().unwrap().is_some() {
                    break;
                }
                if self.try_ask("SELECT 1").is_ok() {
                    self.child = Some(child);
                    return;
                }
                pause(50);
            }
            // What is left of the one before may not have gone yet.
            let _ = child.kill();
            let _ = child.wait();
            pause(250);
        }
        panic!(
            "the server does not start: {}",
            std::fs::read_to_string(self.path("log")).unwrap_or_default()
        );
    }

    fn command(&self) -> Command {
        let log = std::fs::File::create(self.path("log")).unwrap();
        let port = self.port.to_string();
        let mut command = match self.kind {
            Kind::Postgres => {
                let mut command = self.program("postgres");
                command.args([
                    "-D",
                    &self.path("data"),
                    "-h",
                    "127.0.0.1",
                    "-p",
                    &port,
                    "-k",
                    &self.path(""),
                ]);
                // A killed process loses nothing of what it has written; the machine is not killed here.
                for setting in ["fsync=off", "max_connections=20", "shared_buffers=16MB", "ssl=on"] {
                    command.args(["-c", setting]);
                }
                command.args(["-c", &format!("ssl_cert_file={}", self.path("server.pem"))]);
                command.args(["-c", &format!("ssl_key_file={}", self.path("server.key"))]);
                command
            }
            Kind::MariaDb => {
                let mut command = self.program("sbin/mariadbd");
                command.arg("--no-defaults").arg(format!("--datadir={}", self.path("data")));
                command.args(["--bind-address=127.0.0.1", &format!("--port={port}")]);
                command.arg(format!("--socket={}", self.path("socket")));
                command.arg(format!("--pid-file={}", self.path("pid")));
                command.args(["--innodb-flush-log-at-trx-commit=2", "--innodb-buffer-pool-size=32M"]);
                command.args(["--innodb-lock-wait-timeout=5", "--performance-schema=off"]);
                command.arg(format!("--ssl-cert={}", self.path("server.pem")));
                command.arg(format!("--ssl-key={}", self.path("server.key")));
                command
            }
        };
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        command
    }

    fn prepare(&self) {
        match self.kind {
            Kind::Postgres => drop(self.ask("CREATE DATABASE fleet")),
            Kind::MariaDb => drop(self.ask(&format!(
                "CREATE DATABASE fleet; CREATE USER tests@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'; \
                 CREATE USER tests@localhost IDENTIFIED BY '{PASSWORD}'; \
                 GRANT ALL ON *.* TO tests@'127.0.0.1'; GRANT ALL ON *.* TO tests@localhost"
            ))),
        }
    }

    /// Kills the server as a failing machine would.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Asks through the socket, as the server's owner, and answers what the client prints: a line a row, a tab between columns.
    pub fn ask(&self, sql: &str) -> String {
        self.try_ask(sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    pub fn try_ask(&self, sql: &str) -> Result<String, String> {
        let mut command = match self.kind {
            Kind::Postgres => {
                let mut command = Command::new(self.programs.join("psql"));
                let database = if sql.starts_with("CREATE DATABASE") || sql == "SELECT 1" {
                    "postgres"
                } else {
                    "fleet"
                };
                command.args([
                    "-X",
                    "-A",
                    "-t",
                    "-q",
                    "-F",
                    "\t",
                    "-U",
                    "tests",
                    "-h",
                    &self.path(""),
                    "-d",
                    database,
                ]);
                command.args(["-p", &self.port.to_string(), "-v", "ON_ERROR_STOP=1", "-c", sql]);
                command
            }
            Kind::MariaDb => {
                let mut command = Command::new(self.programs.join("bin/mariadb"));
                command.args([
                    "--no-defaults",
                    "--socket",
                    &self.path("socket"),
                    "-u",
                    "root",
                    "-N",
                    "-B",
                    "--raw",
                ]);
                command.arg("--default-character-set=utf8mb4");
                if !sql.starts_with("CREATE DATABASE") && sql != "SELECT 1" {
                    command.arg("fleet");
                }
                command.args(["-e", sql]);
                command
            }
        };
        let output = command.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    /// The URL, as JDBC writes it.
    pub fn url(&self) -> String {
        let name = match self.kind {
            Kind::Postgres => "postgresql",
            Kind::MariaDb => "mariadb",
        };
        format!("jdbc:{name}://127.0.0.1:{}/fleet", self.port)
    }

    /// The authority that the server's certificate comes from, and another one.
    pub fn authorities(&self) -> [String; 2] {
        [self.path("ca.pem"), self.path("other.pem")]
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// An authority, a certificate for 127.0.0.1 from it, and an authority that has nothing to do with it.
fn certify(dir: &Path) {
    let openssl = |arguments: &[&str]| {
        let output = Command::new("openssl").current_dir(dir).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    for name in ["ca", "other"] {
        let (key, certificate, subject) =
            (format!("{name}.key"), format!("{name}.pem"), format!("/CN={name}"));
        let made = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", &subject];
        openssl(&[&made[..], &["-keyout", &key, "-out", &certificate]].concat());
    }
    openssl(&[
        "req",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-subj",
        "/CN=server",
        "-keyout",
        "server.key",
        "-out",
        "server.csr",
    ]);
    write(&dir.join("names"), "subjectAltName = IP:127.0.0.1\n");
    let signed =
        ["x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"];
    openssl(&[&signed[..], &["-days", "2", "-extfile", "names", "-out", "server.pem"]].concat());
    openssl(&["rsa", "-in", "server.key", "-out", "server.key"]);
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n")
}

#[expect(clippy::disallowed_methods, reason = "a test has no World")]
fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
}

#[expect(clippy::disallowed_methods, reason = "a test has no World")]
pub fn pause(millis: u64) {
    std::thread::sleep(Duration::from_millis(millis));
}

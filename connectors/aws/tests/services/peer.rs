//! boto3 as a child process: what others say and hear.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

/// An emulator of a service, and a client of it.
pub struct Peer {
    service: &'static str,
    pub url: String,
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Peer {
    /// The emulator whose URL is in the environment variable, or `None`, which is said.
    pub fn of(service: &'static str, variable: &str) -> Option<Self> {
        let (Ok(url), Ok(python)) = (std::env::var(variable), std::env::var("HEADWATER_TEST_BOTO3")) else {
            eprintln!("left out: {service}, as {variable} or HEADWATER_TEST_BOTO3 is not set");
            return None;
        };
        let mut child = Command::new(python);
        let mut child = child
            .args(["-c", include_str!("peer.py")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (to, from) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Some(Self { service, url, child, to, from })
    }

    /// Calls; an error is its code.
    pub fn try_call(&mut self, call: &str, args: Value) -> Result<Value, String> {
        let ask = json!({"service": self.service, "url": self.url, "call": call, "args": args});
        writeln!(self.to, "{ask}").unwrap();
        let mut line = String::new();
        self.from.read_line(&mut line).unwrap();
        let mut said: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{call}: {line}"));
        match said["error"].as_str() {
            Some(code) => Err(code.to_owned()),
            None => Ok(said["ok"].take()),
        }
    }

    /// Calls, and it must succeed.
    #[track_caller]
    pub fn call(&mut self, call: &str, args: Value) -> Value {
        self.try_call(call, args).unwrap_or_else(|code| panic!("{call}: {code}"))
    }

    /// The options by which our connectors find the emulator.
    #[allow(dead_code, reason = "tests of the binary, which take this file too, say them in SQL")]
    pub fn options<'a>(&'a self, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
        let mut options = vec![
            ("aws.endpoint", self.url.as_str()),
            ("aws.region", "us-east-1"),
            ("aws.credentials.basic.accesskeyid", "test"),
            ("aws.credentials.basic.secretkey", "test"),
        ];
        options.extend(more);
        options
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

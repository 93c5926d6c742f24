//! The test command, run with tools that fail: it ends with their failure, and says what it left out all the same.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A folder of tools that stand before the real ones, removed in the end.
struct Tools(PathBuf);

impl Tools {
    /// `cargo` runs this script; nothing else that the command may ask for does anything.
    fn new(name: &str, cargo: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("headwater-tidy-{name}-{}", std::process::id()));
        let tools = Self(folder);
        for tool in ["cc", "curl", "pkg-config", "python3", "apt-get"] {
            tools.add(tool, "exit 0");
        }
        tools.add("rustup", "exit 1");
        tools.add("cargo", cargo);
        tools
    }

    fn add(&self, name: &str, script: &str) {
        let path = self.0.join(name);
        let made = Command::new("/bin/sh")
            .args(["-c", "mkdir -p \"$(dirname \"$0\")\" && printf '#!/bin/sh\\n%s\\n' \"$1\" > \"$0\" && chmod +x \"$0\""])
            .arg(&path)
            .arg(script)
            .status();
        assert!(made.expect("a shell runs").success(), "{}", path.display());
    }

    fn run(&self) -> Output {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the crate lies in tests");
        let path = format!("{}:/usr/bin:/bin", self.0.display());
        let command = Command::new(root.join("tests/run"))
            .arg("--quick")
            .env("PATH", path)
            .env("XDG_CACHE_HOME", self.0.join("cache"))
            .output();
        command.expect("bash runs")
    }
}

impl Drop for Tools {
    fn drop(&mut self) {
        // What cannot be removed stays among the temporary files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn what_was_left_out_is_said_when_tests_fail_too() {
    let tools = Tools::new("fails", "[ \"$1\" != test ] || exit 7");
    let output = tools.run();
    let said = said(&output);
    assert_eq!(output.status.code(), Some(7), "{said}");
    assert!(said.contains("== tests\nleft out: ") && said.contains("left out: Apache Kafka"), "{said}");
    assert!(!said.contains("left out: rustfmt") && !said.contains("left out: clippy"), "{said}");
}

#[test]
fn an_oracle_that_says_something_else_than_what_is_committed_fails() {
    let tools = Tools::new("oracles", "exit 0");
    let differs = "case \"$1\" in */oracle/weather.py) echo 1 >> \"${1%tests/*}queries/weather/expected/freeze_spells.csv\" ;; esac";
    tools.add("python3", differs);
    let output = tools.run();
    let said = said(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("Files queries/weather/expected/freeze_spells.csv and ")
            && said.contains("tests/oracle"),
        "{said}"
    );
    assert!(!said.contains("Files fixtures") && !said.contains("== tests"), "{said}");

    tools.add("python3", "case \"$1\" in */oracle/streaming.py) exit 3 ;; esac");
    let output = tools.run();
    assert_eq!(output.status.code(), Some(1), "{}", self::said(&output));
}

#[test]
fn a_toolchain_without_rustfmt_and_clippy_will_do() {
    let tools = Tools::new("minimal", "[ \"$1\" != fmt ] && [ \"$1\" != clippy ]");
    let output = tools.run();
    let said = said(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("left out: rustfmt") && said.contains("left out: clippy"), "{said}");
}

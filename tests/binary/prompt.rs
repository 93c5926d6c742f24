//! The prompt, at a terminal: `terminal.py` types, and this looks at what was shown.

use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use serde_json::json;

use crate::process::{Server, headwater, write};

/// Types at a prompt with this home, and answers the exit code and what the terminal showed.
fn type_at(arguments: &[&str], home: &Path, steps: &[(&str, &str)]) -> (Option<i32>, String) {
    let binary = headwater(arguments);
    let mut command = std::process::Command::new("python3");
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/binary/terminal.py"));
    command.arg(binary.get_program()).args(arguments);
    for (name, value) in binary.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.env("HOME", home).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(json!(steps).to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

const PROMPT: &str = "headwater> ";
const MORE: &str = "... ";

#[tokio::test(flavor = "multi_thread")]
async fn statements_are_typed_corrected_and_recalled() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::serve(&dir.path().join("data"));
    server.sql("CREATE STREAM readings (device STRING NOT NULL, temp DOUBLE)").await;
    let arguments = ["sql", "--url", &server.url];
    let script = dir.path().join("script.sql");
    write(&script, "\u{feff}SELECT 'from a file' AS here;\n");
    let (code, shown) = type_at(
        &arguments,
        dir.path(),
        &[
            (PROMPT, "\\?\r"),
            ("leave (as Ctrl-D does)", ""),
            (PROMPT, "SELECT 40\r"),
            (MORE, "+ 2 AS answer;\r"),
            ("| 42 ", ""),
            ("1 row", ""),
            (PROMPT, "SELECT nothing FROM readings;\r"),
            ("HW3003", ""),
            (PROMPT, "SELECT 'never"),
            ("never", "\u{3}"),
            (PROMPT, "\\s\r"),
            ("| readings", ""),
            (PROMPT, "\\d readings\r"),
            ("| device", ""),
            (PROMPT, "\\x\r"),
            ("there is no \\x", ""),
            (PROMPT, "SELECT 'one;\r"),
            (MORE, "two' AS both; -- that is all\r"),
            ("1 row", ""),
            (PROMPT, &format!("\\i {}\r", script.display())),
            ("| from a file ", ""),
            (PROMPT, "\\i nowhere.sql\r"),
            ("cannot read nowhere.sql", ""),
            (PROMPT, "INSERT INTO readings VALUES ('t1', 20.5);\r"),
            ("INSERT 1", ""),
            (PROMPT, "\\q\r"),
        ],
    );
    assert_eq!(code, Some(0), "{shown}");

    // Another day: the last statements are still known.
    let up = "\u{1b}[A";
    let (code, shown) = type_at(
        &arguments,
        dir.path(),
        &[
            (PROMPT, &format!("{up}\r")),
            ("INSERT INTO readings", ""),
            ("INSERT 1", ""),
            (PROMPT, "SELECT COUNT(*) AS n FROM readings;\r"),
            ("| 2 ", ""),
            (PROMPT, "\u{4}"),
        ],
    );
    assert_eq!(code, Some(0), "{shown}");
    assert_eq!(server.terminate(), Some(0));
}

#[test]
fn a_prompt_runs_on_a_data_directory_too() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let (code, shown) = type_at(
        &["sql", "--data", data.to_str().unwrap()],
        dir.path(),
        &[
            (PROMPT, "CREATE STREAM s (n BIGINT); INSERT INTO s VALUES (1), (2);\r"),
            ("INSERT 2", ""),
            (PROMPT, "SELECT SUM(n) AS sum FROM s;\r"),
            ("| 3 ", ""),
            (PROMPT, "exit\r"),
        ],
    );
    assert_eq!(code, Some(0), "{shown}");
}

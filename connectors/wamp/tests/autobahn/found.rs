//! Autobahn, where the test command has put it.

use std::path::PathBuf;
use std::process::Command;

/// A Python that has Autobahn, if it is there.
pub fn python() -> Option<PathBuf> {
    let python = installed("HEADWATER_TEST_AUTOBAHN", "autobahn-26.10.2")?.join("bin/python");
    let is_there = python.exists();
    if !is_there {
        println!("left out: Autobahn for Python is not at {}; tests/run fetches it", python.display());
    }
    is_there.then_some(python)
}

/// Where Autobahn for JavaScript is, if it is there with a Node.js that has WebSockets.
pub fn javascript() -> Option<PathBuf> {
    let modules = installed("HEADWATER_TEST_AUTOBAHN_JS", "autobahn-js-26.3.1")?.join("node_modules");
    let node = Command::new("node").args(["--experimental-websocket", "--version"]).output();
    let is_there = modules.exists() && node.is_ok_and(|output| output.status.success());
    if !is_there {
        println!("left out: Autobahn for JavaScript is not at {}; tests/run fetches it", modules.display());
    }
    is_there.then_some(modules)
}

/// Where a variable says that it is, or a folder of the cache.
fn installed(variable: &str, folder: &str) -> Option<PathBuf> {
    let given = std::env::var_os(variable).map(PathBuf::from);
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")));
    given.or_else(|| Some(cache?.join("headwater").join(folder)))
}

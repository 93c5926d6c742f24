//! Ports for servers that are told theirs before they listen.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

/// A port on which nobody listens, another one with each call. It lies below those that the system gives to connections (Linux: from
/// 32,768 on), so that none of them takes it before the server does, or while it is down.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Programs of tests that run at the same time begin at different places.
    let begin = u16::try_from(std::process::id() % 11_000 * 97 % 11_000).unwrap();
    loop {
        let nth = (begin + NEXT.fetch_add(1, Ordering::Relaxed) % 11_000) % 11_000;
        if TcpListener::bind(("127.0.0.1", 21_000 + nth)).is_ok() {
            return 21_000 + nth;
        }
    }
}

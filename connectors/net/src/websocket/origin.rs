//! Keeps web pages of strangers away from servers on this machine.
//!
//! A browser lets any page ask for a WebSocket to `127.0.0.1`, also under a name of the page's own that was made to lead there. So who
//! comes over loopback must have asked for a loopback name, and a page must be one of this machine's.

use headwater_core::is_loopback_name;

/// Whether a request over loopback may come from a page of strangers: to this host, from this origin.
pub(super) fn is_stranger(host: Option<&str>, origin: Option<&str>) -> bool {
    let of_page = |origin: &str| origin.split_once("://").is_some_and(|(_, host)| is_loopback_name(host));
    !host.is_some_and(is_loopback_name) || origin.is_some_and(|origin| !of_page(origin))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_this_machine_may_ask_and_those_of_strangers_may_not() {
        for (host, origin) in [
            ("127.0.0.1:1883", None),
            ("localhost:1883", Some("http://localhost:3000")),
            ("[::1]:1883", Some("http://127.0.0.1")),
        ] {
            assert!(!is_stranger(Some(host), origin), "{host} {origin:?}");
        }
        for (host, origin) in [
            ("127.0.0.1:1883", Some("https://evil.example")),
            ("127.0.0.1:1883", Some("http://localhost.evil.example")),
            ("127.0.0.1:1883", Some("null")),
            ("evil.example:1883", None),
            ("evil.example:1883", Some("http://localhost:3000")),
        ] {
            assert!(is_stranger(Some(host), origin), "{host} {origin:?}");
        }
    }
}

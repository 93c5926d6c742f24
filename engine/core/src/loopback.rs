//! Which names in addresses mean this machine, so that servers on it can tell pages of strangers from its own.

use std::net::IpAddr;

/// Whether `host`, with a port or without, is a name or an address of loopback.
pub fn is_loopback_name(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_of_loopback_with_a_port_or_without() {
        for own in ["localhost", "LOCALHOST:80", "127.0.0.1", "127.1.2.3:8585", "[::1]", "[::1]:8585"] {
            assert!(is_loopback_name(own), "{own}");
        }
        for other in
            ["", "localhost.evil.example:80", "evil.example", "10.0.0.1:80", "[2001:db8::1]:80", "0.0.0.0"]
        {
            assert!(!is_loopback_name(other), "{other}");
        }
    }
}

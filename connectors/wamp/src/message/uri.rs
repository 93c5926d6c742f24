//! URIs: what is well-formed, and those that the protocol itself gives meaning to.
//!
//! A URI is components with dots between. Loosely, a component is anything but white space, `#` and dots; strictly, it is made of
//! small letters, digits and underscores. Empty components have a meaning in wildcard patterns, and a prefix may end in a dot.

/// Whether every component is there and well-formed.
pub fn is_valid(uri: &str, strict: bool) -> bool {
    uri.split('.').all(|part| !part.is_empty() && is_part(part, strict))
}

/// Whether it may be used as a prefix.
pub fn is_valid_prefix(prefix: &str, strict: bool) -> bool {
    prefix.is_empty() || is_valid(prefix.strip_suffix('.').unwrap_or(prefix), strict)
}

/// Whether it may be used as a wildcard pattern.
pub fn is_valid_wildcard(pattern: &str, strict: bool) -> bool {
    pattern.split('.').all(|part| is_part(part, strict))
}

/// Whether it belongs to the protocol: applications may not publish to it or register it.
pub fn is_reserved(uri: &str) -> bool {
    uri == "wamp" || uri.starts_with("wamp.")
}

/// Whether a realm may be called so.
pub fn is_valid_realm(name: &str) -> bool {
    is_valid(name, false) && name.len() <= 255
}

fn is_part(part: &str, strict: bool) -> bool {
    if strict {
        part.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
    } else {
        part.chars().all(|letter| !letter.is_whitespace() && letter != '#')
    }
}

/// Errors, under `wamp.error.`
#[expect(missing_docs, reason = "the names say what they are")]
pub mod error {
    pub const INVALID_URI: &str = "wamp.error.invalid_uri";
    pub const INVALID_ARGUMENT: &str = "wamp.error.invalid_argument";
    pub const INVALID_PAYLOAD: &str = "wamp.error.invalid_payload";
    pub const NO_SUCH_PROCEDURE: &str = "wamp.error.no_such_procedure";
    pub const PROCEDURE_ALREADY_EXISTS: &str = "wamp.error.procedure_already_exists";
    pub const NO_SUCH_REGISTRATION: &str = "wamp.error.no_such_registration";
    pub const NO_SUCH_SUBSCRIPTION: &str = "wamp.error.no_such_subscription";
    pub const NO_SUCH_SESSION: &str = "wamp.error.no_such_session";
    pub const NO_SUCH_REALM: &str = "wamp.error.no_such_realm";
    pub const CANCELED: &str = "wamp.error.canceled";
    pub const TIMEOUT: &str = "wamp.error.timeout";
    pub const UNAVAILABLE: &str = "wamp.error.unavailable";
    pub const NO_AVAILABLE_CALLEE: &str = "wamp.error.no_available_callee";
    pub const FEATURE_NOT_SUPPORTED: &str = "wamp.error.feature_not_supported";
    pub const PAYLOAD_SIZE_EXCEEDED: &str = "wamp.error.payload_size_exceeded";
    pub const PROTOCOL_VIOLATION: &str = "wamp.error.protocol_violation";
    pub const NOT_AUTHORIZED: &str = "wamp.error.not_authorized";
    pub const AUTHORIZATION_FAILED: &str = "wamp.error.authorization_failed";
    pub const NO_MATCHING_AUTH_METHOD: &str = "wamp.error.no_matching_auth_method";
    pub const AUTHENTICATION_DENIED: &str = "wamp.error.authentication_denied";
    pub const DISCLOSE_ME: &str = "wamp.error.option_disallowed.disclose_me";
    pub const HISTORY_UNAVAILABLE: &str = "wamp.error.history_unavailable";
    pub const RUNTIME_ERROR: &str = "wamp.error.runtime_error";
    pub const TESTAMENT: &str = "wamp.error.testament_error";
}

/// Reasons to part, under `wamp.close.`
#[expect(missing_docs, reason = "the names say what they are")]
pub mod close {
    pub const NORMAL: &str = "wamp.close.normal";
    pub const GOODBYE_AND_OUT: &str = "wamp.close.goodbye_and_out";
    pub const KILLED: &str = "wamp.close.killed";
    pub const SYSTEM_SHUTDOWN: &str = "wamp.close.system_shutdown";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loose_uris() {
        for good in ["com", "com.example.topic1", "com.ü", "A.B-c", "a_b.c:d/e"] {
            assert!(is_valid(good, false), "{good}");
        }
        for bad in ["", ".", "a.", ".a", "a..b", "a b", "a.b#c", "a.\tb", "a.\u{2003}b"] {
            assert!(!is_valid(bad, false), "{bad:?}");
        }
    }

    #[test]
    fn strict_uris() {
        assert!(is_valid("com.example_1.topic", true));
        for bad in ["com.Example", "com.a-b", "com.ü", "com..a"] {
            assert!(!is_valid(bad, true), "{bad}");
        }
    }

    #[test]
    fn patterns() {
        for good in ["", "a", "a.", "a.b"] {
            assert!(is_valid_prefix(good, false), "{good:?}");
        }
        for bad in ["a..b", ".a", "a..", "."] {
            assert!(!is_valid_prefix(bad, false), "{bad:?}");
        }
        for good in ["a..b", ".a", "a.", ".", "..", "a.b"] {
            assert!(is_valid_wildcard(good, false), "{good:?}");
        }
        assert!(!is_valid_wildcard("a. .b", false));
        assert!(is_reserved("wamp.session.count") && is_reserved("wamp") && !is_reserved("wampum.a"));
    }
}

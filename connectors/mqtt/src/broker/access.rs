//! Who may come in, and what they may do then.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use ring::hmac;

use crate::topic::matches;
use crate::wire::ConnectReasonCode;

/// Who may come in.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// Whether those may who do not say who they are.
    pub anonymous: bool,
    /// Who is known, by name.
    pub users: HashMap<String, User>,
}

impl Access {
    /// Everybody may do everything.
    pub fn open() -> Self {
        Self { anonymous: true, users: HashMap::new() }
    }

    /// What a client may do, or why it may not come in. A name that is not known is nobody, even where those without a name may come in.
    pub(super) fn admit(
        &self,
        client: &str,
        name: Option<&str>,
        password: &[u8],
    ) -> Result<Arc<Rights>, ConnectReasonCode> {
        let Some(name) = name else {
            return self.anonymous.then(Arc::default).ok_or(ConnectReasonCode::NotAuthorized);
        };
        if self.users.is_empty() && self.anonymous {
            return Ok(Arc::default());
        }
        let user = self.users.get(name).filter(|user| user.has_password(password));
        let user = user.ok_or(ConnectReasonCode::BadUserNameOrPassword)?;
        let filters = |patterns: &Option<Vec<String>>| -> Result<_, ConnectReasonCode> {
            let Some(patterns) = patterns else { return Ok(None) };
            patterns.iter().map(|pattern| fill(pattern, name, client)).collect::<Result<_, _>>().map(Some)
        };
        Ok(Arc::new(Rights { publish: filters(&user.publish)?, subscribe: filters(&user.subscribe)? }))
    }
}

/// A pattern with the name for `%u` and the id for `%c`. Clients choose their ids: one that reads as a wildcard, as several levels or
/// as the broker's own topics would widen the pattern, and is refused where it would be used.
fn fill(pattern: &str, name: &str, client: &str) -> Result<String, ConnectReasonCode> {
    let is_one_level = |text: &str| !text.starts_with('$') && !text.contains(['+', '#', '/']);
    if pattern.contains("%u") && !is_one_level(name) {
        return Err(ConnectReasonCode::NotAuthorized);
    }
    if pattern.contains("%c") && !is_one_level(client) {
        return Err(ConnectReasonCode::ClientIdentifierNotValid);
    }
    // Piece by piece, as a name may have `%c` in it.
    let pieces: Vec<_> = pattern.split("%u").map(|piece| piece.replace("%c", client)).collect();
    Ok(pieces.join(name))
}

/// Somebody who is known.
#[derive(Clone)]
pub struct User {
    /// Hides the password even from a dump of memory, and makes comparing it take as long whatever is given.
    proof: hmac::Tag,
    key: hmac::Key,
    /// Filters of the topics that may be published to, all if `None`; `%u` is the name and `%c` the client's id.
    pub publish: Option<Vec<String>>,
    /// Filters of what may be subscribed to, all if `None`.
    pub subscribe: Option<Vec<String>>,
}

impl User {
    /// Somebody with a password who may do everything. `salt` is any number.
    pub fn new(password: &[u8], salt: u64) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &salt.to_be_bytes());
        Self { proof: hmac::sign(&key, password), key, publish: None, subscribe: None }
    }

    fn has_password(&self, given: &[u8]) -> bool {
        hmac::verify(&self.key, given, self.proof.as_ref()).is_ok()
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User")
            .field("publish", &self.publish)
            .field("subscribe", &self.subscribe)
            .finish_non_exhaustive()
    }
}

/// What a client may do. `None` is everything.
#[derive(Debug, Default)]
pub(super) struct Rights {
    publish: Option<Vec<String>>,
    subscribe: Option<Vec<String>>,
}

impl Rights {
    pub(super) fn may_publish(&self, topic: &str) -> bool {
        self.publish.as_ref().is_none_or(|filters| filters.iter().any(|filter| matches(filter, topic)))
    }

    pub(super) fn may_subscribe(&self, filter: &str) -> bool {
        self.subscribe.as_ref().is_none_or(|allowed| allowed.iter().any(|allowed| covers(allowed, filter)))
    }
}

/// Whether everything that `filter` matches is matched by `allowed`, too.
fn covers(allowed: &str, filter: &str) -> bool {
    if filter.starts_with('$') && allowed.starts_with(['+', '#']) {
        return false;
    }
    let (mut allowed, mut wanted) = (allowed.split('/'), filter.split('/'));
    loop {
        match (allowed.next(), wanted.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(wanted)) if wanted != "#" => {}
            (Some(allowed), Some(wanted)) if allowed == wanted => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_passwords_and_filters_decide() {
        let mut access = Access::default();
        let mut user = User::new(b"right", 7);
        user.publish = Some(vec!["plant/%u/#".to_owned(), "clients/%c".to_owned()]);
        user.subscribe = Some(vec!["plant/+/commands".to_owned(), "news/#".to_owned()]);
        access.users.insert("t7".to_owned(), user);
        assert!(access.admit("c", None, b"").is_err());
        assert!(access.admit("c", Some("t7"), b"wrong").is_err());
        assert!(access.admit("c", Some("t8"), b"right").is_err());
        let rights = access.admit("c", Some("t7"), b"right").unwrap();
        assert!(rights.may_publish("plant/t7/temp") && rights.may_publish("clients/c"));
        assert!(!rights.may_publish("plant/t8/temp") && !rights.may_publish("clients/d"));
        for (filter, expected) in [
            ("plant/t7/commands", true),
            ("plant/+/commands", true),
            ("plant/#", false),
            ("plant/t7/#", false),
            ("news/#", true),
            ("news", true),
            ("news/+/x", true),
            ("#", false),
            ("+", false),
        ] {
            assert_eq!(rights.may_subscribe(filter), expected, "{filter}");
        }
        access.anonymous = true;
        assert!(access.admit("c", None, b"").is_ok());
        assert!(access.admit("c", Some("t8"), b"").is_err(), "an unknown name is not nobody");
        assert!(Access::open().admit("c", Some("anything"), b"at all").is_ok());
        assert!(!covers("#", "$SYS/x"));
    }

    #[test]
    fn a_client_id_or_a_name_cannot_widen_a_pattern() {
        let user = |pattern: &str| User {
            subscribe: Some(vec![pattern.to_owned()]),
            publish: Some(vec!["news/#".to_owned()]),
            ..User::new(b"", 7)
        };
        let names = ["t7", "a/b", "+", "%c"];
        let users = |pattern: &str| names.map(|name| (name.to_owned(), user(pattern))).into();
        let by_id = Access { anonymous: false, users: users("clients/%c/#") };
        for id in ["+", "#", "a/b", "a+", "/", "a#", "$SYS"] {
            let refused = by_id.admit(id, Some("t7"), b"").unwrap_err();
            assert_eq!(refused, ConnectReasonCode::ClientIdentifierNotValid, "{id}");
        }
        let rights = by_id.admit("%u", Some("a/b"), b"").unwrap();
        assert!(rights.may_subscribe("clients/%u/x") && !rights.may_subscribe("clients/+/x"));

        let by_name = Access { anonymous: false, users: users("users/%u") };
        for name in ["a/b", "+"] {
            assert_eq!(
                by_name.admit("c", Some(name), b"").unwrap_err(),
                ConnectReasonCode::NotAuthorized,
                "{name}"
            );
        }
        let rights = by_name.admit("+/#", Some("%c"), b"").unwrap();
        assert!(rights.may_subscribe("users/%c") && !rights.may_subscribe("users/+"));
        // Who has no pattern with the id may call itself what it likes.
        assert!(by_name.admit("+/#", Some("t7"), b"").is_ok());
    }
}

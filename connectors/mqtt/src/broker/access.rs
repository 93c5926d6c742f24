//! Who may come in, and what they may do then.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use ring::hmac;

use crate::topic::matches;

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

    /// What a client may do; `None` if it may not come in. A name that is not known is nobody, even where those without a name may come in.
    pub(super) fn admit(&self, client: &str, name: Option<&str>, password: &[u8]) -> Option<Arc<Rights>> {
        let Some(name) = name else { return self.anonymous.then(Arc::default) };
        if self.users.is_empty() && self.anonymous {
            return Some(Arc::default());
        }
        let user = self.users.get(name)?;
        if !user.has_password(password) {
            return None;
        }
        let filters = |patterns: &Option<Vec<String>>| {
            let own = |pattern: &String| pattern.replace("%u", name).replace("%c", client);
            patterns.as_ref().map(|patterns| patterns.iter().map(own).collect())
        };
        Some(Arc::new(Rights { publish: filters(&user.publish), subscribe: filters(&user.subscribe) }))
    }
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
        assert!(access.admit("c", None, b"").is_none());
        assert!(access.admit("c", Some("t7"), b"wrong").is_none());
        assert!(access.admit("c", Some("t8"), b"right").is_none());
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
        assert!(access.admit("c", None, b"").is_some());
        assert!(access.admit("c", Some("t8"), b"").is_none(), "an unknown name is not nobody");
        assert!(Access::open().admit("c", Some("anything"), b"at all").is_some());
        assert!(!covers("#", "$SYS/x"));
    }
}

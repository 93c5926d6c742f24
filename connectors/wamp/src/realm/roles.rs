//! What a role may do.
//!
//! Permissions name URIs or patterns of them. Of those that match the most specific one decides: exact before the longest prefix
//! before wildcards. What no permission matches is not allowed. A realm without roles allows everything to everybody.
//!
//! Whoever subscribes to a pattern, registers one, or asks for the events of one must be allowed all that it matches: a pattern that
//! reaches into what is denied is refused.

use crate::message::Match;

/// What can be done with a URI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say what they are")]
pub enum Action {
    Call,
    Register,
    Publish,
    Subscribe,
}

/// A role.
#[derive(Debug, Clone, Default)]
pub struct Role {
    /// The name.
    pub name: String,
    /// What it may do.
    pub permissions: Vec<Permission>,
    /// How far its publications and calls are to be trusted; told to those who receive them.
    pub trustlevel: Option<u64>,
}

/// What a role may do with some URIs.
#[derive(Debug, Clone)]
pub struct Permission {
    /// The URI, or the pattern.
    pub uri: String,
    /// How it matches.
    pub matching: Match,
    /// Whether these may be called.
    pub call: bool,
    /// Whether these may be registered.
    pub register: bool,
    /// Whether these may be published to.
    pub publish: bool,
    /// Whether these may be subscribed to.
    pub subscribe: bool,
    /// Whether a publisher or caller may tell who it is.
    pub may_disclose: bool,
    /// Whether a publisher or caller is told to receivers even if it does not ask for that.
    pub always_disclose: bool,
}

impl Permission {
    /// Allows everything with the URIs of a pattern.
    pub fn all(uri: impl Into<String>, matching: Match) -> Self {
        Self {
            uri: uri.into(),
            matching,
            call: true,
            register: true,
            publish: true,
            subscribe: true,
            may_disclose: true,
            always_disclose: false,
        }
    }

    /// Of permissions that match, the one of the least rank decides.
    fn rank(&self) -> (Match, usize) {
        (self.matching, usize::MAX - self.uri.len())
    }

    fn allows(&self, action: Action) -> bool {
        match action {
            Action::Call => self.call,
            Action::Register => self.register,
            Action::Publish => self.publish,
            Action::Subscribe => self.subscribe,
        }
    }
}

/// What was decided about a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Verdict {
    pub allowed: bool,
    pub may_disclose: bool,
    pub always_disclose: bool,
}

impl Role {
    /// Whether the role may do this with a URI.
    pub(super) fn decide(&self, action: Action, uri: &str) -> Verdict {
        let matching = self.permissions.iter().filter(|one| one.matching.matches(&one.uri, uri));
        let best = matching.min_by_key(|one| one.rank());
        best.map_or(Verdict::DENIED, |best| Verdict {
            allowed: best.allows(action),
            may_disclose: best.may_disclose,
            always_disclose: best.always_disclose,
        })
    }

    /// Whether the role may do this with every URI that a pattern matches: one permission allows all of them, and none that denies some of
    /// them comes before it.
    pub(super) fn allows_all(&self, action: Action, matching: Match, pattern: &str) -> bool {
        let covering = self.permissions.iter().filter(|one| one.matching.covers(&one.uri, matching, pattern));
        covering.min_by_key(|one| one.rank()).is_some_and(|best| {
            let mut before = self.permissions.iter().filter(|one| one.rank() <= best.rank());
            let denied =
                |one: &Permission| !one.allows(action) && one.matching.overlaps(&one.uri, matching, pattern);
            best.allows(action) && !before.any(denied)
        })
    }
}

impl Verdict {
    /// What is decided where there are no roles.
    pub(super) const FREE: Self = Self { allowed: true, may_disclose: true, always_disclose: false };

    /// What is decided where no permission matches.
    pub(super) const DENIED: Self = Self { allowed: false, may_disclose: false, always_disclose: false };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_specific_permission_decides() {
        let none = |uri: &str, matching| Permission {
            call: false,
            register: false,
            publish: false,
            subscribe: false,
            ..Permission::all(uri, matching)
        };
        let role = Role {
            name: "device".into(),
            permissions: vec![
                Permission { register: false, ..Permission::all("com.", Match::Prefix) },
                none("com.secret.", Match::Prefix),
                Permission::all("com.secret.open", Match::Exact),
                Permission::all("org..x", Match::Wildcard),
            ],
            trustlevel: None,
        };
        let allowed = |action, uri| role.decide(action, uri).allowed;
        assert!(allowed(Action::Publish, "com.a") && !allowed(Action::Register, "com.a"));
        assert!(!allowed(Action::Publish, "com.secret.a") && allowed(Action::Register, "com.secret.open"));
        assert!(allowed(Action::Call, "org.a.x") && !allowed(Action::Call, "org.a.y"));
        assert!(!allowed(Action::Call, "net"));

        let all = |matching, pattern| role.allows_all(Action::Subscribe, matching, pattern);
        assert!(
            all(Match::Prefix, "com.a")
                && all(Match::Prefix, "com.secrets")
                && all(Match::Wildcard, "com.a.")
        );
        for prefix in ["", "com", "com.", "com.s", "com.secret", "com.secret.", "com.secret.open", "org.a.x"]
        {
            assert!(!all(Match::Prefix, prefix), "{prefix}");
        }
        assert!(all(Match::Exact, "com.secret.open") && !all(Match::Exact, "com.secret.a"));
        assert!(all(Match::Wildcard, "org..x") && !all(Match::Wildcard, "com..x.y.z"));
        for pattern in ["com..x", "com..", ".secret.open", "org..", "com.secret."] {
            assert!(!all(Match::Wildcard, pattern), "{pattern}");
        }
        assert!(!role.allows_all(Action::Register, Match::Prefix, "com.a"));
    }
}

//! How a subscription or registration matches URIs.

use super::uri;

/// How a subscription or registration matches URIs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Match {
    /// The URI is the same.
    #[default]
    Exact,
    /// The URI begins like this.
    Prefix,
    /// The URI has as many components, and the same where the pattern's are not empty.
    Wildcard,
}

impl Match {
    /// All of them, those that match more narrowly first.
    pub const ALL: [Self; 3] = [Self::Exact, Self::Prefix, Self::Wildcard];

    /// The name, as `options.match` has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Prefix => "prefix",
            Self::Wildcard => "wildcard",
        }
    }

    /// The way of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == name)
    }

    /// Whether `pattern` may be used in this way.
    pub fn is_valid(self, pattern: &str, strict: bool) -> bool {
        match self {
            Self::Exact => uri::is_valid(pattern, strict),
            Self::Prefix => uri::is_valid_prefix(pattern, strict),
            Self::Wildcard => uri::is_valid_wildcard(pattern, strict),
        }
    }

    /// Whether all that a pattern matches, which is matched in the way `other`, is matched by `pattern`, too. Of patterns that are
    /// written in different ways some are taken for not covered that are.
    pub fn covers(self, pattern: &str, other: Self, uri: &str) -> bool {
        match (self, other) {
            // An empty component of a wildcard is a component of every pattern that begins like it.
            (Self::Prefix, _) | (_, Self::Exact) | (Self::Wildcard, Self::Wildcard) => {
                self.matches(pattern, uri)
            }
            (Self::Exact, _) | (Self::Wildcard, Self::Prefix) => false,
        }
    }

    /// Whether `uri` matches `pattern`.
    pub fn matches(self, pattern: &str, uri: &str) -> bool {
        match self {
            Self::Exact => pattern == uri,
            Self::Prefix => uri.starts_with(pattern),
            Self::Wildcard => {
                let (mut parts, mut given) = (pattern.split('.'), uri.split('.'));
                loop {
                    match (parts.next(), given.next()) {
                        (None, None) => return true,
                        (Some(part), Some(given)) if part.is_empty() || part == given => {}
                        _ => return false,
                    }
                }
            }
        }
    }
}

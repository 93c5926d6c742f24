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

    /// Whether there may be a URI that matches `pattern` and the pattern `uri`, which is matched in the way `other`.
    pub fn overlaps(self, pattern: &str, other: Self, uri: &str) -> bool {
        match (self, other) {
            (_, Self::Exact) => self.matches(pattern, uri),
            (Self::Exact, _) => other.matches(uri, pattern),
            (Self::Prefix, Self::Prefix) => pattern.starts_with(uri) || uri.starts_with(pattern),
            (Self::Prefix, Self::Wildcard) => prefix_meets_wildcard(pattern, uri),
            (Self::Wildcard, Self::Prefix) => prefix_meets_wildcard(uri, pattern),
            (Self::Wildcard, Self::Wildcard) => {
                pattern.split('.').count() == uri.split('.').count()
                    && pattern
                        .split('.')
                        .zip(uri.split('.'))
                        .all(|(a, b)| a.is_empty() || b.is_empty() || a == b)
            }
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

/// Whether a URI can begin like the prefix and match the wildcard: all components of the prefix are whole but the last one.
fn prefix_meets_wildcard(prefix: &str, wildcard: &str) -> bool {
    let (mut begun, mut parts) = (prefix.split('.').peekable(), wildcard.split('.'));
    while let Some(begin) = begun.next() {
        let Some(part) = parts.next() else { return false };
        let is_last = begun.peek().is_none();
        if !(part.is_empty() || part == begin || is_last && part.starts_with(begin)) {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::Match::{Exact, Prefix, Wildcard};

    /// Every URI of up to three components out of few letters, among which each overlap must have a witness.
    fn uris() -> Vec<String> {
        let parts = ["a", "b", "ab", "ba"];
        let mut all: Vec<String> = parts.map(str::to_owned).into();
        let longer = |shorter: &[String]| -> Vec<String> {
            shorter.iter().flat_map(|uri| parts.map(|part| format!("{uri}.{part}"))).collect()
        };
        let two = longer(&all);
        all.extend(longer(&two));
        all.extend(two);
        all
    }

    #[test]
    fn patterns_overlap_and_cover_as_the_uris_that_match_them_do() {
        let patterns = [
            (Exact, "a.b"),
            (Exact, "ab"),
            (Prefix, ""),
            (Prefix, "a"),
            (Prefix, "a."),
            (Prefix, "a.b"),
            (Prefix, "a.b."),
            (Prefix, "b.a"),
            (Wildcard, "a."),
            (Wildcard, ".b"),
            (Wildcard, "a..b"),
            (Wildcard, ".ab."),
            (Wildcard, ".."),
            (Wildcard, "a.b"),
        ];
        let uris = uris();
        for (left, a) in patterns {
            for (right, b) in patterns {
                let both = uris.iter().any(|uri| left.matches(a, uri) && right.matches(b, uri));
                assert_eq!(left.overlaps(a, right, b), both, "{left:?} {a:?}, {right:?} {b:?}");
                if left.covers(a, right, b) {
                    let all = uris.iter().all(|uri| left.matches(a, uri) || !right.matches(b, uri));
                    assert!(all, "{left:?} {a:?} does not cover {right:?} {b:?}");
                }
            }
        }
    }
}

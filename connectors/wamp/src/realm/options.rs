//! How a realm is set up.

use super::Role;

/// How a realm is set up.
#[derive(Debug, Clone)]
pub struct RealmOptions {
    /// The name.
    pub name: String,
    /// The roles, and what each may do.
    pub roles: Vec<Role>,
    /// Whether components of URIs are made of small letters, digits and underscores only.
    pub strict_uris: bool,
    /// Whether request ids must follow one another without a gap, as the specification has it.
    pub sequential_requests: bool,
    /// For how many topics the last event is retained.
    pub retained_max: usize,
}

impl RealmOptions {
    /// A realm in which every role may do everything.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            roles: Vec::new(),
            strict_uris: false,
            sequential_requests: true,
            retained_max: 65_536,
        }
    }
}

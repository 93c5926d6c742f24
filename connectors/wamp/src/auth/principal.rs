//! Who is known, and by what.

use super::Secret;
use crate::wire::Dict;

/// What somebody proves a name with.
#[derive(Debug, Clone)]
pub enum Credential {
    /// A text that only the two of us know, sent as it is.
    Ticket(Secret),
    /// A secret that is never sent: WAMP-CRA. With a salt the client derives the key from it.
    Cra {
        /// The secret.
        secret: Secret,
        /// The salt.
        salt: Option<String>,
        /// How often the derivation goes round.
        iterations: u32,
    },
    /// A password that is never sent: SCRAM.
    Scram(Secret),
    /// An Ed25519 key: cryptosign. The public half, 64 hexadecimal digits.
    Cryptosign(String),
}

impl Credential {
    /// Whether it belongs to a method.
    pub(super) fn is_for(&self, method: &str) -> bool {
        match self {
            Self::Ticket(_) => method == "ticket",
            Self::Cra { .. } => method == "wampcra",
            Self::Scram(_) => matches!(method, "wamp-scram" | "scram"),
            Self::Cryptosign(_) => method == "cryptosign",
        }
    }
}

/// Somebody who is known.
#[derive(Debug, Clone)]
pub struct Principal {
    /// The name.
    pub authid: String,
    /// What role it has.
    pub role: String,
    /// What it proves its name with; any of these.
    pub credentials: Vec<Credential>,
    /// What WELCOME tells it beside.
    pub extra: Dict,
}

/// Who may come into a realm.
#[derive(Debug, Clone, Default)]
pub struct AuthOptions {
    /// The role of those who do not say who they are; without one they do not come in.
    pub anonymous: Option<String>,
    /// Who is known.
    pub principals: Vec<Principal>,
}

impl AuthOptions {
    /// Everybody may come in, in the role `anonymous`.
    pub fn open() -> Self {
        Self { anonymous: Some("anonymous".to_owned()), principals: Vec::new() }
    }
}

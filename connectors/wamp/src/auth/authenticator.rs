//! Chooses a method, asks, and judges the answer.

use headwater_core::World;

use super::principal::{AuthOptions, Credential, Principal};
use super::scram::ScramKeys;
use super::{Denied, anonymous, cra, cryptosign, scram, ticket};
use crate::message::Id;
use crate::message::uri::error;
use crate::realm::Identity;
use crate::wire::{Dict, Value};

/// What a client says of itself.
pub struct Hello<'a> {
    /// The id that the session will have.
    pub session: Id,
    /// The details of HELLO.
    pub details: &'a Dict,
}

/// What comes after HELLO.
#[derive(Debug)]
pub enum Begin {
    /// The session is open.
    Welcome(Identity),
    /// A proof is asked for.
    Challenge {
        /// The method.
        method: &'static str,
        /// What is asked.
        extra: Dict,
        /// What the answer must be.
        pending: Pending,
    },
    /// The client does not come in.
    Deny(Denied),
}

/// What the answer to a challenge must be.
#[derive(Debug)]
pub enum Pending {
    /// A ticket.
    Ticket(ticket::Expected),
    /// A signature with a shared key.
    Cra(cra::Expected),
    /// A proof of a password.
    Scram(Box<scram::Expected>),
    /// A signature with a private key.
    Cryptosign(Box<cryptosign::Expected>),
}

impl Pending {
    /// Judges an AUTHENTICATE.
    pub fn finish(self, signature: &str, extra: &Dict) -> Result<Identity, Denied> {
        match self {
            Self::Ticket(expected) => expected.judge(signature),
            Self::Cra(expected) => expected.judge(signature),
            Self::Scram(expected) => expected.judge(signature, extra),
            Self::Cryptosign(expected) => expected.judge(signature),
        }
    }
}

/// How the sessions of a realm prove who they are.
pub struct Authenticator {
    world: World,
    options: AuthOptions,
    /// For each principal the keys of its SCRAM password, made on first use: making them is meant to be slow.
    scram_keys: Vec<ScramKeys>,
    /// What names that nobody knows are salted with.
    pepper: [u8; 32],
}

/// The methods that there are.
const METHODS: [&str; 6] = ["cryptosign", "wamp-scram", "scram", "wampcra", "ticket", "anonymous"];

impl Authenticator {
    /// Judges by these options.
    pub fn new(world: World, realm: &str, options: AuthOptions) -> Self {
        let scram_keys = options.principals.iter().map(|_| ScramKeys::new(&world)).collect();
        let pepper = random_bytes(&world);
        tracing::debug!(realm, principals = options.principals.len(), "who may come in is known");
        Self { world, options, scram_keys, pepper }
    }

    /// Takes the first method of a client's list that can be served.
    pub fn begin(&self, hello: &Hello<'_>) -> Begin {
        let methods = match hello.details.get("authmethods") {
            None | Some(Value::Null) => vec!["anonymous"],
            Some(list) => list.as_list().unwrap_or_default().iter().filter_map(Value::as_str).collect(),
        };
        for method in &methods {
            if let Some(method) = METHODS.into_iter().find(|known| known == method)
                && let Some(begin) = self.begin_with(method, hello)
            {
                return begin;
            }
        }
        Begin::Deny(Denied {
            reason: error::NO_MATCHING_AUTH_METHOD,
            message: format!("this realm takes none of the methods {methods:?} from you"),
        })
    }

    /// Begins with a method; `None` if the realm does not serve it.
    fn begin_with(&self, method: &'static str, hello: &Hello<'_>) -> Option<Begin> {
        if method == "anonymous" {
            let role = self.options.anonymous.as_ref()?;
            return Some(Begin::Welcome(anonymous::identity(&self.world, role, hello)));
        }
        let is_served = |one: &Principal| one.credentials.iter().any(|credential| credential.is_for(method));
        if !self.options.principals.iter().any(is_served) {
            return None;
        }
        if method == "cryptosign" {
            return Some(self.begin_cryptosign(hello));
        }
        let Some(authid) = hello.details.text("authid") else {
            return Some(Begin::Deny(Denied::because(format!("{method} needs details.authid"))));
        };
        let found = self.options.principals.iter().position(|one| one.authid == authid);
        let credential = found.and_then(|at| {
            let of = &self.options.principals[at].credentials;
            Some((at, of.iter().find(|credential| credential.is_for(method))?))
        });
        // A name that is known by another method only may go on with that one.
        if found.is_some() && credential.is_none() {
            return None;
        }
        let identity = self.identity(found, authid, method);
        Some(match (method, credential) {
            ("ticket", Some((_, Credential::Ticket(ticket)))) => ticket::ask(identity, Some(ticket)),
            ("ticket", _) => ticket::ask(identity, None),
            ("wampcra", Some((_, Credential::Cra { secret, salt, iterations }))) => {
                let key = cra::Key { secret, salt: salt.as_deref(), iterations: *iterations };
                cra::ask(&self.world, hello.session, identity, Some(&key))
            }
            ("wampcra", _) => cra::ask(&self.world, hello.session, identity, None),
            (_, Some((at, Credential::Scram(password)))) => scram::ask(
                &self.world,
                method,
                identity,
                hello,
                Some((&self.scram_keys[at], password)),
                &self.pepper,
            ),
            _ => scram::ask(&self.world, method, identity, hello, None, &self.pepper),
        })
    }

    fn begin_cryptosign(&self, hello: &Hello<'_>) -> Begin {
        let extra = hello.details.get("authextra").and_then(Value::as_dict);
        let Some(key) = extra.and_then(|extra| extra.text("pubkey")) else {
            return Begin::Deny(Denied::because("cryptosign needs details.authextra.pubkey"));
        };
        if extra.is_some_and(|extra| extra.text("channel_binding").is_some()) {
            return Begin::Deny(Denied::because("this router does not bind channels"));
        }
        let has_key = |one: &Principal| {
            one.credentials.iter().any(
                |known| matches!(known, Credential::Cryptosign(known) if known.eq_ignore_ascii_case(key)),
            )
        };
        // A name may be left out, but if there is one it must be that of the key.
        let authid = hello.details.text("authid");
        let found = self
            .options
            .principals
            .iter()
            .position(|one| has_key(one) && authid.is_none_or(|authid| authid == one.authid));
        let identity = self.identity(found, authid.unwrap_or_default(), "cryptosign");
        cryptosign::ask(&self.world, identity, key, found.is_some())
    }

    fn identity(&self, found: Option<usize>, authid: &str, method: &str) -> Identity {
        let principal = found.map(|at| &self.options.principals[at]);
        Identity {
            authid: principal.map_or(authid, |one| &one.authid).to_owned(),
            authrole: principal.map_or("anonymous", |one| &one.role).to_owned(),
            authmethod: method.to_owned(),
            authprovider: "static".to_owned(),
            authextra: principal.map(|one| one.extra.clone()).unwrap_or_default(),
        }
    }
}

/// Random bytes, as many as are wanted.
pub(super) fn random_bytes<const N: usize>(world: &World) -> [u8; N] {
    let mut bytes = [0; N];
    for chunk in bytes.chunks_mut(8) {
        chunk.copy_from_slice(&world.random.next().to_le_bytes()[..chunk.len()]);
    }
    bytes
}

/// Bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Hexadecimal digits as bytes.
pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    Some(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

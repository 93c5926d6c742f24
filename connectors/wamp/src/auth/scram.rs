//! SCRAM (RFC 5802, SHA-256) in two dialects.
//!
//! | | specification | Autobahn |
//! |---|---|---|
//! | method | `wamp-scram` | `scram` |
//! | kdf | `argon2id13` | `argon2id-13` |
//! | salted password | the 32 bytes of the hash | their base64 text without padding |
//! | `c=` | `biws`, the base64 of `n,,` | empty |
//! | the router's own proof | `authextra.verifier` | `authextra.scram_server_signature` |
//! | AUTHENTICATE.extra | `nonce`, `channel_binding` | empty |

use std::sync::OnceLock;

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use headwater_core::World;
use ring::{digest, hmac};

use super::authenticator::random_bytes;
use super::secret::is_same;
use super::{Begin, Denied, Hello, Pending, Secret};
use crate::realm::Identity;
use crate::wire::{Dict, Value};

const ITERATIONS: u32 = 3;
const MEMORY_KIB: u32 = 4_096;
const SALT_BYTES: usize = 16;

/// Who speaks how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    Specification,
    Autobahn,
}

impl Dialect {
    fn of(method: &str) -> (Self, &'static str, &'static str) {
        match method {
            "scram" => (Self::Autobahn, "scram", "argon2id-13"),
            _ => (Self::Specification, "wamp-scram", "argon2id13"),
        }
    }

    /// The channel binding flag, as the final message has it.
    const fn binding(self) -> &'static str {
        match self {
            Self::Specification => "biws",
            Self::Autobahn => "",
        }
    }
}

/// What is kept of a password: from it nobody can be impersonated, only proofs judged.
#[derive(Debug, Clone)]
struct Keys {
    stored: Vec<u8>,
    server: Vec<u8>,
}

/// The keys of one password in both dialects, made on first use.
pub(super) struct ScramKeys {
    salt: [u8; SALT_BYTES],
    keys: [OnceLock<Option<Keys>>; 2],
}

impl ScramKeys {
    pub(super) fn new(world: &World) -> Self {
        Self { salt: random_bytes(world), keys: [OnceLock::new(), OnceLock::new()] }
    }

    fn of(&self, dialect: Dialect, password: &Secret) -> Option<Keys> {
        let make = || {
            let salted = salt(dialect, password.bytes(), &self.salt)?;
            let client = sign(&salted, b"Client Key");
            let stored = digest::digest(&digest::SHA256, &client).as_ref().to_vec();
            Some(Keys { stored, server: sign(&salted, b"Server Key") })
        };
        self.keys[dialect as usize].get_or_init(make).clone()
    }
}

fn salt(dialect: Dialect, password: &[u8], salt: &[u8]) -> Option<Vec<u8>> {
    let params = Params::new(MEMORY_KIB, ITERATIONS, 1, Some(32)).ok()?;
    let mut hash = vec![0; 32];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(password, salt, &mut hash)
        .ok()?;
    Some(match dialect {
        Dialect::Specification => hash,
        Dialect::Autobahn => STANDARD_NO_PAD.encode(hash).into_bytes(),
    })
}

fn sign(key: &[u8], message: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message).as_ref().to_vec()
}

/// What the proof must fit.
#[derive(Debug)]
pub struct Expected {
    dialect: Dialect,
    identity: Identity,
    keys: Option<Keys>,
    nonce: String,
    auth_message: String,
}

/// Asks for a proof. Without a password, of a name that nobody knows, the salt is made from the name, so that it is
/// always the same.
pub(super) fn ask(
    world: &World,
    method: &str,
    identity: Identity,
    hello: &Hello<'_>,
    known: Option<(&ScramKeys, &Secret)>,
    pepper: &[u8],
) -> Begin {
    let (dialect, method, kdf) = Dialect::of(method);
    let extra = hello.details.get("authextra").and_then(Value::as_dict);
    let Some(client_nonce) = extra.and_then(|extra| extra.text("nonce")).filter(|nonce| is_base64(nonce))
    else {
        return Begin::Deny(Denied::because("SCRAM needs a nonce in base64 in details.authextra"));
    };
    if extra.is_some_and(|extra| extra.text("channel_binding").is_some()) {
        return Begin::Deny(Denied::because("this router does not bind channels"));
    }
    let salt = match known {
        Some((keys, _)) => STANDARD.encode(keys.salt),
        None => STANDARD.encode(&sign(pepper, identity.authid.as_bytes())[..SALT_BYTES]),
    };
    let nonce = format!("{client_nonce}{}", STANDARD.encode(random_bytes::<16>(world)));
    let auth_message = format!(
        "n={},r={client_nonce},r={nonce},s={salt},i={ITERATIONS},c={},r={nonce}",
        escape(&identity.authid),
        dialect.binding(),
    );
    let extra = Dict::new()
        .with("nonce", nonce.as_str())
        .with("kdf", kdf)
        .with("salt", salt)
        .with("iterations", u64::from(ITERATIONS))
        .with("memory", u64::from(MEMORY_KIB));
    let keys = known.and_then(|(keys, password)| keys.of(dialect, password));
    let expected = Expected { dialect, identity, keys, nonce, auth_message };
    Begin::Challenge { method, extra, pending: Pending::Scram(Box::new(expected)) }
}

/// A name with the two letters escaped that the messages of SCRAM are divided by.
fn escape(name: &str) -> String {
    name.replace('=', "=3D").replace(',', "=2C")
}

fn is_base64(text: &str) -> bool {
    !text.is_empty() && STANDARD.decode(text).is_ok()
}

impl Expected {
    pub(super) fn judge(self, proof: &str, extra: &Dict) -> Result<Identity, Denied> {
        let nonce_is_same = extra.text("nonce") == Some(self.nonce.as_str());
        if self.dialect == Dialect::Specification && !nonce_is_same {
            return Err(Denied::because("AUTHENTICATE.extra.nonce is not that of the challenge"));
        }
        let proof = STANDARD.decode(proof).map_err(|_| Denied::because("the proof is not base64"))?;
        let Some(keys) = self.keys else { return Err(Denied::wrong()) };
        let signature = sign(&keys.stored, self.auth_message.as_bytes());
        let client_key: Vec<u8> = proof.iter().zip(&signature).map(|(proof, sign)| proof ^ sign).collect();
        let stored = digest::digest(&digest::SHA256, &client_key);
        if proof.len() != signature.len() || !is_same(stored.as_ref(), &keys.stored) {
            return Err(Denied::wrong());
        }
        let own = STANDARD.encode(sign(&keys.server, self.auth_message.as_bytes()));
        let mut identity = self.identity;
        match self.dialect {
            Dialect::Specification => identity.authextra.insert("verifier", format!("v={own}")),
            Dialect::Autobahn => identity.authextra.insert("scram_server_signature", own),
        }
        Ok(identity)
    }
}

/// The proof that a client gives, for tests: the other side of [`Expected::judge`].
#[cfg(test)]
pub(super) fn prove(
    method: &str,
    authid: &str,
    password: &str,
    client_nonce: &str,
    challenge: &Dict,
) -> String {
    let (dialect, ..) = Dialect::of(method);
    let (nonce, salt_text) = (challenge.text("nonce").unwrap(), challenge.text("salt").unwrap());
    let salted = salt(dialect, password.as_bytes(), &STANDARD.decode(salt_text).unwrap()).unwrap();
    let client_key = sign(&salted, b"Client Key");
    let message = format!(
        "n={},r={client_nonce},r={nonce},s={salt_text},i={ITERATIONS},c={},r={nonce}",
        escape(authid),
        dialect.binding()
    );
    let signature = sign(digest::digest(&digest::SHA256, &client_key).as_ref(), message.as_bytes());
    STANDARD.encode(client_key.iter().zip(signature).map(|(key, sign)| key ^ sign).collect::<Vec<_>>())
}

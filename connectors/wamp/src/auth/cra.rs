//! WAMP-CRA: a challenge signed with a shared key.
//!
//! `signature = base64(HMAC-SHA256(key, challenge))`. The key is the secret; with a salt it is the base64 text of
//! `PBKDF2-HMAC-SHA256(secret, salt, iterations, 32 bytes)`.

use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use headwater_core::World;
use ring::{hmac, pbkdf2};

use super::authenticator::{hex, random_bytes};
use super::secret::is_same;
use super::{Begin, Denied, Pending, Secret};
use crate::message::Id;
use crate::realm::Identity;
use crate::wire::{Dict, Serializer, Value};

const KEY_BYTES: usize = 32;

/// What the key is made of.
pub(super) struct Key<'a> {
    pub secret: &'a Secret,
    pub salt: Option<&'a str>,
    pub iterations: u32,
}

impl Key<'_> {
    fn bytes(&self) -> Vec<u8> {
        cra_key(self.secret, self.salt, self.iterations)
    }
}

/// The key that challenges are signed with.
pub(crate) fn cra_key(secret: &Secret, salt: Option<&str>, iterations: u32) -> Vec<u8> {
    let Some(salt) = salt else { return secret.bytes().to_vec() };
    let rounds = NonZeroU32::new(iterations).unwrap_or(NonZeroU32::MIN);
    let mut key = [0; KEY_BYTES];
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, salt.as_bytes(), secret.bytes(), &mut key);
    STANDARD.encode(key).into_bytes()
}

/// The signature that is expected; none if the name is not known.
#[derive(Debug)]
pub struct Expected {
    identity: Identity,
    signature: Option<Secret>,
}

pub(super) fn ask(world: &World, session: Id, identity: Identity, key: Option<&Key<'_>>) -> Begin {
    let mut asked = Dict::new()
        .with("nonce", hex(&random_bytes::<32>(world)))
        .with("timestamp", world.clock.now().to_string())
        .with("session", session);
    identity.describe(&mut asked);
    let mut challenge = Vec::new();
    Serializer::Json.write(&Value::Dict(asked), &mut challenge);
    let signature = key.map(|key| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key.bytes());
        Secret::new(STANDARD.encode(hmac::sign(&key, &challenge)))
    });
    let mut extra = Dict::new().with("challenge", String::from_utf8_lossy(&challenge).into_owned());
    if let Some(Key { salt: Some(salt), iterations, .. }) = key {
        extra.insert("salt", *salt);
        extra.insert("iterations", u64::from(*iterations));
        extra.insert("keylen", KEY_BYTES as u64);
    }
    Begin::Challenge { method: "wampcra", extra, pending: Pending::Cra(Expected { identity, signature }) }
}

impl Expected {
    pub(super) fn judge(self, signature: &str) -> Result<Identity, Denied> {
        match self.signature {
            Some(expected) if is_same(expected.bytes(), signature.as_bytes()) => Ok(self.identity),
            _ => Err(Denied::wrong()),
        }
    }
}

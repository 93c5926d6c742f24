//! Cryptosign: a challenge signed with an Ed25519 key, of which the router knows the public half.
//!
//! The answer is the signature (64 bytes) and the message that was signed (32 bytes), in hexadecimal digits.

use headwater_core::World;
use ring::signature::{ED25519, UnparsedPublicKey};

use super::authenticator::{hex, random_bytes, unhex};
use super::{Begin, Denied, Pending};
use crate::realm::Identity;
use crate::wire::{Dict, Value};

const SIGNATURE_BYTES: usize = 64;

/// What must have been signed, and by whom.
#[derive(Debug)]
pub struct Expected {
    identity: Identity,
    key: Vec<u8>,
    challenge: [u8; 32],
    is_known: bool,
}

pub(super) fn ask(world: &World, identity: Identity, key: &str, is_known: bool) -> Begin {
    let challenge = random_bytes(world);
    let extra = Dict::new().with("challenge", hex(&challenge)).with("channel_binding", Value::Null);
    let key = unhex(key).unwrap_or_default();
    let expected = Expected { identity, key, challenge, is_known };
    Begin::Challenge { method: "cryptosign", extra, pending: Pending::Cryptosign(Box::new(expected)) }
}

impl Expected {
    pub(super) fn judge(self, answer: &str) -> Result<Identity, Denied> {
        let answer = unhex(answer).unwrap_or_default();
        let (signature, message) = answer
            .split_at_checked(SIGNATURE_BYTES)
            .ok_or_else(|| Denied::because("the signature is too short"))?;
        let is_right = message == self.challenge
            && UnparsedPublicKey::new(&ED25519, &self.key).verify(message, signature).is_ok();
        if is_right && self.is_known { Ok(self.identity) } else { Err(Denied::wrong()) }
    }
}

/// Whether a signature with its message, as AUTHENTICATE has it, is right: for the vectors of the specification.
#[cfg(test)]
pub(super) fn is_right(key: &str, challenge: &str, answer: &str) -> bool {
    let challenge = unhex(challenge).unwrap().try_into().unwrap();
    let key = unhex(key).unwrap();
    Expected { identity: Identity::default(), key, challenge, is_known: true }.judge(answer).is_ok()
}

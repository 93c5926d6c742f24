//! How a client proves who it is.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use ring::signature::{Ed25519KeyPair, KeyPair as _};

use crate::auth::{Secret, cra_key, hex, unhex};
use crate::wire::{Dict, Value};

/// By which method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "the names are those of the methods")]
pub enum Method {
    #[default]
    Anonymous,
    Ticket,
    Cra,
    Cryptosign,
}

impl Method {
    const ALL: [Self; 4] = [Self::Anonymous, Self::Ticket, Self::Cra, Self::Cryptosign];

    /// The name, as HELLO has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Anonymous => "anonymous",
            Self::Ticket => "ticket",
            Self::Cra => "wampcra",
            Self::Cryptosign => "cryptosign",
        }
    }

    /// The method of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == name)
    }
}

/// How a client proves who it is.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    /// By which method.
    pub method: Method,
    /// The name.
    pub authid: Option<String>,
    /// The ticket, the shared secret, or the private key in hexadecimal digits.
    pub secret: Option<Secret>,
}

impl Credentials {
    /// What HELLO says about it.
    pub(super) fn describe(&self, details: &mut Dict) -> Result<(), String> {
        details.insert("authmethods", vec![self.method.name()]);
        if let Some(authid) = &self.authid {
            details.insert("authid", authid.as_str());
        }
        if self.method == Method::Cryptosign {
            let key = hex(self.key_pair()?.public_key().as_ref());
            details.insert("authextra", Dict::new().with("pubkey", key));
        }
        Ok(())
    }

    /// The answer to a challenge.
    pub(super) fn answer(&self, method: &str, extra: &Dict) -> Result<String, String> {
        if method != self.method.name() {
            return Err(format!("the router asks for {method}, not for {}", self.method.name()));
        }
        let challenge = || extra.text("challenge").ok_or("the challenge is empty");
        match self.method {
            Method::Anonymous => Err("the router asks anonymous clients for a proof".to_owned()),
            Method::Ticket => Ok(String::from_utf8_lossy(self.secret()?.bytes()).into_owned()),
            Method::Cra => {
                let iterations = extra.get("iterations").and_then(Value::as_u64).unwrap_or(1_000);
                let iterations =
                    u32::try_from(iterations).map_err(|_| "the challenge has too many iterations")?;
                let key = cra_key(self.secret()?, extra.text("salt"), iterations);
                let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), challenge()?.as_bytes());
                Ok(STANDARD.encode(signature))
            }
            Method::Cryptosign => {
                let message = unhex(challenge()?).ok_or("the challenge is not made of hexadecimal digits")?;
                let signature = self.key_pair()?.sign(&message);
                Ok(hex(signature.as_ref()) + &hex(&message))
            }
        }
    }

    fn secret(&self) -> Result<&Secret, String> {
        self.secret.as_ref().ok_or_else(|| format!("method {} needs a secret", self.method.name()))
    }

    fn key_pair(&self) -> Result<Ed25519KeyPair, String> {
        let digits = String::from_utf8_lossy(self.secret()?.bytes()).into_owned();
        let seed = unhex(&digits).filter(|seed| seed.len() == 32);
        seed.and_then(|seed| Ed25519KeyPair::from_seed_unchecked(&seed).ok())
            .ok_or_else(|| "the private key is not 64 hexadecimal digits".to_owned())
    }
}

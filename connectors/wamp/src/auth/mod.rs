//! How sessions prove who they are.
//!
//! The router takes the first method of the client's list by which the client's name can be proven, or any name if it has none.
//! A name that nobody knows gets a challenge like all others, and then fails: whether a name exists is not told.
//!
//! Secrets are compared in constant time, and no type here shows one.

mod anonymous;
mod authenticator;
mod cra;
mod cryptosign;
mod denied;
mod principal;
mod scram;
mod secret;
#[cfg(test)]
mod tests;
mod ticket;

pub use authenticator::{Authenticator, Begin, Hello, Pending};
pub(crate) use authenticator::{hex, unhex};
pub(crate) use cra::cra_key;
pub use denied::Denied;
pub use principal::{AuthOptions, Credential, Principal};
pub use secret::Secret;

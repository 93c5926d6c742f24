//! Who a session is that does not say who it is.

use headwater_core::World;

use super::Hello;
use super::authenticator::{hex, random_bytes};
use crate::realm::Identity;
use crate::wire::Dict;

/// A name of its own for this session, whatever name it asks for.
pub(super) fn identity(world: &World, role: &str, _hello: &Hello<'_>) -> Identity {
    let digits = hex(&random_bytes::<12>(world)).to_ascii_uppercase();
    let groups: Vec<_> = (0..6).map(|at| &digits[4 * at..4 * at + 4]).collect();
    Identity {
        authid: groups.join("-"),
        authrole: role.to_owned(),
        authmethod: "anonymous".to_owned(),
        authprovider: "static".to_owned(),
        authextra: Dict::new(),
    }
}

//! The router as a gateway: set up from a configuration, served on a port.
//!
//! ```toml
//! [wamp]
//! listen = "127.0.0.1:8080"
//! when_full = "skip"                         # or "cut"
//!
//! [[wamp.realms]]
//! name = "home"
//! anonymous = "guest"                        # the role of those who do not say who they are
//!
//! [[wamp.realms.roles]]                      # without any role everybody may do everything
//! name = "device"
//! permissions = [{ uri = "com.home.", match = "prefix", allow = ["publish", "subscribe"] }]
//!
//! [[wamp.realms.principals]]
//! authid = "thermometer-7"
//! role = "device"
//! ticket = "{{ T7_TICKET }}"                 # also: secret (and salt), password, public_key
//!
//! [[wamp.realms.procedures]]                 # calls run a query
//! uri = "com.home.newest"
//! query = "SELECT temp FROM readings WHERE device = $1 ORDER BY _sequence DESC LIMIT 1"
//! ```

mod config;
mod wamp;

pub use config::{PermissionConfig, PrincipalConfig, ProcedureConfig, RealmConfig, RoleConfig, WampConfig};
pub use wamp::WampGateway;

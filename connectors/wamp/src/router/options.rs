//! How a router is set up.

use std::time::Duration;

use crate::auth::AuthOptions;
use crate::realm::{MailboxOptions, RealmOptions};

/// A realm, and who may come in.
#[derive(Debug, Clone)]
pub struct RealmSetup {
    /// How the realm is set up.
    pub options: RealmOptions,
    /// Who may come in.
    pub auth: AuthOptions,
}

/// How a router is set up.
#[derive(Debug, Clone)]
pub struct RouterOptions {
    /// The realms.
    pub realms: Vec<RealmSetup>,
    /// How much may wait for one session.
    pub mailbox: MailboxOptions,
    /// How long a message may be that comes in, in bytes.
    pub message_bytes_max: usize,
    /// How many connections there may be.
    pub connections_max: usize,
    /// How long a peer may take for HELLO and for each further step until WELCOME.
    pub handshake_timeout: Duration,
    /// How often a peer that is silent is asked for a sign of life. It has as long again to give one.
    pub ping_interval: Duration,
}

impl RouterOptions {
    /// A router with these realms.
    pub fn new(realms: Vec<RealmSetup>) -> Self {
        Self {
            realms,
            mailbox: MailboxOptions::default(),
            message_bytes_max: 16 << 20,
            connections_max: 100_000,
            handshake_timeout: Duration::from_secs(30),
            ping_interval: Duration::from_secs(30),
        }
    }
}

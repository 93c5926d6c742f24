//! One realm: its sessions, broker and dealer, without network, clock or tasks.
//!
//! ```text
//!  messages ──> Realm::receive ──> broker ─┬─> mailboxes of peers ──> transports
//!  time     ──> Realm::tick    ──> dealer ─┘
//! ```
//!
//! A realm is worked on by one thread at a time. Whatever it says goes into the mailbox of a peer at once, so what is said first
//! arrives first: that is all there is to the ordering that the specification asks for.

mod broker;
mod calls;
mod dealer;
mod features;
mod history;
mod identity;
mod mailbox;
mod meta;
mod options;
mod pattern_index;
mod peer;
mod publication;
mod realm_core;
mod recorders;
mod refusal;
mod registrations;
mod retention;
mod roles;
mod subscriptions;
mod testament;
mod wakeups;

pub use features::Features;
pub(crate) use features::RECEIVERS;
pub use history::{Edge, Moment, PastEvent, Question};
pub use identity::Identity;
pub use mailbox::{Mailbox, MailboxOptions, WhenFull};
pub use options::RealmOptions;
pub use peer::Peer;
pub use publication::{Publication, Receivers};
pub use realm_core::Realm;
pub use roles::{Action, Permission, Role};
pub use wakeups::Wakeups;

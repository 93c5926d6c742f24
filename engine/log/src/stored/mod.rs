//! What logs on disk and on topics have in common: whatever does not depend on where rows are kept.
//!
//! ```text
//!  users ──► Log (log.rs) ──► queue ──► committer (commit.rs) ──► Store::write ──► Store::publish ──► readers (reading.rs)
//!                                       what is shared: Front (front.rs)    what differs: Store (store.rs)
//! ```
//!
//! - Locks are taken in this order: the writer, whatever the store has, the view.
//! - Rows are seen only after [`Store::write`] has said that they are kept; after an error nothing more is written.

mod commit;
mod front;
mod log;
mod reading;
mod store;

pub(crate) use commit::{Commit, Placing};
pub(crate) use front::Front;
pub(crate) use log::{Driven, StoredLog};
pub(crate) use reading::{Cursor, start};
pub(crate) use store::Store;

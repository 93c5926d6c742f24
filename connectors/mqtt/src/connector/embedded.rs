//! The broker of this process. Connectors are made from options alone, so this is how they find it.

use std::sync::{Arc, Weak};

use headwater_connectors::{ConnectorError, Result};
use headwater_core::World;
use parking_lot::Mutex;

use crate::broker::{Broker, Message};
use crate::wire::Publish;

static BROKER: Mutex<Weak<Broker>> = Mutex::new(Weak::new());

/// Says which broker is that of this process. It is not kept alive by that. To be said before sources are made: what
/// they want is kept for them from then on.
pub fn set_broker(broker: &Arc<Broker>) {
    *BROKER.lock() = Arc::downgrade(broker);
}

/// Says that this process has no broker any more.
pub fn unset_broker() {
    *BROKER.lock() = Weak::new();
}

/// The broker of this process, if there is one at the moment.
pub(super) fn broker() -> Option<Arc<Broker>> {
    BROKER.lock().upgrade()
}

/// A broker and how many changes it had when something was published; see [`Broker::kept`].
pub(super) type Published = (Arc<Broker>, u64);

/// Publishes a message at the broker of this process.
pub(super) fn publish(publish: Publish, world: &World) -> Result<Published> {
    let broker = broker().ok_or_else(|| {
        let why = "there is none; start it with serve --mqtt, or give a url";
        ConnectorError::outage("publish at the broker of this process", why)
    })?;
    let changes = broker.publish(Message::new(publish, "".into(), world));
    Ok((broker, changes))
}

/// A source was dropped for good: nothing is kept for it any more.
pub fn forget(name: &str) {
    if let Some(broker) = broker() {
        broker.forget(name);
    }
}

//! The router of this process. Connectors are made from options alone, so this is how they find it.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::router::Router;

static ROUTER: Mutex<Weak<Router>> = Mutex::new(Weak::new());

/// Says which router is that of this process. It is not kept alive by that. To be said before sources are made: what they record is
/// acknowledged to publishers only when it is durable, from then on.
pub fn set_router(router: &Arc<Router>) {
    *ROUTER.lock() = Arc::downgrade(router);
}

/// Says that this process has no router any more.
pub fn unset_router() {
    *ROUTER.lock() = Weak::new();
}

/// A stream was dropped for good: it records nothing any more.
pub fn forget(stream: &str) {
    if let Some(router) = router() {
        router.forget_stream(stream);
    }
}

/// The router of this process, if there is one at the moment.
pub(super) fn router() -> Option<Arc<Router>> {
    ROUTER.lock().upgrade()
}

//! A client: of the router in this process, or of one elsewhere.

mod callee;
mod caller;
mod credentials;
mod link;
mod session;

pub use callee::{Asked, Call, Callee, Outcome};
pub use caller::Called;
pub use credentials::{Credentials, Method};
pub use link::Target;
pub(crate) use link::{Link, is_secure};
pub use session::{ClientError, Event, Session};

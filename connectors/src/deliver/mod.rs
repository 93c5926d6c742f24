//! Deliveries of triggers: each firing is posted to a URL, published, or handed to a program.
//!
//! ```text
//!  firings ── reader ──> lanes, one for each key ── attempt, retry, park ──> outside
//!  cursor: the first firing that is neither delivered nor parked                └─> a row in system.trigger_deliveries
//! ```
//!
//! - A delivery is a cursor over the stream of firings, as a sink is; each trigger has its own, so that a slow or dead receiver
//!   delays nobody else. Firings of one key go out in order, one at a time; keys do not wait for each other.
//! - At least once: after a crash, what was delivered behind the cursor and not written down as such comes again, under the same
//!   idempotency key; that of a group may be cut otherwise then.
//! - Each attempt is a row, also one that failed; what is given up after the last one is parked, and the next has its turn. Attempts of
//!   former lives count, by these rows.
//!
//! | option | meaning |
//! |---|---|
//! | `secret` | signs each request, see `sign.rs`; `{{ VARIABLE }}` is taken from the environment |
//! | `headers` | `Name: value` pairs with commas between |
//! | `tls.ca`, `tls.cert`, `tls.key` | for `https://`, as those of the [connector](../http/config.rs) |
//! | `body` | a template, not the document below: `{{ column }}` is a value as text, escaped for JSON; `{{{ column }}}` as JSON |
//! | `content-type` | of the body; `application/json` unless set |
//! | `via` | who publishes; the first that there is unless set. Its own options are said where it is |
//! | `timeout` | of an attempt; 10 seconds unless set |
//! | `attempts` | how many at most; 16 unless set |
//! | `retry.first`, `retry.longest` | waits double from the first to the longest, each cut by up to half at random; a second, an hour |
//! | `rate` | how many attempts at most, such as `10 per minute` |
//! | `rate.exceeded` | `wait` (unless set) or `drop`: what is dropped is a row as well |
//! | `group` | puts what fires within such a time into one delivery, such as `30 seconds` |
//! | `group.by` | columns: firings that differ in them are not put together; all are unless set |
//! | `group.max` | how many firings a delivery has at most; 1000 unless set |
//!
//! The document: `{"trigger": .., "id": .., "firing": {..}}`, for a group `"firings": [{"id": .., "firing": {..}}, ..]`. The id is
//! `TRIGGER/STREAM/SEQUENCE` of the (first) firing, the same at each attempt, and comes as `Idempotency-Key`, too. An answer of
//! 2xx is success; 410 parks at once; everything else, redirects included, is tried again, not before `Retry-After`.

mod allow;
mod attempt;
mod body;
mod command;
mod config;
mod firing;
mod lanes;
mod ledger;
mod limit;
mod publish;
mod sign;
mod task;
mod webhook;

pub use allow::Allowed;
pub(crate) use attempt::Attempt;
pub use config::{DeliveryDef, Target};
pub(crate) use config::{Settings, read_webhook};
pub use ledger::{DELIVERIES, deliveries_schema};
pub use publish::{Message, Publisher, PublisherKind, add_publisher};
pub(crate) use sign::{SIGNATURE, signature};
pub(crate) use task::{DeliveryTask, begin_at};
pub(crate) use webhook::Webhook;

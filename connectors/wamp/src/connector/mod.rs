//! WAMP as a connector: topics are recorded into streams, and streams are published.
//!
//! | option | meaning |
//! |---|---|
//! | `realm` | the realm |
//! | `topic` | the topic, or a pattern of topics |
//! | `match` | source: `exact` (unless set), `prefix` or `wildcard` |
//! | `url` | a router elsewhere: `ws://`, `wss://`, `rs://` or `rss://`; the router of this process unless set |
//! | `tls.ca` | a file in PEM: who must have signed the certificate of such a router; whom this machine trusts unless set |
//! | `tls.cert`, `tls.key` | files in PEM: our own certificate and its key, for a router that asks for one |
//! | `authmethod` | `anonymous` (unless set), `ticket`, `wampcra` or `cryptosign`; for a router elsewhere |
//! | `authid` | the name |
//! | `secret` | the ticket, the shared secret or the private key; `{{ VARIABLE }}` is taken from the environment |
//!
//! A table with `procedure` instead of `topic` is asked: see *Answers and rows*. Beside those above its options are `arguments` (`named`,
//! unless set, or `positional`: in the order of the columns), `timeout` (for an answer; 30 seconds unless set) and those of Flink's lookup
//! cache: `lookup.cache`, `lookup.partial-cache.max-rows`, `lookup.partial-cache.expire-after-write`,
//! `lookup.partial-cache.cache-missing-key`; and `lookup.max-retries`, how often is called again before the job fails (for as long as it
//! takes unless set).
//!
//! ## Events and rows
//!
//! Named arguments go to the columns of their names. Positional ones fill the columns in the order of their declaration, those aside whose
//! names begin with `wamp_`. A dictionary that is the only argument counts as named arguments. What fits no column goes
//! nowhere; what does not fit its column goes to `system.dead_letters`, with the whole event.
//!
//! | column | what it holds |
//! |---|---|
//! | `wamp_topic` | the topic |
//! | `wamp_publication` | the id of the publication |
//! | `wamp_publisher`, `wamp_publisher_authid`, `wamp_publisher_authrole` | the publisher, where it is disclosed |
//! | `wamp_args`, `wamp_kwargs` | all arguments, as JSON |
//! | `wamp_timestamp` | when it came to be recorded |
//! | `wamp_receivers` | for whom it was meant, if not for everybody, as JSON; only from the router of this process |
//!
//! Without the column `wamp_receivers` those events are recorded that the recording session may receive. With it all are recorded but those
//! that name the sessions which may receive them, each with what its publisher said: `{"eligible_authrole": ["admin"]}`.
//!
//! A stream with the columns `wamp_topic`, `wamp_publication` and `wamp_receivers` is the event history of what it records:
//! `wamp.subscription.get_events` is answered from it. See [`past`].
//!
//! A row is published with its columns as named arguments, and with `_key`, which is `STREAM/SHARD/SEQUENCE`. A column `wamp_topic`
//! says where to instead of `topic`.
//!
//! ## Answers and rows
//!
//! A job that joins a table `FOR SYSTEM_TIME AS OF PROCTIME()` calls its procedure for each key, with the columns of the join's equality as
//! arguments. The answer is a dictionary (or named results) for a row, a list of dictionaries for several rows, null for none, or, where
//! only one column is not asked by, its value. What was answered is part of the step, as for every table that is looked up: it is in the
//! job's journal, and nobody is called again for it. While nobody has registered the procedure, or it answers with an error, the job waits
//! and calls again, `lookup.max-retries` times if that is set; then it fails with the procedure, its arguments and the URI of the error.
//! What calling again does not change ends it at once: a call that is not allowed, and an answer that is no row of the table.
//!
//! ## What is promised
//!
//! *What the router of this process acknowledges is in the stream.* Who publishes with `acknowledge` to a topic that a stream records hears
//! PUBLISHED when the row is as durable as the stream's `durability` says, and ERROR with `wamp.error.unavailable` if that is not known:
//! because the append has failed, or because the stream is not being filled at the moment (then no subscriber gets the event either). Who
//! hears neither, because the process died, does not know. Whoever publishes again after an ERROR may have a row there twice. The stream
//! counts from when it is created until it is dropped, from before the router's port is open. Subscribers hear of an event at once, before
//! it is durable. What is published without `acknowledge` waits for nothing: of that, what the process had received and not appended is
//! lost if it is killed, and what comes while the stream is not being filled is not recorded.
//!
//! A topic has no positions: what is published at a router elsewhere while nobody records it is not recorded, and its acknowledgements do
//! not wait for our log. Of what was received, each event is in the stream once, in the order in which its publisher sent it, also if the
//! router says goodbye or the source is told to stop. If the log cannot keep up, publishers at the router of this process wait.
//!
//! Published rows are acknowledged by the router before they count as delivered; after a crash some come twice, with the same `_key`. A
//! row whose own topic is none, or is not allowed, or whose arguments the router refuses, is parked in `system.dead_letters`; if no row may
//! be published, the sink stops. A router that hangs up instead of refusing gets one row at a time then: the one over which it has done so
//! three times is parked, and if it does so over each of nine rows, the sink stops.
//!
//! The lag of a source is what it has received and has not in the log: `lag` in events, `lag_ms` since the first of them came.

mod config;
mod embedded;
mod lookup;
pub mod past;
mod row;
mod sink;
mod source;
mod trigger;

pub use config::{CONNECTOR, add};
pub use embedded::{forget, set_router, unset_router};
pub use trigger::PUBLISHER;

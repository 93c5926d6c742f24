//! The bounds on what clients can ask for.

use std::net::SocketAddr;
use std::time::Duration;

/// The settings of the HTTP edge.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// Where to listen. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// The most bytes of a request's body, both as sent and decompressed.
    pub body_bytes_max: usize,
    /// The most records of one append in a format of lines, or in a JSON array.
    pub batch_records_max: usize,
    /// The most bytes of a request with SQL.
    pub sql_bytes_max: usize,
    /// How many appends may be under way; more are told to come back.
    pub appends_max: usize,
    /// How many bytes of bodies of appends may be in memory, as sent and decompressed; more wait for [`Self::append_patience`].
    pub append_bytes_max: usize,
    /// How long an append waits for room for its body before it is told to come back.
    pub append_patience: Duration,
    /// How many statements and replays may be under way, the sending of their rows included; more are told to come back.
    pub queries_max: usize,
    /// How many tails may be open.
    pub tails_max: usize,
    /// How long a tail is silent before it says that it is alive.
    pub tail_heartbeat: Duration,
    /// How long a tail waits for its reader to take anything before it is cut.
    pub tail_stall_max: Duration,
    /// How long a socket may take no byte of an answer before it is closed.
    pub write_stall_max: Duration,
    /// How long a request may take until its answer begins; of a statement or a replay, which takes as long as it takes, until it has
    /// arrived.
    pub request_timeout: Duration,
    /// How long open connections are waited for when the server stops.
    pub shutdown_grace: Duration,
}

impl ServeOptions {
    /// The port when none is chosen.
    pub const PORT: u16 = 8585;

    /// The usual bounds, for an address that was chosen.
    pub fn new(listen: SocketAddr) -> Self {
        Self {
            listen,
            body_bytes_max: 64 << 20,
            batch_records_max: 1_000_000,
            sql_bytes_max: 1 << 20,
            appends_max: 256,
            append_bytes_max: 1 << 30,
            append_patience: Duration::from_secs(2),
            queries_max: 256,
            tails_max: 256,
            tail_heartbeat: Duration::from_secs(15),
            tail_stall_max: Duration::from_secs(10),
            write_stall_max: Duration::from_secs(30),
            request_timeout: Duration::from_secs(60),
            shutdown_grace: Duration::from_secs(5),
        }
    }
}

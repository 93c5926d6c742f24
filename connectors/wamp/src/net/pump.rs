//! Moves messages between a transport and its connection until one of them ends.
//!
//! While a peer takes its time to receive, nothing is read from it, and what is meant for it waits in its mailbox, within bounds. A
//! peer that stays away longer than two pings, or is cut off, does not keep anything busy.

use std::collections::VecDeque;
use std::io;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::transport::{Incoming, Transport};
use crate::realm::Mailbox;
use crate::router::{Connection, Next};
use crate::wire::Malformed;

/// How many messages of a peer, and of how many bytes, are taken before its answers are sent and others hear of its events.
const MESSAGES_IN_A_ROW: usize = 64;
const BYTES_IN_A_ROW: usize = 64 << 10;

/// How long a peer is not read from before it is looked at again whether it may go on.
const HOLD_BACK: Duration = Duration::from_millis(2);

/// Runs a connection to its end.
pub(super) async fn pump(mut transport: impl Transport, mut connection: Connection, ping_interval: Duration) {
    let mailbox = connection.mailbox().clone();
    let mut batch = VecDeque::new();
    let mut heard = Heard { at: Instant::now(), is_pinged: false };
    let mut next = Next::GoOn;
    // Set when it is due too late, or has been too early: not for each message.
    let mut alarm = pin!(sleep_until(heard.at + ping_interval));
    loop {
        mailbox.take(&mut batch);
        if !batch.is_empty() {
            let patience = 2 * ping_interval;
            match timeout(patience, write(&mut transport, &mut batch, &mailbox)).await {
                Ok(Ok(())) => continue,
                Ok(Err(_)) | Err(_) => break,
            }
        }
        if mailbox.is_cut() {
            tracing::info!("a peer that reads too slowly was cut off");
            break;
        }
        if next == Next::Close {
            transport.close().await;
            break;
        }
        let is_held_back = connection.is_held_back();
        let deadline = heard.at + connection.patience().unwrap_or(ping_interval);
        if deadline < alarm.deadline() {
            alarm.as_mut().reset(deadline);
        }
        tokio::select! {
            biased;
            incoming = transport.read(), if !is_held_back => {
                heard = Heard { at: Instant::now(), is_pinged: false };
                next = take(&mut transport, &mut connection, incoming);
            }
            () = mailbox.changed() => {}
            () = sleep(HOLD_BACK), if is_held_back => {}
            () = &mut alarm => {
                if Instant::now() < deadline {
                    alarm.as_mut().reset(deadline);
                    continue;
                }
                if connection.patience().is_some() || heard.is_pinged {
                    break;
                }
                let Ok(is_pinged) = transport.ping().await else { break };
                heard = Heard { at: Instant::now(), is_pinged };
                alarm.as_mut().reset(heard.at + ping_interval);
            }
        }
    }
    connection.lost();
}

/// When the peer was heard last, and whether it was asked for a sign of life since.
struct Heard {
    at: Instant,
    is_pinged: bool,
}

/// Takes what came in, and what else is there already; then those hear of it whom it concerns.
fn take(transport: &mut impl Transport, connection: &mut Connection, incoming: Incoming) -> Next {
    let next = take_all(transport, connection, incoming);
    connection.wake();
    next
}

fn take_all(transport: &mut impl Transport, connection: &mut Connection, mut incoming: Incoming) -> Next {
    let (mut taken, mut bytes) = (0, 0);
    loop {
        if let Incoming::Message(message) = &incoming {
            bytes += message.len();
        }
        let next = match incoming {
            Incoming::Message(message) if transport.has_more() => connection.receive_first(&message),
            Incoming::Message(message) => connection.receive(&message),
            Incoming::Alive => Next::GoOn,
            Incoming::Wrong(why) => connection.violated(&Malformed::new(why)),
            Incoming::End => {
                connection.lost();
                Next::Close
            }
        };
        if next == Next::Close {
            return next;
        }
        taken += 1;
        if taken == MESSAGES_IN_A_ROW || bytes >= BYTES_IN_A_ROW {
            return Next::GoOn;
        }
        match transport.read().now_or_never() {
            Some(more) => incoming = more,
            None => return Next::GoOn,
        }
    }
}

/// Writes, unless the peer is cut off meanwhile.
async fn write(
    transport: &mut impl Transport,
    batch: &mut VecDeque<Bytes>,
    mailbox: &Mailbox,
) -> io::Result<()> {
    let cut = async {
        while !mailbox.is_cut() {
            mailbox.changed().await;
        }
    };
    tokio::select! {
        biased;
        written = transport.write(batch) => written,
        () = cut => Err(io::ErrorKind::TimedOut.into()),
    }
}

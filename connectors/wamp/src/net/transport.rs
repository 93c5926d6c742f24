//! What the pump needs of a transport.

use std::collections::VecDeque;
use std::future::Future;
use std::io;

use bytes::Bytes;

/// How much is written with one call.
pub(super) const WRITE_BYTES: usize = 256 << 10;

/// Room for what goes out of messages with the first call, each with its header.
pub(super) fn room_for(messages: &VecDeque<Bytes>, header_bytes: usize) -> Vec<u8> {
    let mut bytes = 0;
    for message in messages {
        bytes += header_bytes + message.len();
        if bytes >= WRITE_BYTES {
            break;
        }
    }
    Vec::with_capacity(bytes)
}

/// What comes in.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// A message.
    Message(Bytes),
    /// A sign of life.
    Alive,
    /// What is no message of this protocol; the text says why.
    Wrong(&'static str),
    /// The transport has ended, in order or not.
    End,
}

/// A transport: messages in, messages out. Reading can be given up at any time and loses nothing.
pub(crate) trait Transport: Send {
    /// The next thing that comes in.
    fn read(&mut self) -> impl Future<Output = Incoming> + Send;

    /// Whether more has come already of what is still to be read, be it a part of a message.
    fn has_more(&self) -> bool;

    /// Sends messages, all of them.
    fn write(&mut self, messages: &mut VecDeque<Bytes>) -> impl Future<Output = io::Result<()>> + Send;

    /// Asks for a sign of life. `false` if the other side may not be asked.
    fn ping(&mut self) -> impl Future<Output = io::Result<bool>> + Send;

    /// Says that nothing more comes, and waits a little for the other side to say so, too.
    fn close(&mut self) -> impl Future<Output = ()> + Send;
}

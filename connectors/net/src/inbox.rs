//! Bytes that have come and are not taken yet.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::io::{AsyncWriteExt as _, ReadBuf};

use crate::Stream;

/// How much is read with one call.
const READ_BYTES: usize = 16 << 10;

/// A stream, and what has come from it.
pub struct Inbox<S> {
    /// The stream.
    pub stream: S,
    /// What has come and is not taken.
    pub bytes: BytesMut,
    /// What must be sent before anything else: answers to pings.
    pub urgent: Vec<u8>,
}

impl<S: Stream> Inbox<S> {
    /// Nothing has come yet.
    pub fn new(stream: S) -> Self {
        Self { stream, bytes: BytesMut::new(), urgent: Vec::new() }
    }

    /// Waits for more; how much came, 0 at the end. A wait that is given up loses nothing.
    pub async fn more(&mut self) -> io::Result<usize> {
        if self.bytes.is_empty() {
            // An idle connection keeps no buffer.
            self.bytes = BytesMut::new();
        }
        poll_fn(|context| self.poll_more(context)).await
    }

    /// The place for what comes is on the stack of the thread, so that a connection that waits holds none.
    fn poll_more(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        // What cannot go at once goes with the next write, or when this is polled again.
        while !self.urgent.is_empty() {
            match Pin::new(&mut self.stream).poll_write(context, &self.urgent) {
                Poll::Ready(written) => drop(self.urgent.drain(..written?)),
                Poll::Pending => break,
            }
        }
        if let Poll::Ready(flushed) = Pin::new(&mut self.stream).poll_flush(context) {
            flushed?;
        }
        let mut chunk = [const { MaybeUninit::uninit() }; READ_BYTES];
        let mut chunk = ReadBuf::uninit(&mut chunk);
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut chunk))?;
        self.bytes.extend_from_slice(chunk.filled());
        Poll::Ready(Ok(chunk.filled().len()))
    }

    /// Writes, after what is urgent.
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if !self.urgent.is_empty() {
            let urgent = std::mem::take(&mut self.urgent);
            self.stream.write_all(&urgent).await?;
        }
        self.stream.write_all(bytes).await
    }
}

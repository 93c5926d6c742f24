//! Serves a router over WebSocket and RawSocket alike: the first byte tells them apart.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use headwater_net::{Caller, Service, Stream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};

use super::pump::pump;
use super::rawsocket::{self, RawSocket, Refused};
use super::websocket;
use crate::router::{Connection, Router};
use crate::wire::Dict;

/// A router that is served on a port.
pub type Running = headwater_net::Running<Router>;

impl Service for Router {
    fn connections_max(&self) -> usize {
        self.options().connections_max
    }

    fn hears_callers_without_a_place(&self) -> bool {
        true
    }

    fn handshake_timeout(&self) -> Duration {
        self.options().handshake_timeout
    }

    async fn serve<S: Stream>(
        self: Arc<Self>,
        stream: BufReader<S>,
        first: u8,
        caller: Caller,
    ) -> io::Result<()> {
        // Each in a box of its own size: an idle connection is as small as its transport allows.
        match first {
            rawsocket::MAGIC => Box::pin(greet_rawsocket(stream, caller, self)).await,
            _ => Box::pin(greet_websocket(stream, caller, self)).await,
        }
    }

    fn close(&self) {
        Self::close(self);
    }
}

/// A connection as the meta API tells it.
fn describe(caller: Caller, kind: &str, protocol: &str) -> Dict {
    Dict::new()
        .with("type", kind)
        .with("protocol", protocol)
        .with("peer", format!("tcp:{}", caller.address))
        .with("secure", caller.is_secure)
}

async fn greet_rawsocket<S: Stream>(
    mut stream: BufReader<S>,
    caller: Caller,
    router: Arc<Router>,
) -> io::Result<()> {
    let options = router.options();
    let mut handshake = [0; 4];
    tokio::time::timeout(options.handshake_timeout, stream.read_exact(&mut handshake)).await??;
    let agreed = rawsocket::read_handshake(handshake);
    let agreed = if caller.has_place { agreed } else { Err(Refused::TooMany) };
    let (serializer, takes) = match agreed {
        Ok(agreed) => agreed,
        Err(why) => {
            stream.write_all(&rawsocket::refuse_handshake(why)).await?;
            return stream.shutdown().await;
        }
    };
    let bytes_max = options.message_bytes_max.min(1 << 24);
    stream.write_all(&rawsocket::answer_handshake(serializer, bytes_max)).await?;
    stream.flush().await?;
    let transport = describe(caller, "rawsocket", serializer.name());
    let ping_interval = options.ping_interval;
    let connection = Connection::new(router, serializer, takes, transport);
    pump(RawSocket::new(stream, bytes_max), connection, ping_interval).await;
    Ok(())
}

async fn greet_websocket<S: Stream>(
    mut stream: BufReader<S>,
    caller: Caller,
    router: Arc<Router>,
) -> io::Result<()> {
    if !caller.has_place {
        stream.write_all(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n").await?;
        return stream.shutdown().await;
    }
    let options = router.options();
    let accepted = websocket::accept(stream, options.message_bytes_max, caller.is_local);
    let socket = tokio::time::timeout(options.handshake_timeout, accepted).await??;
    let serializer = socket.subprotocol().serializer;
    let transport = describe(caller, "websocket", serializer.name());
    let ping_interval = options.ping_interval;
    let connection = Connection::new(router, serializer, usize::MAX, transport);
    pump(socket, connection, ping_interval).await;
    Ok(())
}

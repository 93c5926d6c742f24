//! MQTT over WebSocket: the bytes of binary messages, one after the other, wherever packets begin and end among them.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use headwater_net::Stream;
use headwater_net::websocket::{Offers, Said, Socket, accept};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::time::timeout;

use super::pump::pump;
use crate::broker::Broker;

/// How the protocol is called where WebSocket protocols have names; the second name is that of 3.1, which clients of 3.1.1 have kept.
const NAMES: [&str; 2] = ["mqtt", "mqttv3.1"];

/// How many bytes lie between the WebSocket and the broker, in each direction.
const BETWEEN_BYTES: usize = 16 << 10;

/// How long the other side has to close, too.
const CLOSING: Duration = Duration::from_secs(2);

/// Serves a client that asks for a WebSocket until its connection ends.
pub(super) async fn serve<S: Stream>(stream: S, is_local: bool, broker: Arc<Broker>) -> io::Result<()> {
    let (patience, bytes_max) = (broker.options().connect_timeout, broker.options().packet_bytes_max);
    let socket = timeout(patience, upgrade(stream, is_local, bytes_max)).await??;
    let (near, far) = tokio::io::duplex(BETWEEN_BYTES);
    let (pumped, carried) = tokio::join!(pump(near, broker), carry(socket, far));
    pumped.and(carried)
}

async fn upgrade<S: Stream>(stream: S, is_local: bool, packet_bytes_max: u32) -> io::Result<Socket<S>> {
    let choose = |offers: &Offers| {
        let name = offers.iter().find(|offer| NAMES.contains(offer)).ok_or("offer the subprotocol mqtt")?;
        Ok(((), Some(name.to_owned())))
    };
    // A message may hold several packets.
    let message_bytes_max = usize::try_from(packet_bytes_max).unwrap_or(usize::MAX).max(BETWEEN_BYTES);
    Ok(accept(stream, message_bytes_max, is_local, choose).await?.0)
}

/// Carries bytes to and fro until one side ends.
async fn carry<S: Stream>(mut socket: Socket<S>, broker: DuplexStream) -> io::Result<()> {
    let (mut from_broker, mut to_broker) = tokio::io::split(broker);
    let (mut coming, mut going) = (Bytes::new(), BytesMut::new());
    let ended = loop {
        tokio::select! {
            said = socket.read(), if coming.is_empty() => match said {
                Said::Binary(bytes) => coming = bytes,
                Said::Alive => {}
                Said::Text(_) => break Err(io::Error::other("MQTT has no messages of text")),
                Said::End => break Ok(()),
            },
            written = to_broker.write(&coming), if !coming.is_empty() => match written {
                Ok(count) => coming.advance(count),
                // The broker has hung up; what it said last is still to be read.
                Err(_) => coming.clear(),
            },
            read = from_broker.read_buf(&mut going) => {
                if matches!(read, Ok(0) | Err(_)) {
                    break Ok(());
                }
                let mut frames = Vec::new();
                socket.add(false, &going, &mut frames);
                going.clear();
                socket.send(&frames).await?;
                socket.flush().await?;
            }
        }
    };
    // Who does not close in time is cut off.
    let _ = timeout(CLOSING, socket.close()).await;
    ended
}

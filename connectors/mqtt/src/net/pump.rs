//! One connection: bytes to packets and on to the broker, and what the broker says back to bytes.
//!
//! Reading and writing go on side by side, so that a client that does not read can still be heard, and the other way round. Nothing is
//! read while the broker wants no more of this client.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::broker::{Broker, LinkId, Sending};
use crate::wire::{Connack, Connect, DisconnectReasonCode, Packet, Version, Wire};

/// How long the last word may take.
const LAST_WORD: Duration = Duration::from_secs(2);

/// How many packets are written in one go, at most.
const PACKETS_MAX: usize = 256;

/// How much room there is for what is read in one go.
const READ_BYTES: usize = 16 << 10;

/// Serves a connection until it ends.
pub(super) async fn pump<S>(stream: S, broker: Arc<Broker>) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let (input, output) = tokio::io::split(stream);
    let wire = Wire::accepting(broker.options().packet_bytes_max);
    let mut reader = Reader { input, wire, bytes: BytesMut::new() };
    let mut writer = Writer { output, bytes: BytesMut::new(), packet_bytes_max: usize::MAX };

    let first = timeout(broker.options().connect_timeout, reader.packet()).await?;
    let (Ok(Some(Packet::Connect(connect))), Some(version)) = (first, reader.wire.version()) else {
        return Err(io::Error::other("it does not begin with a CONNECT"));
    };
    writer.packet_bytes_max = packet_bytes_max(&connect);
    let wake = Arc::new(Notify::new());
    let link = match broker.connect(*connect, version, Arc::clone(&wake)) {
        Ok(link) => link,
        Err(reason) => {
            let refusal = Connack { session_present: false, reason, properties: Vec::new() };
            let refusal = [Packet::Connack(Box::new(refusal))];
            return timeout(LAST_WORD, writer.write(version, &refusal)).await?;
        }
    };
    let reading_may_go_on = Notify::new();
    let ended = {
        let mut write = pin!(writer.run(version, &broker, link, &wake, &reading_may_go_on));
        let read = reader.run(&broker, link, &reading_may_go_on);
        let ended = tokio::select! {
            ended = &mut write => return finish(&broker, link, ended),
            ended = read => ended,
        };
        match ended {
            Ok(()) => Ok(()),
            Err(reason) => {
                // What is wrong is said before the connection is closed, if the version has words for it.
                broker.close_link(link, reason);
                timeout(LAST_WORD, write).await.unwrap_or(Ok(())).map_err(|_| reason)
            }
        }
    };
    finish(&broker, link, ended.map_err(|reason| io::Error::other(format!("{reason:?}"))))?;
    timeout(LAST_WORD, writer.output.shutdown()).await?
}

fn finish(broker: &Broker, link: LinkId, ended: io::Result<()>) -> io::Result<()> {
    broker.lost(link);
    ended
}

fn packet_bytes_max(connect: &Connect) -> usize {
    connect.maximum_packet_size.map_or(usize::MAX, |most| most.get() as usize)
}

struct Reader<S> {
    input: ReadHalf<S>,
    wire: Wire,
    bytes: BytesMut,
}

impl<S: AsyncRead> Reader<S> {
    /// Reads until the client says goodbye or is gone, which is no error, or does something wrong.
    async fn run(
        &mut self,
        broker: &Broker,
        link: LinkId,
        may_go_on: &Notify,
    ) -> Result<(), DisconnectReasonCode> {
        loop {
            while !broker.may_read(link) {
                may_go_on.notified().await;
            }
            let packet = match link.silence_max {
                None => self.packet().await?,
                Some(most) => match timeout(most, self.packet()).await {
                    Ok(packet) => packet?,
                    Err(_) => return Err(DisconnectReasonCode::KeepAliveTimeout),
                },
            };
            let Some(packet) = packet else { return Ok(()) };
            let is_last = matches!(packet, Packet::Disconnect(_));
            broker.receive(link, packet)?;
            if is_last {
                return Ok(());
            }
        }
    }

    /// The next packet; `None` if there will be none.
    async fn packet(&mut self) -> Result<Option<Packet>, DisconnectReasonCode> {
        loop {
            if let Some(packet) = self.wire.read(&mut self.bytes).map_err(|error| error.code)? {
                return Ok(Some(packet));
            }
            self.bytes.reserve(READ_BYTES);
            match self.input.read_buf(&mut self.bytes).await {
                Ok(0) | Err(_) => return Ok(None),
                Ok(_) => {}
            }
        }
    }
}

struct Writer<S> {
    output: WriteHalf<S>,
    bytes: BytesMut,
    /// What the client takes.
    packet_bytes_max: usize,
}

impl<S: AsyncWrite> Writer<S> {
    /// Writes what the broker says until it says its last.
    async fn run(
        &mut self,
        version: Version,
        broker: &Broker,
        link: LinkId,
        wake: &Notify,
        reading_may_go_on: &Notify,
    ) -> io::Result<()> {
        loop {
            let mut packets = Vec::new();
            let sending = broker.outgoing(link, &mut packets, PACKETS_MAX);
            if !packets.is_empty() {
                self.write(version, &packets).await?;
            }
            match sending {
                Sending::More => {}
                Sending::Last => return Ok(()),
                Sending::Idle => {
                    reading_may_go_on.notify_one();
                    wake.notified().await;
                }
            }
        }
    }

    async fn write(&mut self, version: Version, packets: &[Packet]) -> io::Result<()> {
        self.bytes.clear();
        for packet in packets {
            // What the client cannot take is not sent to it, as the specification has it.
            version.write(packet, &mut self.bytes, self.packet_bytes_max);
        }
        self.output.write_all(&self.bytes).await?;
        self.output.flush().await
    }
}

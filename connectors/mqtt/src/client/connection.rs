//! A connection to a broker: a task that reads, writes and gives signs of life, and two queues to it.
//!
//! The task goes on while nobody takes what has come: the queue is short, then the network's own holds the broker back, but signs of
//! life are still given. Nothing is acknowledged here; that is up to whoever takes the messages.

use std::collections::VecDeque;
use std::io;
use std::num::NonZeroU16;
use std::time::Duration;

use bytes::BytesMut;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::target::Stream;
use super::{ClientError, Login, Target};
use crate::wire::{
    Connect, ConnectReasonCode, Disconnect, DisconnectReasonCode, Packet, Property, Publish, Qos, Subscribe,
    SubscriptionOptions, Version, Wire,
};

/// How long the broker may take for each answer while a session begins.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest packet that there is.
const PACKET_BYTES_MAX: usize = 268_435_460;

/// The most that a message has beside topic and payload, unless it has many properties.
const OVERHEAD: usize = 4_096;

/// After how many seconds of silence the broker may take the client for gone.
const KEEP_ALIVE: u16 = 30;

/// How many packets may have come that nobody has taken yet.
const INCOMING_MAX: usize = 1_024;

/// How many packets may wait to be written.
const OUTGOING_MAX: usize = 4_096;

/// How long a session outlives the connection, where it is to: a week, in seconds.
const SESSION_EXPIRY: u32 = 7 * 86_400;

/// A client that a broker has let in. Dropping it cuts the connection.
pub struct Client {
    incoming: mpsc::Receiver<Packet>,
    outgoing: mpsc::Sender<Packet>,
    /// `None` once it has ended, for the reason beside it.
    task: Option<JoinHandle<io::Result<()>>>,
    reason: String,
    /// Whether it has ended because the broker said nothing any more.
    is_silent: bool,
    session_present: bool,
    receive_maximum: u16,
    version: Version,
    /// How long a packet may be for the broker.
    packet_bytes_max: usize,
}

impl Client {
    /// Goes to a broker and asks to be let in. The session is one that outlives the connection if it `is_lasting`.
    pub async fn connect(target: &Target, login: &Login, is_lasting: bool) -> Result<Self, ClientError> {
        let gone = |error: io::Error| ClientError::Gone(error.to_string());
        let stream = timeout(PATIENCE, target.connect()).await.map_err(too_slow)?.map_err(gone)?;
        let (input, output) = tokio::io::split(stream);
        let wire = Wire::speaking(target.version, target.packet_bytes_max);
        let mut reader = Reader { input, wire, bytes: BytesMut::new() };
        let mut writer = Writer { output, version: target.version, bytes: BytesMut::new() };
        let connect = Connect {
            clean_start: !is_lasting,
            session_expiry: if is_lasting { SESSION_EXPIRY } else { 0 },
            keep_alive: KEEP_ALIVE,
            maximum_packet_size: target.packet_bytes_max.try_into().ok(),
            username: login.username.as_deref().map(Into::into),
            password: login.password.clone(),
            ..Connect::new(login.client_id.as_str())
        };
        writer.write(&[Packet::Connect(Box::new(connect))]).await.map_err(gone)?;
        let answer = timeout(PATIENCE, reader.packet()).await.map_err(too_slow)?.map_err(gone)?;
        let Packet::Connack(ack) = answer else {
            return Err(ClientError::Gone("the broker does not answer with CONNACK".to_owned()));
        };
        if ack.reason != ConnectReasonCode::Success {
            return Err(ClientError::NotLetIn(ack.reason));
        }
        let (mut receive_maximum, mut keep_alive) = (u16::MAX, KEEP_ALIVE);
        let mut packet_bytes_max = PACKET_BYTES_MAX;
        for property in &ack.properties {
            match property {
                Property::ReceiveMaximum(most) => receive_maximum = most.val(),
                Property::ServerKeepAlive(seconds) => keep_alive = seconds.val(),
                Property::MaximumPacketSize(most) => packet_bytes_max = most.val() as usize,
                _ => {}
            }
        }
        let (taken, incoming) = mpsc::channel(INCOMING_MAX);
        let (outgoing, said) = mpsc::channel(OUTGOING_MAX);
        let keep_alive = Duration::from_secs(u64::from(keep_alive.max(2)));
        let task = tokio::spawn(run(reader, writer, taken, said, keep_alive));
        let session_present = ack.session_present;
        Ok(Self {
            incoming,
            outgoing,
            task: Some(task),
            reason: String::new(),
            is_silent: false,
            session_present,
            receive_maximum,
            version: target.version,
            packet_bytes_max,
        })
    }

    /// Whether the broker knew the session.
    pub fn session_present(&self) -> bool {
        self.session_present
    }

    /// How many messages of QoS 1 and 2 the broker takes before it acknowledges.
    pub fn receive_maximum(&self) -> usize {
        usize::from(self.receive_maximum)
    }

    /// Asks for messages. What comes meanwhile is given back with the answer.
    pub async fn subscribe(&mut self, filter: &str, qos: Qos) -> Result<Vec<Packet>, ClientError> {
        let id = NonZeroU16::MIN;
        let filters = vec![(filter.into(), SubscriptionOptions::new(qos))];
        self.send(Packet::Subscribe(Subscribe { packet_id: id, id: None, filters })).await?;
        let mut early = Vec::new();
        let answer = async {
            loop {
                match self.next().await? {
                    Packet::Suback(ack) if ack.packet_id == id => return Ok(ack),
                    other => early.push(other),
                }
            }
        };
        let ack = timeout(PATIENCE, answer).await.map_err(too_slow)??;
        match ack.reasons.first() {
            Some(reason) if reason.is_success() => Ok(early),
            Some(reason) => Err(ClientError::NotSubscribed(*reason)),
            None => Err(ClientError::Gone("the broker's SUBACK says nothing".to_owned())),
        }
    }

    /// Whether a message can be written, and is not too long for the broker.
    pub fn takes(&self, publish: &Publish) -> bool {
        let (topic, payload) = (publish.topic.len(), publish.payload.len());
        if topic <= usize::from(u16::MAX) && topic + payload + OVERHEAD <= self.packet_bytes_max {
            return true;
        }
        let packet_id =
            publish.packet_id.or(Some(NonZeroU16::MIN)).filter(|_| publish.qos != Qos::AtMostOnce);
        let packet = Packet::Publish(Box::new(Publish { packet_id, ..publish.clone() }));
        self.version.write(&packet, &mut BytesMut::new(), self.packet_bytes_max)
    }

    /// Says something. PINGRESP comes as an answer to a PINGREQ that was said here, not to signs of life.
    pub async fn send(&mut self, packet: Packet) -> Result<(), ClientError> {
        match self.outgoing.send(packet).await {
            Ok(()) => Ok(()),
            Err(_) => Err(self.why_gone().await),
        }
    }

    /// The next thing that the broker says. A wait that is given up loses nothing.
    pub async fn next(&mut self) -> Result<Packet, ClientError> {
        match self.incoming.recv().await {
            Some(Packet::Disconnect(said)) => {
                Err(ClientError::HungUp(format!("the broker says {}", said.reason)))
            }
            Some(packet) => Ok(packet),
            None => Err(self.why_gone().await),
        }
    }

    /// What the broker has said already, if anything.
    pub fn next_now(&mut self) -> Option<Packet> {
        match self.incoming.try_recv() {
            // Left for the one who waits.
            Ok(Packet::Disconnect(_)) | Err(_) => None,
            Ok(packet) => Some(packet),
        }
    }

    async fn why_gone(&mut self) -> ClientError {
        if let Some(task) = self.task.take() {
            (self.reason, self.is_silent) = match timeout(PATIENCE, task).await {
                Ok(Ok(Err(error))) => (error.to_string(), error.kind() == io::ErrorKind::TimedOut),
                _ => ("the broker has closed the connection".to_owned(), false),
            };
        }
        match self.is_silent {
            true => ClientError::Gone(self.reason.clone()),
            false => ClientError::HungUp(self.reason.clone()),
        }
    }

    /// Says goodbye, after what was said before.
    pub async fn leave(mut self) {
        let goodbye = Disconnect::new(DisconnectReasonCode::NormalDisconnection);
        if self.outgoing.send(Packet::Disconnect(goodbye)).await.is_ok()
            && let Some(task) = self.task.take()
        {
            let _ = timeout(PATIENCE, task).await;
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

fn too_slow(_: tokio::time::error::Elapsed) -> ClientError {
    ClientError::Gone("the broker does not answer".to_owned())
}

async fn run(
    mut reader: Reader,
    mut writer: Writer,
    taken: mpsc::Sender<Packet>,
    mut said: mpsc::Receiver<Packet>,
    keep_alive: Duration,
) -> io::Result<()> {
    // For each PINGREQ that is not answered yet whether somebody waits for the answer.
    let asked = Mutex::new(VecDeque::new());
    // As long as nobody takes what has come, the broker's silence is nobody's fault.
    let read = async {
        loop {
            let packet = timeout(keep_alive * 2, reader.packet()).await??;
            let is_wanted = packet != Packet::Pingresp || asked.lock().pop_front().unwrap_or(false);
            if is_wanted && taken.send(packet).await.is_err() {
                return Ok(());
            }
        }
    };
    let write = async {
        loop {
            match timeout(keep_alive / 2, said.recv()).await {
                Err(_) => {
                    asked.lock().push_back(false);
                    writer.write(&[Packet::Pingreq]).await?;
                }
                Ok(None) => return Ok(()),
                Ok(Some(packet)) => {
                    let mut packets = vec![packet];
                    while let Ok(more) = said.try_recv() {
                        packets.push(more);
                    }
                    let questions = packets.iter().filter(|packet| **packet == Packet::Pingreq).count();
                    asked.lock().extend(std::iter::repeat_n(true, questions));
                    writer.write(&packets).await?;
                    if matches!(packets.last(), Some(Packet::Disconnect(_))) {
                        return writer.output.shutdown().await;
                    }
                }
            }
        }
    };
    tokio::select! {
        ended = read => ended,
        ended = write => ended,
    }
}

struct Reader {
    input: ReadHalf<Box<dyn Stream>>,
    wire: Wire,
    bytes: BytesMut,
}

impl Reader {
    async fn packet(&mut self) -> io::Result<Packet> {
        loop {
            if let Some(packet) = self.wire.read(&mut self.bytes).map_err(io::Error::other)? {
                return Ok(packet);
            }
            self.bytes.reserve(16 << 10);
            if self.input.read_buf(&mut self.bytes).await? == 0 {
                return Err(io::Error::other("the broker has closed the connection"));
            }
        }
    }
}

struct Writer {
    output: WriteHalf<Box<dyn Stream>>,
    version: Version,
    bytes: BytesMut,
}

impl Writer {
    async fn write(&mut self, packets: &[Packet]) -> io::Result<()> {
        self.bytes.clear();
        for packet in packets {
            if !self.version.write(packet, &mut self.bytes, usize::MAX)
                && !matches!(packet, Packet::Disconnect(_))
            {
                return Err(io::Error::other("a packet cannot be written: a name or a payload is too long"));
            }
        }
        self.output.write_all(&self.bytes).await?;
        self.output.flush().await
    }
}

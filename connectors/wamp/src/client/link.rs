//! The way to a router: a network, or none.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use headwater_core::World;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;
use url::{Position, Url};

use crate::net::{
    Incoming, RawSocket, Subprotocol, Transport as _, WebSocket, connect_tls, rawsocket_hello,
    request_websocket,
};
use crate::realm::{MailboxOptions, WhenFull};
use crate::router::{Connection, Filling, Router};
use crate::wire::Serializer;

/// How long a message may be that comes in.
const MESSAGE_BYTES_MAX: usize = 16 << 20;

/// What may wait for a client in this process before the realm's peers are held back: half of it.
const LOCAL: MailboxOptions =
    MailboxOptions { bytes_max: 64 << 20, messages_max: 1 << 20, when_full: WhenFull::Cut };

/// Where a router is.
#[derive(Clone)]
pub enum Target {
    /// In this process.
    Here(Arc<Router>),
    /// At a URL: `ws://`, `wss://` or `rs://`.
    At(Url, World),
}

impl Target {
    /// What is shown of it: no user, no password, no query.
    pub fn shown(&self) -> String {
        match self {
            Self::Here(_) => "the router of this process".to_owned(),
            Self::At(url, _) => {
                let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
                format!("{}://{}{port}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path())
            }
        }
    }

    /// Goes there.
    pub(super) async fn connect(&self) -> io::Result<Link> {
        match self {
            Self::Here(router) => {
                let connection = Box::new(Connection::trusted(Arc::clone(router), LOCAL));
                Ok(Link::Here { connection, heard: VecDeque::new(), since: None })
            }
            Self::At(url, _) if url.scheme() == "rs" => rawsocket(url).await,
            Self::At(url, world) => websocket(world, url).await,
        }
    }
}

/// A stream, with TLS or without.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// The way to a router.
pub(crate) enum Link {
    /// Within this process.
    Here {
        /// The router's end.
        connection: Box<Connection>,
        /// What was taken from the mailbox already.
        heard: VecDeque<Bytes>,
        /// Since when the first of that has waited.
        since: Option<Instant>,
    },
    /// A WebSocket.
    WebSocket(Box<WebSocket<Box<dyn Stream>>>),
    /// A plain stream.
    RawSocket(Box<RawSocket<TcpStream>>),
}

impl Link {
    /// How messages are written on it.
    pub(super) const SERIALIZER: Serializer = Serializer::Json;

    /// Sends messages.
    pub(super) async fn send(&mut self, messages: &mut VecDeque<Bytes>) -> io::Result<()> {
        match self {
            Self::Here { connection, .. } => {
                for message in messages.drain(..) {
                    connection.receive_first(&message);
                }
                connection.wake();
                Ok(())
            }
            Self::WebSocket(socket) => socket.write(messages).await,
            Self::RawSocket(socket) => socket.write(messages).await,
        }
    }

    /// The next message; `None` if there will be none. A wait that is given up loses nothing.
    pub(super) async fn receive(&mut self) -> Option<Bytes> {
        loop {
            let incoming = match self {
                Self::Here { connection, heard, since } => loop {
                    if let Some(message) = heard.pop_front() {
                        break Incoming::Message(message);
                    }
                    let mailbox = Arc::clone(connection.mailbox());
                    *since = mailbox.waiting().1;
                    mailbox.take(heard);
                    if heard.is_empty() {
                        if mailbox.is_cut() || mailbox.is_parting() {
                            break Incoming::End;
                        }
                        mailbox.changed().await;
                    }
                },
                Self::WebSocket(socket) => socket.read().await,
                Self::RawSocket(socket) => socket.read().await,
            };
            match incoming {
                Incoming::Message(message) => return Some(message),
                Incoming::Alive => {}
                Incoming::Wrong(_) | Incoming::End => return None,
            }
        }
    }

    /// How many messages have come and were not received, and since when the first of them waits; within this process only.
    pub(super) fn waiting(&self) -> (usize, Option<Instant>) {
        let Self::Here { connection, heard, since } = self else { return (0, None) };
        let (more, later) = connection.mailbox().waiting();
        (heard.len() + more, since.filter(|_| !heard.is_empty()).or(later))
    }

    /// Says that this session fills a stream of this process; a router elsewhere would not understand.
    pub(super) fn fills(&self, stream: &str) -> Option<Filling> {
        let Self::Here { connection, .. } = self else { return None };
        let (realm, session) = connection.session()?;
        Some(realm.filled_by(session, stream))
    }

    /// Parts.
    pub(super) async fn close(&mut self) {
        match self {
            Self::Here { connection, .. } => connection.lost(),
            Self::WebSocket(socket) => socket.close().await,
            Self::RawSocket(socket) => socket.close().await,
        }
    }
}

async fn tcp(url: &Url, port: u16) -> io::Result<TcpStream> {
    let host = url.host_str().ok_or_else(|| io::Error::other("the URL has no host"))?;
    let stream = TcpStream::connect((host.trim_matches(['[', ']']), url.port().unwrap_or(port))).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn websocket(world: &World, url: &Url) -> io::Result<Link> {
    let is_secure = url.scheme() == "wss";
    let stream = tcp(url, if is_secure { 443 } else { 80 }).await?;
    let stream: Box<dyn Stream> = match url.host_str() {
        Some(host) if is_secure => Box::new(connect_tls(stream, host).await?),
        _ => Box::new(stream),
    };
    let wanted = Subprotocol { serializer: Link::SERIALIZER, is_batched: false };
    let (host, path) =
        (&url[Position::BeforeHost..Position::AfterPort], &url[Position::BeforePath..Position::AfterQuery]);
    let socket = request_websocket(world, stream, (host, path), wanted, MESSAGE_BYTES_MAX).await?;
    Ok(Link::WebSocket(Box::new(socket)))
}

async fn rawsocket(url: &Url) -> io::Result<Link> {
    let mut stream = tcp(url, 8080).await?;
    let hello = rawsocket_hello(Link::SERIALIZER, MESSAGE_BYTES_MAX);
    stream.write_all(&hello).await?;
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).await?;
    if answer[0] != hello[0] || answer[1] & 0x0f != hello[1] & 0x0f {
        return Err(io::Error::other(format!("the router refuses RawSocket with JSON: {answer:02x?}")));
    }
    Ok(Link::RawSocket(Box::new(RawSocket::new(stream, MESSAGE_BYTES_MAX))))
}

//! The way to a router: over a network, or to the one in this process.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use headwater_core::World;
use headwater_net::ClientTls;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;
use url::{Position, Url};

use crate::net::{
    Incoming, RawSocket, Subprotocol, Transport as _, WebSocket, rawsocket_hello, request_websocket,
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
    /// At a URL: `ws://`, `wss://`, `rs://` or `rss://`.
    At {
        /// The URL.
        url: Url,
        /// What TLS needs.
        tls: Box<ClientTls>,
        /// Gives random numbers.
        world: World,
    },
}

impl Target {
    /// What is shown of it: no user, no password, no query.
    pub fn shown(&self) -> String {
        match self {
            Self::Here(_) => "the router of this process".to_owned(),
            Self::At { url, .. } => {
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
            Self::At { url, tls, world } => {
                let is_raw = matches!(url.scheme(), "rs" | "rss");
                let stream = reach(url, tls, if is_raw { 8080 } else { 80 }).await?;
                if is_raw { rawsocket(stream).await } else { websocket(world, url, stream).await }
            }
        }
    }

    /// Whether what is needed to go there is here; the error says what is not.
    pub(crate) fn check(&self) -> io::Result<()> {
        match self {
            Self::At { url, tls, .. } if is_secure(url) => tls.check(),
            _ => Ok(()),
        }
    }
}

/// Whether the way to a router is one of TLS.
pub(crate) fn is_secure(url: &Url) -> bool {
    matches!(url.scheme(), "wss" | "rss")
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
    RawSocket(Box<RawSocket<Box<dyn Stream>>>),
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

/// Goes to where a URL says, at `port` unless it names one; with TLS that is 443, as nobody has said anything else.
async fn reach(url: &Url, tls: &ClientTls, port: u16) -> io::Result<Box<dyn Stream>> {
    let host = url.host_str().ok_or_else(|| io::Error::other("the URL has no host"))?;
    let port = url.port().unwrap_or(if is_secure(url) { 443 } else { port });
    let stream = TcpStream::connect((host.trim_matches(['[', ']']), port)).await?;
    stream.set_nodelay(true)?;
    Ok(if is_secure(url) { Box::new(tls.connect(stream, host).await?) } else { Box::new(stream) })
}

async fn websocket(world: &World, url: &Url, stream: Box<dyn Stream>) -> io::Result<Link> {
    let wanted = Subprotocol { serializer: Link::SERIALIZER, is_batched: false };
    let (host, path) =
        (&url[Position::BeforeHost..Position::AfterPort], &url[Position::BeforePath..Position::AfterQuery]);
    let socket = request_websocket(world, stream, (host, path), wanted, MESSAGE_BYTES_MAX).await?;
    Ok(Link::WebSocket(Box::new(socket)))
}

async fn rawsocket(mut stream: Box<dyn Stream>) -> io::Result<Link> {
    let hello = rawsocket_hello(Link::SERIALIZER, MESSAGE_BYTES_MAX);
    stream.write_all(&hello).await?;
    stream.flush().await?;
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).await?;
    if answer[0] != hello[0] || answer[1] & 0x0f != hello[1] & 0x0f {
        return Err(io::Error::other(format!("the router refuses RawSocket with JSON: {answer:02x?}")));
    }
    Ok(Link::RawSocket(Box::new(RawSocket::new(stream, MESSAGE_BYTES_MAX))))
}

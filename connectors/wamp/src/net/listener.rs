//! Listens on a port for WebSocket and RawSocket alike: the first byte tells them apart.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use headwater_net::ServerTls;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use super::pump::pump;
use super::rawsocket::{self, RawSocket, Refused};
use super::websocket;
use crate::router::{Connection, Router};
use crate::wire::Dict;

/// After how much silence TCP asks whether the other side is still there.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// How long sessions have to say goodbye when the listener stops.
const GOODBYES: Duration = Duration::from_secs(3);

/// A port that is taken, and not yet served.
pub struct Listener {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
}

impl Listener {
    /// Takes a port.
    pub async fn bind(address: SocketAddr, tls: Option<&ServerTls>) -> io::Result<Self> {
        let tls = tls.map(ServerTls::acceptor).transpose()?;
        Ok(Self { listener: TcpListener::bind(address).await?, tls })
    }

    /// Where it listens.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves a router until told to stop.
    pub fn serve(self, router: Arc<Router>) -> Running {
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(accept(self, Arc::clone(&router), stopped));
        Running { router, stop, task }
    }
}

/// A listener at work. Dropping it cuts off everybody.
pub struct Running {
    router: Arc<Router>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Running {
    /// The router that is served.
    pub fn router(&self) -> &Arc<Router> {
        &self.router
    }

    /// Takes no more connections, says goodbye to everybody, and waits a little for answers.
    pub async fn stop(mut self) {
        let _ = self.stop.send(true);
        self.router.close();
        // The task owns the connections, and ends with them.
        let _ = tokio::time::timeout(GOODBYES, &mut self.task).await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: Listener, router: Arc<Router>, mut stopped: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(router.options().connections_max.min(Semaphore::MAX_PERMITS)));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
            _ = stopped.wait_for(|stopped| *stopped) => break,
        };
        match accepted {
            Ok((stream, address)) => {
                let place = Arc::clone(&places).try_acquire_owned().ok();
                connections.spawn(serve(stream, address, listener.tls.clone(), Arc::clone(&router), place));
            }
            Err(error) => {
                // Out of file handles, most likely: others may close some.
                tracing::warn!("cannot accept a connection: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Serves one connection from its first byte to its last. Without a place it is turned away.
async fn serve(
    stream: TcpStream,
    address: SocketAddr,
    tls: Option<TlsAcceptor>,
    router: Arc<Router>,
    place: Option<OwnedSemaphorePermit>,
) {
    // Small messages go at once, and who is silent for long is looked after. An error here only makes them slower.
    let _ = stream.set_nodelay(true);
    let _ = SockRef::from(&stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE));
    let is_full = place.is_none();
    let is_local = stream.local_addr().is_ok_and(|own| own.ip().is_loopback());
    let served = match tls {
        None => greet(stream, Transported { address, is_secure: false, is_local, is_full }, router).await,
        Some(tls) => {
            let patience = router.options().handshake_timeout;
            match tokio::time::timeout(patience, tls.accept(stream)).await {
                Ok(Ok(stream)) => {
                    greet(stream, Transported { address, is_secure: true, is_local, is_full }, router).await
                }
                Ok(Err(error)) => Err(error),
                Err(_) => Err(io::ErrorKind::TimedOut.into()),
            }
        }
    };
    if let Err(error) = served {
        tracing::debug!(%address, "a connection came to nothing: {error}");
    }
    drop(place);
}

/// What is known about a transport before a word is said.
#[derive(Clone, Copy)]
struct Transported {
    address: SocketAddr,
    is_secure: bool,
    /// It came over loopback.
    is_local: bool,
    is_full: bool,
}

impl Transported {
    /// As the meta API tells it.
    fn describe(self, kind: &str, protocol: &str) -> Dict {
        Dict::new()
            .with("type", kind)
            .with("protocol", protocol)
            .with("peer", format!("tcp:{}", self.address))
            .with("secure", self.is_secure)
    }
}

async fn greet<S>(stream: S, known: Transported, router: Arc<Router>) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let patience = router.options().handshake_timeout;
    // One byte is looked at and left there; what follows is read past this buffer.
    let mut stream = BufReader::with_capacity(1, stream);
    let first = tokio::time::timeout(patience, stream.fill_buf()).await??.first().copied();
    match first {
        None => Ok(()),
        // Each in a box of its own size: an idle connection is as small as its transport allows.
        Some(rawsocket::MAGIC) => Box::pin(greet_rawsocket(stream, known, router)).await,
        Some(_) => Box::pin(greet_websocket(stream, known, router)).await,
    }
}

async fn greet_rawsocket<S>(
    mut stream: BufReader<S>,
    known: Transported,
    router: Arc<Router>,
) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let options = router.options();
    let mut handshake = [0; 4];
    tokio::time::timeout(options.handshake_timeout, stream.read_exact(&mut handshake)).await??;
    let agreed = rawsocket::read_handshake(handshake);
    let agreed = if known.is_full { Err(Refused::TooMany) } else { agreed };
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
    let transport = known.describe("rawsocket", serializer.name());
    let ping_interval = options.ping_interval;
    let connection = Connection::new(router, serializer, takes, transport);
    pump(RawSocket::new(stream, bytes_max), connection, ping_interval).await;
    Ok(())
}

async fn greet_websocket<S>(stream: BufReader<S>, known: Transported, router: Arc<Router>) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    if known.is_full {
        let mut stream = stream;
        stream.write_all(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n").await?;
        return stream.shutdown().await;
    }
    let options = router.options();
    let accepted = websocket::accept(stream, options.message_bytes_max, known.is_local);
    let socket = tokio::time::timeout(options.handshake_timeout, accepted).await??;
    let serializer = socket.subprotocol().serializer;
    let transport = known.describe("websocket", serializer.name());
    let ping_interval = options.ping_interval;
    let connection = Connection::new(router, serializer, usize::MAX, transport);
    pump(socket, connection, ping_interval).await;
    Ok(())
}

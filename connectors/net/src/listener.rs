//! Listens on a port, with TLS or without, for a service that tells its protocols apart by the first byte.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use crate::{ServerTls, Stream};

/// After how much silence TCP asks whether the other side is still there.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// How long callers have to read the last word when the listener stops.
const GOODBYES: Duration = Duration::from_secs(3);

/// How long nobody is let in after that went wrong.
const PAUSE: Duration = Duration::from_millis(100);

/// What is served on a port.
pub trait Service: Send + Sync + 'static {
    /// How many connections there may be at most.
    fn connections_max(&self) -> usize;

    /// Whether callers for whom there is no place are served, so that they can be told. If not, they are cut off at once.
    fn hears_callers_without_a_place(&self) -> bool;

    /// How long TLS may take, and a caller until its first byte.
    fn handshake_timeout(&self) -> Duration;

    /// Serves a connection to its end. `stream` begins with `first`.
    fn serve<S: Stream>(
        self: Arc<Self>,
        stream: BufReader<S>,
        first: u8,
        caller: Caller,
    ) -> impl Future<Output = io::Result<()>> + Send;

    /// What goes on beside the connections, for as long as callers are let in.
    fn meanwhile(&self) -> impl Future<Output = Infallible> + Send {
        std::future::pending()
    }

    /// Says goodbye to everybody.
    fn close(&self);
}

/// What is known of a connection before a word is said.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    /// Where it comes from.
    pub address: SocketAddr,
    /// It came over loopback.
    pub is_local: bool,
    /// It came over TLS.
    pub is_secure: bool,
    /// There is a place for it.
    pub has_place: bool,
}

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

    /// Serves until told to stop.
    pub fn serve<V: Service>(self, service: Arc<V>) -> Running<V> {
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(accept(self, Arc::clone(&service), stopped));
        Running { service, stop, task }
    }
}

/// A listener at work. Dropping it cuts off everybody.
pub struct Running<V: Service> {
    service: Arc<V>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl<V: Service> Running<V> {
    /// What is served.
    pub fn service(&self) -> &Arc<V> {
        &self.service
    }

    /// Takes no more connections, says goodbye to everybody, and waits a little for answers.
    pub async fn stop(mut self) {
        let _ = self.stop.send(true);
        self.service.close();
        // The task owns the connections, and ends with them.
        let _ = tokio::time::timeout(GOODBYES, &mut self.task).await;
    }
}

impl<V: Service> Drop for Running<V> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept<V: Service>(listener: Listener, service: Arc<V>, mut stopped: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(service.connections_max().min(Semaphore::MAX_PERMITS)));
    let mut connections = JoinSet::new();
    let mut meanwhile = pin!(service.meanwhile());
    loop {
        let accepted = tokio::select! {
            accepted = listener.listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
            never = &mut meanwhile => match never {},
            _ = stopped.wait_for(|stopped| *stopped) => break,
        };
        match accepted {
            Ok((stream, address)) => {
                let place = Arc::clone(&places).try_acquire_owned().ok();
                // Every client takes being cut off for an outage.
                if place.is_some() || service.hears_callers_without_a_place() {
                    connections.spawn(answer(
                        stream,
                        address,
                        listener.tls.clone(),
                        Arc::clone(&service),
                        place,
                    ));
                }
            }
            Err(error) => {
                // Out of file handles, most likely: others may close some.
                tracing::warn!("cannot accept a connection: {error}");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Serves one connection from its first byte to its last.
async fn answer<V: Service>(
    stream: TcpStream,
    address: SocketAddr,
    tls: Option<TlsAcceptor>,
    service: Arc<V>,
    place: Option<OwnedSemaphorePermit>,
) {
    // Small messages go at once, and who is silent for long is looked after. An error here only makes them slower.
    let _ = stream.set_nodelay(true);
    let _ = SockRef::from(&stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE));
    let is_local = stream.local_addr().is_ok_and(|own| own.ip().is_loopback());
    let caller = Caller { address, is_local, is_secure: tls.is_some(), has_place: place.is_some() };
    let served = match tls {
        None => greet(stream, caller, service).await,
        // In a box: a connection without TLS is no larger for it.
        Some(tls) => Box::pin(greet_secure(stream, tls, caller, service)).await,
    };
    if let Err(error) = served {
        tracing::debug!(%address, "a connection ended: {error}");
    }
    drop(place);
}

async fn greet_secure<V: Service>(
    stream: TcpStream,
    tls: TlsAcceptor,
    caller: Caller,
    service: Arc<V>,
) -> io::Result<()> {
    let stream = tokio::time::timeout(service.handshake_timeout(), tls.accept(stream)).await??;
    greet(stream, caller, service).await
}

async fn greet<S: Stream, V: Service>(stream: S, caller: Caller, service: Arc<V>) -> io::Result<()> {
    // One byte is looked at and left there; what follows is read past this buffer.
    let mut stream = BufReader::with_capacity(1, stream);
    let first = tokio::time::timeout(service.handshake_timeout(), stream.fill_buf()).await??.first().copied();
    match first {
        None => Ok(()),
        Some(first) => service.serve(stream, first, caller).await,
    }
}

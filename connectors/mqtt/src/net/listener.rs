//! Listens on a port for MQTT over TCP and over WebSocket alike: the first byte tells them apart.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use headwater_net::{ServerTls, Stream};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use super::pump::pump;
use super::websocket;
use crate::broker::Broker;

/// After how much silence TCP asks whether the other side is still there.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// How long clients have to read the last word when the listener stops.
const GOODBYES: Duration = Duration::from_secs(3);

/// How often the broker looks for what is due.
const TICK: Duration = Duration::from_secs(1);

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

    /// Serves a broker until told to stop.
    pub fn serve(self, broker: Arc<Broker>) -> Running {
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(accept(self, Arc::clone(&broker), stopped));
        Running { broker, stop, task }
    }
}

/// A listener at work. Dropping it cuts off everybody.
pub struct Running {
    broker: Arc<Broker>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Running {
    /// Takes no more connections, says goodbye to everybody, and waits a little.
    pub async fn stop(mut self) {
        let _ = self.stop.send(true);
        self.broker.close();
        // The task owns the connections, and ends with them.
        let _ = tokio::time::timeout(GOODBYES, &mut self.task).await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: Listener, broker: Arc<Broker>, mut stopped: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(broker.options().connections_max.min(Semaphore::MAX_PERMITS)));
    let mut connections = JoinSet::new();
    let mut ticks = tokio::time::interval(TICK);
    loop {
        let accepted = tokio::select! {
            accepted = listener.listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
            _ = ticks.tick() => {
                broker.tick();
                continue;
            }
            _ = stopped.wait_for(|stopped| *stopped) => break,
        };
        match accepted {
            Ok((stream, address)) => {
                // Without a place it is closed at once, which every client takes for an outage.
                if let Ok(place) = Arc::clone(&places).try_acquire_owned() {
                    connections.spawn(serve(
                        stream,
                        address,
                        listener.tls.clone(),
                        Arc::clone(&broker),
                        place,
                    ));
                }
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

/// Serves one connection from its first byte to its last.
async fn serve(
    stream: TcpStream,
    address: SocketAddr,
    tls: Option<TlsAcceptor>,
    broker: Arc<Broker>,
    place: OwnedSemaphorePermit,
) {
    // Small packets go at once, and who is silent for long is looked after. An error here only makes them slower.
    let _ = stream.set_nodelay(true);
    let _ = SockRef::from(&stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE));
    let is_local = stream.local_addr().is_ok_and(|own| own.ip().is_loopback());
    let served = match tls {
        None => greet(stream, is_local, broker).await,
        Some(tls) => match tokio::time::timeout(broker.options().connect_timeout, tls.accept(stream)).await {
            Ok(Ok(stream)) => greet(stream, is_local, broker).await,
            Ok(Err(error)) => Err(error),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        },
    };
    if let Err(error) = served {
        tracing::debug!(%address, "a connection ended: {error}");
    }
    drop(place);
}

/// Serves a client, whatever it speaks over. A request of HTTP begins with a letter, which no packet of a client's does at first.
async fn greet<S: Stream>(stream: S, is_local: bool, broker: Arc<Broker>) -> io::Result<()> {
    let patience = broker.options().connect_timeout;
    // One byte is looked at and left there; what follows is read past this buffer.
    let mut stream = BufReader::with_capacity(1, stream);
    let first = tokio::time::timeout(patience, stream.fill_buf()).await??.first().copied();
    match first {
        None => Ok(()),
        // In a box: a connection over TCP is no larger for it.
        Some(b'G') => Box::pin(websocket::serve(stream, is_local, broker)).await,
        Some(_) => pump(stream, broker).await,
    }
}

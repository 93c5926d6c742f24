//! Serves a broker over TCP and over WebSocket alike: the first byte tells them apart.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use headwater_net::{Caller, Service, Stream};
use tokio::io::BufReader;

use super::pump::pump;
use super::websocket;
use crate::broker::Broker;

/// How often the broker looks for what is due.
const TICK: Duration = Duration::from_secs(1);

/// A broker that is served on a port.
pub type Running = headwater_net::Running<Broker>;

impl Service for Broker {
    fn connections_max(&self) -> usize {
        self.options().connections_max
    }

    fn hears_callers_without_a_place(&self) -> bool {
        false
    }

    fn handshake_timeout(&self) -> Duration {
        self.options().connect_timeout
    }

    async fn serve<S: Stream>(
        self: Arc<Self>,
        stream: BufReader<S>,
        first: u8,
        caller: Caller,
    ) -> io::Result<()> {
        // A request of HTTP begins with a letter, which no packet of a client's does at first.
        if first == b'G' {
            // In a box: a connection over TCP is no larger for it.
            return Box::pin(websocket::serve(stream, caller.is_local, self)).await;
        }
        pump(stream, self).await
    }

    async fn meanwhile(&self) -> Infallible {
        let mut ticks = tokio::time::interval(TICK);
        loop {
            ticks.tick().await;
            self.tick();
        }
    }

    fn close(&self) {
        Self::close(self);
    }
}

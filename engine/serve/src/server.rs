//! Binding, serving, and stopping without cutting anybody off who is nearly done.

use std::future::Future;
use std::net::SocketAddr;

use headwater_core::Code;
use headwater_run::Engine;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::listener::GuardedListener;
use crate::options::ServeOptions;
use crate::routes::router;
use crate::state::App;

/// Why the server does not run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}, choose another with --listen")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The server ended on its own.
    #[error("the server stopped: {0}")]
    Serve(std::io::Error),
}

impl ServeError {
    /// The code under which an operator finds the remedy, `docs/errors/`.
    pub fn code(&self) -> Code {
        match self {
            Self::Listen { .. } => Code::new("HW6001"),
            Self::Serve(_) => Code::new("HW6002"),
        }
    }
}

/// A socket that listens, and what it will serve.
pub struct Server {
    engine: Engine,
    options: ServeOptions,
    listener: TcpListener,
    address: SocketAddr,
}

impl Server {
    /// Binds the address. Clients may connect from now on; they are answered by [`Server::run`].
    pub async fn bind(engine: Engine, options: ServeOptions) -> Result<Self, ServeError> {
        let failed = |source| ServeError::Listen { address: options.listen, source };
        let listener = TcpListener::bind(options.listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { engine, options, listener, address })
    }

    /// The address, with the port that was taken.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` is done, then takes no more connections, ends the tails, and lets requests that are under way finish
    /// within [`ServeOptions::shutdown_grace`]. The engine stays open.
    pub async fn run(self, stop: impl Future<Output = ()> + Send + 'static) -> Result<(), ServeError> {
        let (closing, closing_seen) = watch::channel(false);
        let grace = self.options.shutdown_grace;
        let listener = GuardedListener::new(self.listener, self.options.write_stall_max);
        let app = App::new(self.engine, self.options, closing_seen.clone());
        let router = router(app, self.address.ip().is_loopback());
        let stopping = async move {
            stop.await;
            closing.send_replace(true);
        };
        let serving = axum::serve(listener, router).with_graceful_shutdown(stopping).into_future();
        tokio::select! {
            served = serving => served.map_err(ServeError::Serve),
            () = grace_is_over(closing_seen, grace) => {
                tracing::warn!("some connections were still open after {grace:?} and are closed");
                Ok(())
            }
        }
    }
}

async fn grace_is_over(mut closing: watch::Receiver<bool>, grace: std::time::Duration) {
    // The sender lives in the future that serves; when that ends first, this one is not needed.
    if closing.wait_for(|closing| *closing).await.is_err() {
        std::future::pending::<()>().await;
    }
    tokio::time::sleep(grace).await;
}

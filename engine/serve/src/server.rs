//! Binding, serving, and stopping without cutting anybody off who is nearly done.

use std::future::Future;
use std::io;
use std::net::SocketAddr;

use axum::ServiceExt as _;
use headwater_core::Code;
use headwater_run::Engine;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};

use crate::gate::Gate;
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
        source: io::Error,
    },
    /// The server ended on its own.
    #[error("the server stopped: {0}")]
    Serve(io::Error),
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

/// A socket that listens, and who answers there.
pub struct Server {
    options: ServeOptions,
    address: SocketAddr,
    gate: Gate,
    closing: watch::Sender<bool>,
    /// The one task that accepts connections; it ends with this.
    serving: JoinSet<io::Result<()>>,
}

impl Server {
    /// Listens. Until [`Server::open`] gives it an engine, `/healthz` is answered well and everything else with 503.
    pub async fn listen(options: ServeOptions) -> Result<Self, ServeError> {
        let failed = |source| ServeError::Listen { address: options.listen, source };
        let listener = TcpListener::bind(options.listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let gate = Gate::new(address.ip().is_loopback());
        let (closing, mut seen) = watch::channel(false);
        let stopping = async move { drop(seen.wait_for(|closing| *closing).await) };
        let listener = GuardedListener::new(listener, options.write_stall_max);
        let service = gate.clone().into_make_service();
        let mut serving = JoinSet::new();
        serving.spawn(axum::serve(listener, service).with_graceful_shutdown(stopping).into_future());
        Ok(Self { options, address, gate, closing, serving })
    }

    /// Listens, and answers by an engine at once.
    pub async fn bind(engine: Engine, options: ServeOptions) -> Result<Self, ServeError> {
        let server = Self::listen(options).await?;
        server.open(engine);
        Ok(server)
    }

    /// The address, with the port that was taken.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Says what [`Server::open`] waits for, for those who ask meanwhile.
    pub fn waits_for(&self, what: impl Into<String>) {
        self.gate.waits_for(what.into());
    }

    /// Answers by an engine from now on.
    pub fn open(&self, engine: Engine) {
        let app = App::new(engine, self.options.clone(), self.closing.subscribe());
        self.gate.open(router(app, self.address.ip().is_loopback()));
    }

    /// Serves until `stop` is done, then takes no more connections, ends the tails, and lets requests that are under way finish
    /// within [`ServeOptions::shutdown_grace`]. The engine stays open.
    pub async fn run(mut self, stop: impl Future<Output = ()>) -> Result<(), ServeError> {
        tokio::select! {
            served = self.serving.join_next() => return ended(served),
            () = stop => self.closing.send_replace(true),
        };
        let grace = self.options.shutdown_grace;
        match tokio::time::timeout(grace, self.serving.join_next()).await {
            Ok(served) => ended(served),
            Err(_) => {
                tracing::warn!("some connections were still open after {grace:?} and are closed");
                Ok(())
            }
        }
    }
}

fn ended(served: Option<Result<io::Result<()>, JoinError>>) -> Result<(), ServeError> {
    match served {
        Some(Ok(served)) => served.map_err(ServeError::Serve),
        Some(Err(error)) => Err(ServeError::Serve(io::Error::other(error))),
        None => Ok(()),
    }
}

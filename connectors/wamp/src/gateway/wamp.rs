//! Starts and stops the router.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use headwater_connectors::{ConnectorError, Gateway, Result};
use headwater_core::World;

use super::{ProcedureConfig, WampConfig};
use crate::connector::{set_router, unset_router};
use crate::net::{Listener, Running, ServerTls};
use crate::router::{History, Router};

/// The router as a gateway.
///
/// The router is there from the beginning, so that what sources record is known, and they have joined, before anybody else comes in.
pub struct WampGateway {
    router: Arc<Router>,
    address: SocketAddr,
    tls: Option<ServerTls>,
    procedures: Vec<(String, Vec<ProcedureConfig>)>,
    running: Option<Running>,
    bound: Option<SocketAddr>,
}

impl WampGateway {
    /// A gateway that is not started yet. The timers of its router run on the tokio runtime that this is called on.
    pub fn new(world: World, config: WampConfig) -> std::result::Result<Self, String> {
        let (address, tls) = (config.listen, config.tls());
        let procedures = config.procedures()?;
        let router = Router::new(world, config.options()?);
        set_router(&router);
        Ok(Self { router, address, tls, procedures, running: None, bound: None })
    }

    /// Says who keeps the events of the past, before it is started.
    pub fn set_history(&self, history: &Arc<dyn History>) {
        self.router.set_history(history);
    }

    /// The router, once started.
    pub fn router(&self) -> Option<&Arc<Router>> {
        self.running.as_ref().map(Running::service)
    }

    /// The procedures that whoever runs the router is to offer, by realm.
    pub fn procedures(&self) -> &[(String, Vec<ProcedureConfig>)] {
        &self.procedures
    }

    /// Where it listens, once started.
    pub fn address(&self) -> Option<SocketAddr> {
        self.bound
    }

    async fn listen(&mut self) -> io::Result<()> {
        let listener = Listener::bind(self.address, self.tls.as_ref()).await?;
        self.bound = Some(listener.address()?);
        self.running = Some(listener.serve(Arc::clone(&self.router)));
        Ok(())
    }
}

#[async_trait]
impl Gateway for WampGateway {
    async fn start(&mut self) -> Result<()> {
        let what = format!("listen for WAMP on {}", self.address);
        self.listen().await.map_err(|error| ConnectorError::outage(what, error))
    }

    async fn stop(&mut self) -> Result<()> {
        unset_router();
        if let Some(running) = self.running.take() {
            running.stop().await;
        }
        Ok(())
    }
}

//! Starts and stops the router.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use headwater_connectors::{ConnectorError, Gateway, Result};
use headwater_core::World;

use super::{ProcedureConfig, WampConfig};
use crate::connector::{set_router, unset_router};
use crate::net::{Listener, Running, TlsFiles};
use crate::router::{History, Router, RouterOptions};

/// The router as a gateway.
pub struct WampGateway {
    world: World,
    address: SocketAddr,
    tls: Option<TlsFiles>,
    options: RouterOptions,
    procedures: Vec<(String, Vec<ProcedureConfig>)>,
    history: Option<Arc<dyn History>>,
    running: Option<Running>,
    bound: Option<SocketAddr>,
}

impl WampGateway {
    /// A gateway that is not started yet.
    pub fn new(world: World, config: WampConfig) -> std::result::Result<Self, String> {
        let (address, tls) = (config.listen, config.tls());
        let procedures = config.procedures()?;
        let options = config.options()?;
        let (history, running, bound) = (None, None, None);
        Ok(Self { world, address, tls, options, procedures, history, running, bound })
    }

    /// Says who keeps the events of the past, before it is started.
    pub fn set_history(&mut self, history: Arc<dyn History>) {
        self.history = Some(history);
    }

    /// The router, once started.
    pub fn router(&self) -> Option<&Arc<Router>> {
        self.running.as_ref().map(Running::router)
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
        let router = Router::new(self.world.clone(), self.options.clone());
        if let Some(history) = &self.history {
            router.set_history(history);
        }
        set_router(&router);
        self.running = Some(listener.serve(Arc::clone(&router)));
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

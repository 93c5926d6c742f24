//! Starts and stops the router.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use headwater_connectors::{ConnectorError, Gateway, Result};
use headwater_core::World;

use super::WampConfig;
use crate::connector::{set_router, unset_router};
use crate::net::{Listener, Running, TlsFiles};
use crate::router::{Router, RouterOptions};

/// The router as a gateway.
pub struct WampGateway {
    world: World,
    address: SocketAddr,
    tls: Option<TlsFiles>,
    options: RouterOptions,
    running: Option<Running>,
    bound: Option<SocketAddr>,
}

impl WampGateway {
    /// A gateway that is not started yet.
    pub fn new(world: World, config: WampConfig) -> std::result::Result<Self, String> {
        let (address, tls) = (config.listen, config.tls());
        let options = config.options()?;
        Ok(Self { world, address, tls, options, running: None, bound: None })
    }

    /// Where it listens, once started.
    pub fn address(&self) -> Option<SocketAddr> {
        self.bound
    }

    async fn listen(&mut self) -> io::Result<()> {
        let listener = Listener::bind(self.address, self.tls.as_ref()).await?;
        self.bound = Some(listener.address()?);
        let router = Router::new(self.world.clone(), self.options.clone());
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

//! Starts and stops the broker.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use headwater_connectors::{ConnectorError, Gateway, Result};
use headwater_core::World;

use super::MqttConfig;
use super::keeper::Keeper;
use crate::broker::Broker;
use crate::connector::{set_broker, unset_broker};
use crate::net::{Listener, Running, ServerTls};

/// The broker as a gateway.
///
/// The broker is there from the beginning, so that sources that are made before it is served find it and miss nothing.
pub struct MqttGateway {
    broker: Arc<Broker>,
    persistence: bool,
    store: Option<PathBuf>,
    keeper: Option<Keeper>,
    ports: Vec<(SocketAddr, Option<ServerTls>)>,
    running: Vec<Running>,
    bound: Vec<(SocketAddr, bool)>,
}

impl MqttGateway {
    /// A gateway that is not started yet.
    pub fn new(world: World, config: &MqttConfig) -> std::result::Result<Self, String> {
        let (ports, access) = (config.ports()?, config.access(&world)?);
        let broker = Broker::new(world, config.options(), access);
        set_broker(&broker);
        let persistence = config.persistence.unwrap_or(true);
        let (store, keeper, running, bound) = (None, None, Vec::new(), Vec::new());
        Ok(Self { broker, persistence, store, keeper, ports, running, bound })
    }

    /// Says in which directory sessions are kept, before it is started; nowhere if the configuration says so, or nobody says.
    pub fn keep_in(&mut self, dir: PathBuf) {
        self.store = self.persistence.then_some(dir);
    }

    /// Where it listens, once started, and whether with TLS.
    pub fn addresses(&self) -> &[(SocketAddr, bool)] {
        &self.bound
    }

    async fn listen(&mut self, address: SocketAddr, tls: Option<&ServerTls>) -> io::Result<()> {
        let listener = Listener::bind(address, tls).await?;
        self.bound.push((listener.address()?, tls.is_some()));
        self.running.push(listener.serve(Arc::clone(&self.broker)));
        Ok(())
    }
}

#[async_trait]
impl Gateway for MqttGateway {
    async fn start(&mut self) -> Result<()> {
        if let Some(dir) = self.store.clone() {
            let kept = Keeper::start(self.broker.world().clone(), dir, &self.broker).await;
            let failed = |error| ConnectorError::outage("take in the sessions of MQTT clients", error);
            self.keeper = Some(kept.map_err(failed)?);
        }
        for (address, tls) in self.ports.clone() {
            let listened = self.listen(address, tls.as_ref()).await;
            listened
                .map_err(|error| ConnectorError::outage(format!("listen for MQTT on {address}"), error))?;
        }
        Ok(())
    }

    async fn stop(&mut self) -> Result<()> {
        unset_broker();
        for running in self.running.drain(..) {
            running.stop().await;
        }
        if let Some(keeper) = self.keeper.take() {
            keeper.stop().await;
        }
        Ok(())
    }
}

//! The protocols beside HTTP that `serve` speaks.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, anyhow};
use headwater_connectors::Gateway as _;
use headwater_core::World;
use headwater_mqtt::gateway::{MqttConfig, MqttGateway};
use headwater_run::Engine;
use headwater_wamp::gateway::{WampConfig, WampGateway};
use headwater_wamp::router::History;

use crate::output;
use crate::wamp::{Procedures, StreamHistory};

/// The gateways of a server.
pub(crate) struct Gateways {
    wamp: Option<WampGateway>,
    procedures: Procedures,
    mqtt: Option<MqttGateway>,
}

impl Gateways {
    /// Those that command line or file ask for; the command line's address wins.
    pub fn new(
        wamp: (Option<SocketAddr>, Option<WampConfig>),
        mqtt: (Option<SocketAddr>, Option<MqttConfig>),
    ) -> Result<Self> {
        let wamp = match wamp {
            (None, None) => None,
            (Some(listen), None) => Some(WampConfig::open(listen)),
            (listen, Some(config)) => Some(WampConfig { listen: listen.unwrap_or(config.listen), ..config }),
        };
        let mqtt = match mqtt {
            (None, None) => None,
            (Some(listen), None) => Some(MqttConfig::open(listen)),
            (listen, Some(config)) => Some(MqttConfig { listen: listen.or(config.listen), ..config }),
        };
        let wamp = wamp.map(|config| WampGateway::new(World::real(), config)).transpose();
        let mqtt = mqtt.map(|config| MqttGateway::new(World::real(), &config)).transpose();
        Ok(Self {
            wamp: wamp.map_err(|why| anyhow!(why))?,
            procedures: Procedures::default(),
            mqtt: mqtt.map_err(|why| anyhow!(why))?,
        })
    }

    /// Starts them: what they are asked is answered from an engine, what they keep themselves lies in its data directory.
    pub async fn start(&mut self, engine: &Engine, data: &Path) -> Result<()> {
        if let Some(wamp) = &mut self.wamp {
            let history: Arc<dyn History> = Arc::new(StreamHistory(engine.clone()));
            wamp.set_history(&history);
            wamp.start().await?;
            if let Some(router) = wamp.router() {
                self.procedures = Procedures::start(engine, router, wamp.procedures())?;
            }
            if let Some(address) = wamp.address() {
                output::say(format_args!("WAMP on ws://{address} and rs://{address}"))?;
            }
        }
        if let Some(mqtt) = &mut self.mqtt {
            mqtt.keep_in(data.join("mqtt"));
            mqtt.start().await?;
            for (address, is_secure) in mqtt.addresses() {
                let scheme = if *is_secure { "mqtts" } else { "mqtt" };
                output::say(format_args!("MQTT on {scheme}://{address}"))?;
            }
        }
        Ok(())
    }

    /// Stops them. What cannot be stopped in order is cut off.
    pub async fn stop(&mut self) {
        self.procedures = Procedures::default();
        if let Some(wamp) = &mut self.wamp
            && let Err(error) = wamp.stop().await
        {
            tracing::warn!("WAMP did not stop in order: {error}");
        }
        if let Some(mqtt) = &mut self.mqtt
            && let Err(error) = mqtt.stop().await
        {
            tracing::warn!("MQTT did not stop in order: {error}");
        }
    }
}

//! The protocols beside HTTP that `serve` speaks.

use std::net::SocketAddr;

use anyhow::{Result, anyhow};
use headwater_connectors::Gateway as _;
use headwater_core::World;
use headwater_wamp::gateway::{WampConfig, WampGateway};

use crate::output;

/// The gateways of a server.
pub(crate) struct Gateways {
    wamp: Option<WampGateway>,
}

impl Gateways {
    /// Those that command line or file ask for; the command line's address wins.
    pub fn new(wamp: Option<SocketAddr>, config: Option<WampConfig>) -> Result<Self> {
        let config = match (wamp, config) {
            (None, None) => return Ok(Self { wamp: None }),
            (Some(listen), None) => WampConfig::open(listen),
            (listen, Some(config)) => WampConfig { listen: listen.unwrap_or(config.listen), ..config },
        };
        let gateway = WampGateway::new(World::real(), config).map_err(|why| anyhow!(why))?;
        Ok(Self { wamp: Some(gateway) })
    }

    /// Starts them.
    pub async fn start(&mut self) -> Result<()> {
        if let Some(wamp) = &mut self.wamp {
            wamp.start().await?;
            if let Some(address) = wamp.address() {
                output::say(format_args!("WAMP on ws://{address} and rs://{address}"))?;
            }
        }
        Ok(())
    }

    /// Stops them. What cannot be stopped in order is cut off.
    pub async fn stop(&mut self) {
        if let Some(wamp) = &mut self.wamp
            && let Err(error) = wamp.stop().await
        {
            tracing::warn!("WAMP did not stop in order: {error}");
        }
    }
}

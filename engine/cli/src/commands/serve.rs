//! `headwater serve`: the engine behind HTTP, until told to stop.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow};
use clap::Args;
use headwater_connectors::Backoff;
use headwater_core::World;
use headwater_run::Engine;
use headwater_serve::{ServeOptions, Server};

use crate::config::Config;
use crate::exit;
use crate::gateways::Gateways;
use crate::log_place::LogArgs;
use crate::memory::machine_memory;
use crate::open::{EngineArgs, Tuning};
use crate::output;
use crate::signals::Stop;

const EXAMPLE: &str = "\
Example:
  headwater serve --data /var/lib/headwater --listen 127.0.0.1:8585
  curl -X POST http://127.0.0.1:8585/v1/sql -d 'SHOW STREAMS'

SIGINT and SIGTERM end it gracefully: open requests finish, every job takes a checkpoint.
Only this machine can connect unless --listen says otherwise; there is no password.";

/// How long a log that is kept elsewhere is waited for once the server is to stop.
const LOG_PATIENCE: Duration = Duration::from_secs(10);

/// What a server says that cannot begin.
const WAITING: &str = "waiting for the broker that keeps the log";

/// Run the engine and serve HTTP until told to stop.
#[derive(Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Serve {
    /// The data directory; made if missing [default: headwater-data]
    #[arg(long, value_name = "DIR", env = "HEADWATER_DATA")]
    data: Option<PathBuf>,
    /// Where to listen [default: 127.0.0.1:8585]
    #[arg(long, value_name = "ADDR", env = "HEADWATER_LISTEN", value_parser = address)]
    listen: Option<SocketAddr>,
    /// Where to serve WAMP, over WebSocket and RawSocket; not at all unless given here or in the file
    #[arg(long, value_name = "ADDR", env = "HEADWATER_WAMP", value_parser = address)]
    wamp: Option<SocketAddr>,
    /// Where to serve MQTT, over TCP and WebSocket; not at all unless given here or in the file
    #[arg(long, value_name = "ADDR", env = "HEADWATER_MQTT", value_parser = address)]
    mqtt: Option<SocketAddr>,
    /// A file with settings, in TOML; the command line wins
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    tuning: Tuning,
    #[command(flatten)]
    log: LogArgs,
}

/// Where to listen when nobody says.
pub(crate) const fn usual_address() -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), ServeOptions::PORT)
}

/// Where to listen, as the command line says it.
pub(crate) fn address(text: &str) -> Result<SocketAddr> {
    let usual = usual_address();
    text.parse()
        .map_err(|_| anyhow!("it is an IP address and a port, such as {usual} or 0.0.0.0:{}", usual.port()))
}

/// How much memory bodies of appends may take together: a part of what there is, up to the usual.
fn append_bytes(memory: Option<u64>, usual: usize) -> usize {
    memory.map_or(usual, |memory| usize::try_from(memory / 8).unwrap_or(usual).min(usual))
}

impl Serve {
    pub async fn run(self) -> Result<ExitCode> {
        let config = Config::read_if_given(self.config.as_deref())?;
        let args = EngineArgs::of(self.data, self.tuning, &self.log, &config)?;
        let data = args.data.clone();
        let mut options = ServeOptions::new(self.listen.or(config.listen).unwrap_or(usual_address()));
        options.append_bytes_max = append_bytes(machine_memory(), options.append_bytes_max);
        config.limits.apply(&mut options);

        let mut gateways = Gateways::new((self.wamp, config.wamp), (self.mqtt, config.mqtt))?;

        let server = Server::listen(options).await?;
        // Whoever sees that it listens may tell it to stop.
        let mut stop = Box::pin(Stop::listen()?.requested());
        let engine = tokio::select! {
            opened = open(args, &server) => opened?,
            // What was begun is left as if the process had been killed; nothing was acknowledged.
            () = &mut stop => return Ok(ExitCode::SUCCESS),
        };
        let served = match gateways.start(&engine, &data).await {
            Ok(()) => serve(server, &engine, stop).await,
            Err(error) => Err(error),
        };
        gateways.stop().await;
        engine.close().await?;
        served.map(|()| ExitCode::SUCCESS)
    }
}

/// Opens the engine. A broker that keeps the log and cannot be reached is waited for.
async fn open(args: EngineArgs, server: &Server) -> Result<Engine> {
    let (world, mut backoff) = (World::real(), Backoff::default());
    loop {
        let args = args.clone();
        let away = match tokio::task::spawn_blocking(move || args.open()).await? {
            Err(error) if exit::is_away(&error) => exit::coded(&error),
            opened => return opened,
        };
        let pause = backoff.next(&world);
        tracing::warn!(away, "{WAITING}; trying again in {pause:.1?}");
        server.waits_for(format!("{WAITING}: {away}"));
        tokio::time::sleep(pause).await;
    }
}

async fn serve(server: Server, engine: &Engine, stop: impl Future<Output = ()>) -> Result<()> {
    server.open(engine.clone());
    output::say(format_args!("listening on http://{}", server.address()))?;
    let log = Arc::clone(engine.log());
    let stopping = async move {
        stop.await;
        log.limit_waits(LOG_PATIENCE);
    };
    Ok(server.run(stopping).await?)
}

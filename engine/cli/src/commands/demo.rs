//! `headwater demo`: the first thing a newcomer runs.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use headwater_run::Engine;
use headwater_serve::{ServeOptions, Server};
use tokio::sync::oneshot;

use super::serve::{address, usual_address};
use crate::client::Client;
use crate::demo::{self, JOBS, OVER, QUERIES, Year};
use crate::open::{EngineArgs, Tuning};
use crate::output::say;
use crate::{exit, signals};

const EXAMPLE: &str = "\
Example:
  headwater demo                          in a directory that is removed afterwards
  headwater demo --data /tmp/weather      in one that stays; broken off, it goes on where it was

The readings are hourly weather of 2013 at three airports in and around New York (NOAA, public domain). The CPU is that of
a server in April 2014, as CloudWatch recorded it (Numenta Anomaly Benchmark).";

/// Replay a year of real weather through the engine, and show what was found and decided.
#[derive(Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Demo {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value_t = usual_address(), value_parser = address)]
    listen: SocketAddr,
    /// The data directory [default: a temporary one]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// End when the findings are shown, instead of serving on
    #[arg(long)]
    exit: bool,
    #[command(flatten)]
    tuning: Tuning,
}

impl Demo {
    pub async fn run(self) -> Result<ExitCode> {
        let temporary = tempfile::Builder::new().prefix("headwater-demo-").tempdir()?;
        let data = self.data.unwrap_or_else(|| temporary.path().join("data"));
        say(format_args!("data in {}", data.display()))?;
        let engine =
            EngineArgs { data, tuning: self.tuning, allowed: Default::default(), log: Default::default() }
                .open()?;
        let ended = serve_and_show(&engine, self.listen, self.exit).await;
        engine.close().await?;
        ended
    }
}

/// Serves, and meanwhile is a client of the server.
async fn serve_and_show(engine: &Engine, listen: SocketAddr, exit: bool) -> Result<ExitCode> {
    let server = Server::bind(engine.clone(), ServeOptions::new(listen)).await?;
    let url = format!("http://{}", server.address());
    say(format_args!("listening on {url}"))?;
    let (stop, stopped) = oneshot::channel::<()>();
    // A sender that is dropped stops the server, too.
    let serving = tokio::spawn(server.run(async { drop(stopped.await) }));

    let ended = tokio::select! {
        shown = Box::pin(show(engine, &url)) => match shown {
            Ok(()) if exit => Ok(ExitCode::SUCCESS),
            Ok(()) => {
                say(what_next(&url))?;
                signals::stop_requested().await.map(|()| ExitCode::SUCCESS)
            }
            Err(error) => Err(error),
        },
        stopped = signals::stop_requested() => stopped.map(|()| ExitCode::from(exit::INTERRUPTED)),
    };
    drop(stop);
    serving.await??;
    ended
}

async fn show(engine: &Engine, url: &str) -> Result<()> {
    let client = Client::new(url)?;
    for (file, sql) in QUERIES {
        client.sql_quietly(sql).await.with_context(|| format!("queries/weather/{file}"))?;
    }
    say(format_args!("{} jobs run: {}", JOBS.len(), JOBS.join(", ")))?;

    let clock = &engine.ingest().world().clock;
    let started = clock.monotonic();
    let year = Year::read()?;
    let fed = demo::feed(&client, &year).await?;
    // The year is over and nothing comes any more: the jobs wait for what may come.
    demo::wait_until(engine, "weather", OVER, &JOBS).await?;
    let seconds = (clock.monotonic() - started).as_secs_f64();
    let before = if fed.there_before > 0 {
        format!(" ({} were there before)", fed.there_before)
    } else {
        String::new()
    };
    say(format_args!(
        "{} readings over HTTP in {seconds:.1} s{before}, {} of them bad; all windows are closed",
        fed.accepted, fed.dead_lettered,
    ))?;
    demo::show(engine).await?;

    let started = clock.monotonic();
    demo::decide(engine, &client).await?;
    let seconds = (clock.monotonic() - started).as_secs_f64();
    say(format_args!(
        "\nFive triggers, a search for fronts, two alarms and a scaling group, made only now, have looked at it from the first row on in \
         {seconds:.1} s"
    ))?;
    demo::show_decisions(engine).await
}

fn what_next(url: &str) -> String {
    format!(
        "
The server goes on; Ctrl-C stops it. Try, in another terminal:

  a query     curl {url}/v1/sql -d 'SELECT * FROM heat_spells ORDER BY hot_hours DESC LIMIT 3'
  a tail      curl -N '{url}/v1/streams/weather/tail?from=2013-12-30T00:00:00Z'
  a reading   curl {url}/v1/streams/weather -H 'Content-Type: application/x-ndjson' \\
                -d '{{\"origin\": \"JFK\", \"time_hour\": \"2014-01-03T12:00:00Z\", \"temp\": 28}}'
              curl {url}/v1/sql -d 'SELECT * FROM newest_reading'
  a bad row   curl {url}/v1/streams/stations -H 'Content-Type: application/x-ndjson' \\
                -d '{{\"origin\": \"SFO\", \"name\": \"San Francisco\", \"lat\": \"north\"}}'
              curl {url}/v1/sql -d 'SELECT * FROM system.dead_letters'
  a prompt    headwater sql --url {url}
  July again, which gives the same, and with spells that end at night, which does not:
              headwater replay heat --url {url} --from 2013-07-01 --to 2013-08-01 --diff
              headwater replay heat --url {url} --from 2013-07-01 --to 2013-08-01 --diff \\
                --query queries/weather/again/heat_by_day.sql
  a decision  curl {url}/v1/sql -d \"EXPLAIN ALARM cpu_high AT '2014-04-16 03:30:00'\"
  numbers     curl {url}/metrics
  the API     {url}/v1/openapi.json"
    )
}

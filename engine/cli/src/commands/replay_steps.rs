//! A replay at a terminal, a step at Enter.

use std::io::{BufRead, Write};

use anyhow::{Context, Result};
use headwater_run::ReplaySteps;
use headwater_serve::{SteppedReplay, SteppedView};

use crate::client::Client;
use crate::output::say;

/// Who takes the steps.
pub(super) enum Stepped {
    /// An engine of this process.
    Here(Box<ReplaySteps>),
    /// A server, under a number.
    Server(Client, SteppedReplay),
}

impl Stepped {
    async fn next(&mut self) -> Result<Option<SteppedView>> {
        match self {
            Self::Here(steps) => match steps.next().await? {
                Some(step) => Ok(Some(SteppedView::of(&step)?)),
                None => Ok(None),
            },
            Self::Server(client, begun) => {
                let request = client.post(&["v1", "replays", &begun.replay.to_string(), "step"])?;
                let step: SteppedView = client.send(request).await?.json().await?;
                Ok(step.step.is_some().then_some(step))
            }
        }
    }

    /// Ends it before its end.
    async fn cancel(self) -> Result<()> {
        match self {
            Self::Here(_) => Ok(()),
            Self::Server(client, begun) => {
                client.sql_quietly(&format!("CANCEL REPLAY {}", begun.replay)).await
            }
        }
    }
}

/// Shows step after step until there are no more, or no more are wanted.
pub(super) async fn show_steps(mut steps: Stepped) -> Result<()> {
    while let Some(step) = steps.next().await? {
        show(&step)?;
        if !goes_on().await? {
            return steps.cancel().await;
        }
    }
    say("there are no more steps")
}

fn show(step: &SteppedView) -> Result<()> {
    let number = step.step.unwrap_or_default();
    let watermark = step.watermark.as_deref().unwrap_or("none yet");
    say(format_args!("step {number}: {} rows in, watermark {watermark}", step.rows_in))?;
    if step.uncomputed > 0 {
        say(format_args!("  {} rows could not be computed: see system.dead_letters", step.uncomputed))?;
    }
    for place in &step.position {
        let shards = place.next.iter().enumerate().map(|(shard, next)| format!("shard {shard} at {next}"));
        say(format_args!("  {}: {}", place.stream, shards.collect::<Vec<_>>().join(", ")))?;
    }
    step.rows.iter().try_for_each(|row| say(format_args!("  {row}")))
}

/// Waits for Enter: whether the next step is wanted. At the end of the input it is not.
async fn goes_on() -> Result<bool> {
    write!(std::io::stderr(), "Enter goes on, q ends: ")?;
    std::io::stderr().flush()?;
    let read = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line).map(|read| (read, line))
    });
    let (read, line) = read.await?.context("cannot read standard input")?;
    Ok(read > 0 && !line.trim_start().starts_with('q'))
}

//! `headwater log verify` and `headwater log repair`.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use headwater_core::World;
use headwater_log::{Damage, repair, verify};

use super::log::Place;
use crate::exit;
use crate::output::say;

/// Read everything and check every checksum.
#[derive(Args)]
#[command(
    after_help = "Example:\n  headwater log verify --data /var/lib/headwater\n\nExit code 3 says that there is damage."
)]
pub(super) struct Verify {
    #[command(flatten)]
    place: Place,
}

/// Make a damaged log open again, and say exactly which rows that costs.
#[derive(Args)]
#[command(
    after_help = "Example:\n  headwater log repair --data /var/lib/headwater --yes\n\nDamaged files are kept."
)]
pub(super) struct Repair {
    #[command(flatten)]
    place: Place,
    /// Do it; without this only what would be done is said
    #[arg(long)]
    yes: bool,
}

impl Verify {
    pub fn run(self) -> Result<ExitCode> {
        let verified = verify(&World::real(), &self.place.directory()?)?;
        let show = |what: &str, Damage { file, offset, reason }: &Damage| {
            say(format_args!("{what}: {} at byte {offset}: {reason}", file.display()))
        };
        verified.torn.iter().try_for_each(|torn| show("never acknowledged, opening cuts it", torn))?;
        verified.damage.iter().try_for_each(|damage| show("damaged", damage))?;
        let (files, batches, rows) = (verified.files, verified.batches, verified.rows);
        say(format_args!(
            "{files} files, {batches} batches, {rows} rows are whole; {} damages",
            verified.damage.len()
        ))?;
        Ok(if verified.damage.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(exit::DATA) })
    }
}

impl Repair {
    pub fn run(self) -> Result<ExitCode> {
        let repaired = repair(&World::real(), &self.place.directory()?, !self.yes)?;
        for (file, action) in &repaired.actions {
            say(format_args!("{}: {action}", file.display()))?;
        }
        for lost in &repaired.lost {
            let (from, to) = (lost.rows.start, lost.rows.end);
            say(format_args!(
                "lost: stream {} shard {}, rows {from} up to but not {to}",
                lost.stream, lost.shard
            ))?;
        }
        match (repaired.actions.is_empty(), self.yes) {
            (true, _) => say("there is nothing to repair")?,
            (false, true) => say("done")?,
            (false, false) => say("nothing was changed; --yes does it")?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

//! Another definition in the place of a job's, while the job stands: `CREATE OR REPLACE`.
//!
//! ```text
//!  old job   ── step ── step ── … ── step S │ stops, with a checkpoint
//!  beside it        history ▒▒▒▒▒▒▒▒▒ → S   │ state that fits + state rebuilt = checkpoint S+1; one group: the switch
//!  new job                                  │ restores S+1 ── step S+2 ── …
//! ```
//!
//! - The new definition does the steps of the old one's journal, as far back as its state reaches, and says nothing meanwhile. Time in
//!   it is where it was in the old job. So at the switch its state is what it would be had it been there all along, and what it says
//!   from then on is what the old one had not said yet: no gap, no repeat.
//! - State of stages that are the same in both is not rebuilt but taken from the old job's last checkpoint
//!   ([`headwater_plan::Succession`]).
//! - Where the result is a table of changes, what was said can be corrected: both definitions are run beside the job, and what the new
//!   one says more or less than the old is part of the switch.
//! - An alarm, and a policy of a scaling group, is computed by all who hear it: these jobs go over together, each with a step of its own.
//! - The switch is one group of the log: the event in `system.catalog`, the journal's step, the corrections. Before it, the old
//!   definition is in force whatever happens, and after it the new one. The checkpoint is written before the switch and names it, so that
//!   it counts for nothing without it; if it is lost, the journal is done again by the new definition from its beginning.

mod difference;
mod explain;
mod rebuild;
mod replacement;
mod switch;
mod told;

pub(crate) use replacement::{Beside, Replacement};

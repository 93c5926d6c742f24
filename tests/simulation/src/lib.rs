//! A log, its users and the weather on a simulated machine, by seed.
//!
//! ```text
//!              ┌─ producers ─┐
//!   seed ──►   ├─ readers ───┤ ──► log ──► machine ◄── weather: crashes, loss of power, faults, clocks
//!              ├─ keeper ────┤      │
//!              └─ (jobs) ────┘      ▼
//!                    └────────►  model: what must be there
//! ```
//!
//! An [`Actor`](scene::Actor) uses the log and tells the [model](model::Model) what it was promised and what it saw. After
//! each end of the process the whole log is compared with the model. One thread, no real time: the same seed
//! gives the same bytes. Whole jobs join as further actors.

pub mod keeper;
pub mod model;
pub mod producer;
pub mod reader;
pub mod recovery;
pub mod rows;
pub mod run;
pub mod scene;
pub mod seeds;
pub mod weather;

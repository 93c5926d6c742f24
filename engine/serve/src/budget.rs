//! How many bytes of bodies may be in memory at a time, over all appends.
//!
//! ```text
//!  Content-Length ── held before anything is read ─┐
//!  parts of a body without it, as they come ───────┼─ until the append is answered
//!  what it unpacks to, as it is unpacked ──────────┘
//! ```
//!
//! Who finds no room waits for a moment, in turn, and is then told to come back. A body alone may be larger than all there may be: it waits
//! until it is alone.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::error::ApiError;

/// What is counted: so many bytes.
const UNIT: usize = 1 << 10;

/// How many bytes there may be.
pub(crate) struct Budget {
    free: Arc<Semaphore>,
    units: u32,
    /// How long room is waited for.
    patience: Duration,
}

impl Budget {
    pub fn new(bytes: usize, patience: Duration) -> Arc<Self> {
        let units = units_of(bytes).clamp(1, u32::try_from(Semaphore::MAX_PERMITS).unwrap_or(u32::MAX));
        Arc::new(Self { free: Arc::new(Semaphore::new(units as usize)), units, patience })
    }

    /// How many bytes there may be.
    pub fn most(&self) -> u64 {
        u64::from(self.units) * UNIT as u64
    }

    /// How many there are.
    pub fn held(&self) -> u64 {
        self.most().saturating_sub(self.free.available_permits() as u64 * UNIT as u64)
    }
}

fn units_of(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX)
}

/// What one body holds of it, until this is dropped.
pub(crate) struct Hold {
    budget: Arc<Budget>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Hold {
    /// Nothing yet.
    pub fn of(budget: &Arc<Budget>) -> Self {
        Self { budget: Arc::clone(budget), permit: None }
    }

    /// How many units are wanted for so many bytes, beside those that are held.
    fn wanted(&self, bytes: usize) -> u32 {
        let held = self.permit.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        units_of(bytes).min(self.budget.units).saturating_sub(u32::try_from(held).unwrap_or(u32::MAX))
    }

    fn add(&mut self, permit: OwnedSemaphorePermit) {
        match &mut self.permit {
            Some(held) => held.merge(permit),
            none => *none = Some(permit),
        }
    }

    /// Holds so many bytes in all. Waits for others who leave, and not for long.
    pub async fn up_to(&mut self, bytes: usize) -> Result<(), ApiError> {
        let wanted = self.wanted(bytes);
        if wanted == 0 {
            return Ok(());
        }
        let free = Arc::clone(&self.budget.free);
        match timeout(self.budget.patience, free.acquire_many_owned(wanted)).await {
            Ok(Ok(permit)) => {
                self.add(permit);
                Ok(())
            }
            _ => Err(ApiError::no_room(self.budget.most())),
        }
    }

    /// [`Hold::up_to`] on a thread that may block.
    pub fn up_to_blocking(&mut self, bytes: usize) -> Result<(), ApiError> {
        match self.wanted(bytes) {
            0 => Ok(()),
            wanted => match Arc::clone(&self.budget.free).try_acquire_many_owned(wanted) {
                Ok(permit) => {
                    self.add(permit);
                    Ok(())
                }
                Err(_) => Handle::current().block_on(self.up_to(bytes)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENT: Duration = Duration::from_secs(3_600);

    #[tokio::test]
    async fn what_does_not_fit_waits_and_is_told_to_come_back() {
        let budget = Budget::new(10 * UNIT, Duration::from_millis(20));
        let mut first = Hold::of(&budget);
        first.up_to(6 * UNIT).await.unwrap();
        first.up_to(3 * UNIT).await.unwrap();
        assert_eq!(
            (budget.most(), budget.held()),
            (10 * 1_024, 6 * 1_024),
            "what is held already is not taken again"
        );
        let mut second = Hold::of(&budget);
        second.up_to(4 * UNIT - 1).await.unwrap();
        let error = second.up_to(4 * UNIT + 1).await.unwrap_err();
        assert_eq!((error.status.as_u16(), &*error.detail.code), (503, "HW6010"));
        assert!(error.retry_after.is_some() && error.detail.message.contains("10240 bytes"), "{error:?}");
        assert_eq!(budget.held(), 10 * 1_024, "what it has it keeps");
        drop(first);
        second.up_to(4 * UNIT + 1).await.unwrap();
        drop(second);
        assert_eq!(budget.held(), 0);
    }

    #[tokio::test]
    async fn who_waits_goes_on_when_there_is_room() {
        let budget = Budget::new(4 * UNIT, PATIENT);
        let mut first = Hold::of(&budget);
        first.up_to(UNIT).await.unwrap();
        // More than there may be ever: all of it.
        let mut large = Hold::of(&budget);
        let waits = async {
            large.up_to(100 * UNIT).await.unwrap();
            budget.held()
        };
        // It waits first, and then the other one leaves.
        let leaves = async { drop(first) };
        let (held, ()) = tokio::join!(waits, leaves);
        assert_eq!(held, 4 * 1_024);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_thread_that_may_block_waits_likewise() {
        let budget = Budget::new(2 * UNIT, PATIENT);
        let mut first = Hold::of(&budget);
        first.up_to_blocking(2 * UNIT).unwrap();
        let mut second = Hold::of(&budget);
        let waits = tokio::task::spawn_blocking(move || second.up_to_blocking(UNIT).is_ok());
        drop(first);
        assert!(waits.await.unwrap());
        assert_eq!(budget.held(), 0);
    }
}

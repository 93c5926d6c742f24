//! How much a live step takes.

use headwater_operators::Changes;
use headwater_plan::dataflow::Dataflow;

/// How much a live step takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Rows, roughly.
    pub rows: usize,
    /// Bytes, roughly.
    pub bytes: usize,
}

/// What a step takes at most where a larger one would save nothing: what it makes of its rows is in memory with them.
const MODEST: Limits = Limits { rows: 1 << 17, bytes: 8 << 20 };

impl Limits {
    /// What a step over a dataflow should take of this, while so many bytes of state are in files.
    ///
    /// Where changes are added up within a step, a larger one says less; and where state is in files, it reads each of them once.
    pub(super) fn within(self, dataflow: &Dataflow, spilled_bytes: u64) -> Self {
        let mut operators = dataflow.stages.iter().flat_map(|stage| &stage.operators);
        if spilled_bytes > 0 || operators.any(|operator| operator.changes() != Changes::AppendOnly) {
            return self;
        }
        Self { rows: self.rows.min(MODEST.rows), bytes: self.bytes.min(MODEST.bytes) }
    }
}

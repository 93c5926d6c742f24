//! What every aggregate function offers.

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;

use crate::error::Result;

/// One aggregate function's state for all groups.
///
/// State columns travel between instances and through snapshots: `merge` of what `state` gave into empty groups leaves
/// the same state.
pub(crate) trait Aggregator: Send {
    /// Makes room for groups below `groups`; new ones are empty.
    fn resize(&mut self, groups: usize);
    /// Adds rows, row `i` to group `groups[i]`, each as often as its weight says (once, if there are none).
    fn update(&mut self, values: &[ArrayRef], groups: &[u32], weights: Option<&[i64]>) -> Result<()>;
    /// Adds states, row `i` to group `groups[i]`, in this order.
    fn merge(&mut self, states: &[ArrayRef], groups: &[u32]) -> Result<()>;
    /// The results of some groups; leaves them as they are.
    fn evaluate(&mut self, groups: &[u32]) -> Result<ArrayRef>;
    /// The results of some groups that will be cleared next.
    fn finish(&mut self, groups: &[u32]) -> Result<ArrayRef> {
        self.evaluate(groups)
    }
    /// The types of the state columns.
    fn state_types(&self) -> Result<Vec<DataType>>;
    /// The state columns of some groups; leaves them as they are.
    fn state(&mut self, groups: &[u32]) -> Result<Vec<ArrayRef>>;
    /// Empties some groups.
    fn clear(&mut self, groups: &[u32]);
    /// Keeps these groups alone, renumbered from 0 in this order, and gives back the memory of the others.
    fn retain(&mut self, groups: &[u32]);
    /// Whether a state that was merged into an empty group gives the same results to the last bit, whatever is added to it later.
    fn copies_exactly(&self) -> bool {
        true
    }
    /// Bytes of memory, estimated.
    fn size(&self) -> usize;
}

/// The values of some groups.
pub(crate) fn pick<T: Copy>(values: &[T], groups: &[u32]) -> Vec<T> {
    groups.iter().map(|group| values[*group as usize]).collect()
}

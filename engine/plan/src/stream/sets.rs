//! GROUPING SETS, ROLLUP and CUBE: what an aggregate groups by, set by set.
//!
//! Rows are given out once for every set before the aggregate, with an id of the set that becomes one more key. The
//! ids are those that DataFusion computes, from which its analyser has made `GROUPING()`.

use datafusion::common::Result;
use datafusion::logical_expr::utils::{grouping_set_to_exprlist, powerset};
use datafusion::logical_expr::{Aggregate, Expr, GroupingSet as SetsOf};
use headwater_operators::{ExpandSpec, GroupingSet};

use super::flow::{Flow, external};

/// The sets of an aggregate, over the different expressions in them.
pub(super) struct Sets {
    /// All expressions that some set groups by.
    pub(super) exprs: Vec<Expr>,
    /// For each set, which of them it groups by.
    kept: Vec<Vec<bool>>,
}

impl Sets {
    /// What an aggregate groups by; `None` for its sets if it has none.
    pub(super) fn of(aggregate: &Aggregate) -> Result<(Vec<Expr>, Option<Self>)> {
        let exprs: Vec<Expr> =
            grouping_set_to_exprlist(&aggregate.group_expr)?.into_iter().cloned().collect();
        let [Expr::GroupingSet(sets)] = aggregate.group_expr.as_slice() else {
            return Ok((aggregate.group_expr.clone(), None));
        };
        let members: Vec<Vec<&Expr>> = match sets {
            SetsOf::GroupingSets(sets) => sets.iter().map(|set| set.iter().collect()).collect(),
            SetsOf::Rollup(exprs) => (0..=exprs.len()).map(|upto| exprs[..upto].iter().collect()).collect(),
            SetsOf::Cube(exprs) => powerset(exprs)?,
        };
        let kept = members.iter().map(|set| exprs.iter().map(|expr| set.contains(&expr)).collect());
        let sets = Self { kept: kept.collect(), exprs: exprs.clone() };
        Ok((exprs, Some(sets)))
    }

    /// Whether all sets group by an expression.
    pub(super) fn always(&self, expr: usize) -> bool {
        self.kept.iter().all(|set| set[expr])
    }

    /// Gives each row of a flow out once for every set. `keys`: the columns of the expressions, `None` for those
    /// that are not computed from rows and that all sets group by. Gives the columns to group by instead, and that
    /// of the id behind them.
    pub(super) fn expand(
        &self,
        flow: &mut Flow,
        keys: &[Option<usize>],
        aggregate: &Aggregate,
    ) -> Result<(Vec<Option<usize>>, usize)> {
        let copied: Vec<usize> =
            (0..keys.len()).filter(|key| keys[*key].is_some() && !self.always(*key)).collect();
        let width = flow.schema.fields().len();
        let id = &aggregate.schema.fields()[self.exprs.len()];
        let sets = self.kept.iter().enumerate().map(|(nth, set)| GroupingSet {
            keys: copied.iter().map(|key| set[*key]).collect(),
            id: self.id(nth),
        });
        let columns = copied.iter().filter_map(|key| keys[*key]).collect();
        let expand = ExpandSpec::try_new(
            std::sync::Arc::clone(&flow.schema),
            columns,
            sets.collect(),
            (id.name(), id.data_type().clone()),
            flow.changes.clone(),
        )
        .map_err(external)?;
        flow.changes = headwater_operators::OperatorSpec::changes(&expand);
        flow.push(expand);
        let place = |key: usize| copied.iter().position(|copy| *copy == key).map(|copy| width + copy);
        let keys = keys.iter().enumerate().map(|(key, column)| place(key).or(*column)).collect();
        Ok((keys, width + copied.len()))
    }

    /// A bit for each expression that the set does not group by, the last one's lowest; above them, how many equal
    /// sets are before it.
    fn id(&self, nth: usize) -> u64 {
        let set = &self.kept[nth];
        let bits = set.iter().fold(0, |bits, kept| (bits << 1) | u64::from(!kept));
        let before = self.kept[..nth].iter().filter(|other| *other == set).count() as u64;
        bits | before.checked_shl(set.len() as u32).unwrap_or(0)
    }
}

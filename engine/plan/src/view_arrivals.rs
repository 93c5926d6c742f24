//! Views that hand on when a row was recorded: `PROCTIME()` over a view is that of the stream's row which each of its rows comes from.
//!
//! Such a view has another name in the query, under which it has the column `_arrival` behind its own.

use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast::{Ident, ObjectName, SelectItem, SetExpr, TableAlias, TableFactor};

use crate::definition::ViewDef;
use crate::parse::call;
use crate::planning::Planning;
use crate::proctime::{ARRIVAL, is_row_by_row};

/// What the names of such views begin with.
const MARK: &str = "$arrival";

/// The view that a name means, if it is one that was given by [`with_arrival`].
pub(crate) fn view_with_arrival(name: &str) -> Option<&str> {
    name.strip_prefix(MARK)?.strip_prefix('.')
}

/// Gives a view the name under which it has the column.
pub(crate) fn with_arrival(factor: &mut TableFactor) {
    let TableFactor::Table { name, alias, .. } = factor else { return };
    let Some(view) = name.0.last().and_then(|part| part.as_ident()).cloned() else { return };
    let mark = Ident::with_quote('"', MARK);
    *name = ObjectName::from(vec![mark, view.clone()]);
    alias.get_or_insert_with(|| TableAlias { explicit: true, name: view, columns: Vec::new(), at: None });
}

impl Planning<'_> {
    /// The plan of a view with `_arrival` behind its columns; none if its rows do not come from those of a stream one by one.
    pub(crate) fn plan_with_arrival(&self, view: &ViewDef) -> Option<LogicalPlan> {
        let mut query = view.query.clone();
        let SetExpr::Select(select) = &mut *query.ast.body else { return None };
        if !view.columns.is_empty() || !is_row_by_row(select) {
            return None;
        }
        let expr = call(Ident::new("proctime"), Vec::new());
        select.projection.push(SelectItem::ExprWithAlias { expr, alias: Ident::new(ARRIVAL) });
        // An aggregate has no row to name, a join has two.
        self.plan(&query).ok()
    }
}

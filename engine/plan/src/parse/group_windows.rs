//! Flink's windows of old, functions in GROUP BY over a column of time, and what they call their bounds.
//!
//! ```text
//!  SELECT device, TUMBLE_START(ts, INTERVAL '1' MINUTE), count(*) FROM r GROUP BY device, TUMBLE(ts, INTERVAL '1' MINUTE)
//! ```
//!
//! | written | becomes |
//! |---|---|
//! | `TUMBLE_START(ts, ...)`, `HOP_START`, `SESSION_START` | `window_start` |
//! | `TUMBLE_END`, `HOP_END`, `SESSION_END` | `window_end` |
//! | `TUMBLE_ROWTIME`, `TUMBLE_PROCTIME`, and so on | `window_time` |
//!
//! The window itself is moved into FROM as Arroyo's is.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{Expr, Ident, Select, Spanned};

use super::reader::{name_of, normal};
use super::windows::OVER_WINDOWS;
use crate::walk::expressions_mut;
use crate::window::{COLUMNS_OVER_WINDOWS, WINDOW_COLUMNS};

/// The column of time that a window is over, if its arguments are that and these lengths.
pub(super) fn time_of(given: &mut Vec<Expr>, lengths: usize) -> Option<Expr> {
    if given.len() != lengths + 1 {
        return None;
    }
    let is_column = matches!(&given[0], Expr::Identifier(_) | Expr::CompoundIdentifier(_));
    is_column.then(|| within_window(given.remove(0)))
}

/// An expression as it is said of the table within a window: the name that the table had is behind the window alone.
pub(super) fn within_window(mut expr: Expr) -> Expr {
    let _ = expressions_mut(&mut expr, |expr| {
        if let Expr::CompoundIdentifier(parts) = &*expr
            && let [_, column] = parts.as_slice()
        {
            *expr = Expr::Identifier(column.clone());
        }
        ControlFlow::<()>::Continue(())
    });
    expr
}

/// Whether the time of a window is called like a column of one: then it is over windows, whose columns keep their names.
pub(super) fn is_bound(time: &Expr) -> bool {
    matches!(time, Expr::Identifier(time) if WINDOW_COLUMNS.contains(&normal(time).as_str()))
}

/// What the bounds of a window with these arguments are called.
pub(super) fn bounds_of(arguments: &[(&'static str, Expr)]) -> [&'static str; 3] {
    let is_over_windows = arguments.iter().any(|(name, _)| *name == OVER_WINDOWS);
    if is_over_windows { COLUMNS_OVER_WINDOWS } else { WINDOW_COLUMNS }
}

/// Gives the bounds of a window (`tumble`) their names in what is selected; whether its time is among them.
pub(super) fn name_bounds(select: &mut Select, window: &str, [start, end, time]: [&'static str; 3]) -> bool {
    let mut has_time = false;
    let mut rename = |expr: &mut Expr| -> ControlFlow<()> {
        let Expr::Function(function) = &*expr else { return ControlFlow::Continue(()) };
        let name = name_of(&function.name).to_lowercase();
        let column = match name.strip_prefix(window) {
            Some("_start") => start,
            Some("_end") => end,
            Some("_rowtime" | "_proctime") => {
                has_time = true;
                time
            }
            _ => return ControlFlow::Continue(()),
        };
        let span = function.name.span();
        *expr = Expr::Identifier(Ident { span, ..Ident::new(column) });
        ControlFlow::Continue(())
    };
    let _ = expressions_mut(&mut select.projection, &mut rename);
    let _ = expressions_mut(&mut select.having, &mut rename);
    has_time
}

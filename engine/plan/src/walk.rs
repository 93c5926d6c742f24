//! Walks through syntax trees, each kind of which is compiled once.
//!
//! sqlparser makes code for all of its tree anew for each type of visitor. With some sixty of them that was most of what this crate
//! took to build. Here one visitor goes through the tree to read it and one to change it, and they ask the others by pointer:
//!
//! ```text
//!  query.walk(&mut visitor) ── tree.visit::<Through>() ── pointer ── visitor
//! ```

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, ObjectName, Query, Select, Statement, TableFactor, ValueWithSpan, Visit, VisitMut, Visitor,
    VisitorMut,
};

/// A part of a syntax tree that can be read.
pub(crate) trait Walk: Visit {
    /// Shows a visitor all that is in it, until the visitor has seen enough.
    #[expect(clippy::disallowed_methods, reason = "this is what stands for it")]
    fn walk<V: Visitor>(&self, visitor: &mut V) -> ControlFlow<V::Break> {
        let mut asked = Asked { visitor, said: None };
        let _ = self.visit(&mut Through(&mut asked));
        asked.said.map_or(ControlFlow::Continue(()), ControlFlow::Break)
    }
}

impl<T: Visit> Walk for T {}

/// A part of a syntax tree that can be changed.
pub(crate) trait WalkMut: VisitMut {
    /// Lets a visitor change all that is in it, until the visitor has seen enough.
    #[expect(clippy::disallowed_methods, reason = "this is what stands for it")]
    fn walk_mut<V: VisitorMut>(&mut self, visitor: &mut V) -> ControlFlow<V::Break> {
        let mut asked = Asked { visitor, said: None };
        let _ = self.visit(&mut ThroughMut(&mut asked));
        asked.said.map_or(ControlFlow::Continue(()), ControlFlow::Break)
    }
}

impl<T: VisitMut> WalkMut for T {}

/// Shows all expressions, the outer ones before those in them.
pub(crate) fn expressions<E>(tree: &impl Visit, see: impl FnMut(&Expr) -> ControlFlow<E>) -> ControlFlow<E> {
    tree.walk(&mut Expressions(see))
}

/// Lets all expressions be changed, the inner ones before those that they are in.
pub(crate) fn expressions_mut<E>(
    tree: &mut impl VisitMut,
    change: impl FnMut(&mut Expr) -> ControlFlow<E>,
) -> ControlFlow<E> {
    tree.walk_mut(&mut Expressions(change))
}

/// Shows the names of all relations.
pub(crate) fn relations<E>(
    tree: &impl Visit,
    see: impl FnMut(&ObjectName) -> ControlFlow<E>,
) -> ControlFlow<E> {
    tree.walk(&mut Relations(see))
}

struct Expressions<F>(F);

impl<E, F: FnMut(&Expr) -> ControlFlow<E>> Visitor for Expressions<F> {
    type Break = E;

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<E> {
        self.0(expr)
    }
}

impl<E, F: FnMut(&mut Expr) -> ControlFlow<E>> VisitorMut for Expressions<F> {
    type Break = E;

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<E> {
        self.0(expr)
    }
}

struct Relations<F>(F);

impl<E, F: FnMut(&ObjectName) -> ControlFlow<E>> Visitor for Relations<F> {
    type Break = E;

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<E> {
        self.0(relation)
    }
}

/// A visitor, and what it said when it had seen enough.
struct Asked<'a, V, E> {
    visitor: &'a mut V,
    said: Option<E>,
}

impl<V, E> Asked<'_, V, E> {
    fn note(&mut self, said: ControlFlow<E>) -> ControlFlow<()> {
        match said {
            ControlFlow::Continue(()) => ControlFlow::Continue(()),
            ControlFlow::Break(said) => {
                self.said = Some(said);
                ControlFlow::Break(())
            }
        }
    }
}

/// Both traits of sqlparser have the same methods, one with `&` and the other with `&mut`: behind a pointer, and through one.
macro_rules! through {
    ($visitor:ident, $asks:ident, $through:ident, $doc:literal, $($method:ident: $node:ty),+ $(,)?) => {
        trait $asks {
            $(fn $method(&mut self, node: $node) -> ControlFlow<()>;)+
        }

        impl<V: $visitor> $asks for Asked<'_, V, V::Break> {
            $(fn $method(&mut self, node: $node) -> ControlFlow<()> {
                let said = self.visitor.$method(node);
                self.note(said)
            })+
        }

        #[doc = $doc]
        struct $through<'a>(&'a mut dyn $asks);

        impl $visitor for $through<'_> {
            type Break = ();

            $(fn $method(&mut self, node: $node) -> ControlFlow<()> {
                self.0.$method(node)
            })+
        }
    };
}

through!(
    Visitor,
    Asks,
    Through,
    "The one visitor that reads.",
    pre_visit_query: &Query,
    post_visit_query: &Query,
    pre_visit_select: &Select,
    post_visit_select: &Select,
    pre_visit_relation: &ObjectName,
    post_visit_relation: &ObjectName,
    pre_visit_table_factor: &TableFactor,
    post_visit_table_factor: &TableFactor,
    pre_visit_expr: &Expr,
    post_visit_expr: &Expr,
    pre_visit_statement: &Statement,
    post_visit_statement: &Statement,
    pre_visit_value: &ValueWithSpan,
    post_visit_value: &ValueWithSpan,
);

through!(
    VisitorMut,
    AsksMut,
    ThroughMut,
    "The one visitor that changes.",
    pre_visit_query: &mut Query,
    post_visit_query: &mut Query,
    pre_visit_select: &mut Select,
    post_visit_select: &mut Select,
    pre_visit_relation: &mut ObjectName,
    post_visit_relation: &mut ObjectName,
    pre_visit_table_factor: &mut TableFactor,
    post_visit_table_factor: &mut TableFactor,
    pre_visit_expr: &mut Expr,
    post_visit_expr: &mut Expr,
    pre_visit_statement: &mut Statement,
    post_visit_statement: &mut Statement,
    pre_visit_value: &mut ValueWithSpan,
    post_visit_value: &mut ValueWithSpan,
);

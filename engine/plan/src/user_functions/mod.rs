//! Functions of the user's: `CREATE FUNCTION`.
//!
//! A function is kept in the catalog beside everything else that has a name, in a space of its own. Whatever is defined keeps the functions
//! that it calls as they were at that moment: `CREATE OR REPLACE FUNCTION` is for what comes after it. So a job does the same after a
//! restart, and in a replay.

mod binding;
mod call;
mod catalog;
mod definition;
mod expression;
mod module;
mod procedure;

pub(crate) use call::{check, scalar};
pub use definition::{Body, FunctionDef, Functions, ModuleFile, Parameter};
pub use module::Program;
pub use procedure::Procedure;
pub(crate) use procedure::{IN_A_JOB, asks_outside, check_places};

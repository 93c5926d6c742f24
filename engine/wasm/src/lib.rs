//! WebAssembly modules as functions over Arrow columns.
//!
//! A module sees nothing but its own memory: it imports nothing, so that there is no clock, no randomness and no file for it, and every
//! call begins with the module as it was loaded. What comes out is a function of the rows that went in. Each call has so much fuel (about
//! an instruction each) and so much memory, see [`Limits`]; whatever a module does, a call ends with a column or an error.
//!
//! A module that exports `alloc` is called **by batch**, any other one **by row**.
//!
//! ```text
//!  by row     f(x0, x1, ...) -> y       f64 for DOUBLE, f32 for FLOAT, i64 for BIGINT, TIME and TIMESTAMP, i32 for the smaller
//!                                       integers, BOOLEAN (0 or 1) and DATE. Not called for a row with a NULL, which gives NULL.
//!
//!  by batch   alloc(bytes: i32) -> i32  where the host may write so many bytes, aligned to 8; called once before
//!             f(batch: i32) -> i32      the address of a batch in, that of a column out; 0: it refuses the rows
//!             error() -> i32            may be there: why it refused, the address of (address u32, bytes u32) of a UTF-8 text
//!
//!  batch      rows u32 │ columns u32 │ column × columns
//!  column     validity u32 │ values u32 │ offsets u32 │ bytes u32
//! ```
//!
//! All numbers are little-endian. A column's `validity` is the address of a bitmap, lowest bit first, 1 for a value; 0 if nothing is
//! NULL. `values` is the address of as many values as there are rows, as Arrow lays them out: integers and floats side by side, BOOLEAN as
//! a bitmap, STRING and BYTES as bytes one after another, `bytes` of them, with `rows + 1` i32 `offsets` into them; otherwise `offsets`
//! is 0. The column that comes out has the same form.

mod columns;
mod error;
mod function;
mod instance;
mod module;
mod rows;

pub use error::WasmError;
pub use function::Function;
pub use module::{Limits, Module, hash_of};

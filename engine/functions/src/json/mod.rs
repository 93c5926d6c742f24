//! JSON in text: paths into it, Flink's functions, PostgreSQL's operators.
//!
//! | function | what it gives |
//! |---|---|
//! | `JSON_VALUE(json, path ...)` | the scalar that a path leads to |
//! | `JSON_QUERY(json, path ...)` | the object or array that a path leads to |
//! | `JSON_EXISTS(json, path ...)` | whether a path leads anywhere |
//! | `JSON_OBJECT(key VALUE value, ...)`, `JSON_ARRAY(value, ...)`, `JSON_STRING(value)` | JSON made of values |
//! | `JSON_OBJECTAGG(key VALUE value)`, `JSON_ARRAYAGG(value)` | JSON made of the values of a group |
//! | `json IS JSON [VALUE \| SCALAR \| ARRAY \| OBJECT]` | whether a text is JSON |
//! | `json -> key`, `json ->> key` | a member or an element, as JSON or as text |
//!
//! Their keywords (RETURNING, ON EMPTY, ON ERROR, ...) are plain arguments here; `parse/json.rs` puts them into that shape.

mod arrows;
mod build;
mod collect;
mod exists;
mod filter;
mod find;
mod input;
mod is_json;
mod path;
mod query;
mod registry;
mod subscript;
mod value;

pub use arrows::ArrowPlanner;
pub use collect::aggregate_functions;
pub use registry::functions;

//! What can be wrong with a module, or with a call.

/// What is wrong with a module, or with a call. Each reads behind `the function f: `.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WasmError {
    /// The bytes are no module that can be run.
    #[error("it is no WebAssembly module: {0}")]
    Invalid(String),
    /// It wants something from outside.
    #[error(
        "the module imports '{0}', but a function has nothing from outside: no clock, no randomness, no files"
    )]
    Import(String),
    /// It lacks what is to be called.
    #[error("the module exports no function '{name}'; there is {there}")]
    NoExport {
        /// What was looked for.
        name: String,
        /// What it exports.
        there: String,
    },
    /// What is to be called takes or gives something else.
    #[error("the module's '{name}' is {found}, not {expected}")]
    Signature {
        /// The export.
        name: String,
        /// What it takes and gives.
        found: String,
        /// What it should.
        expected: String,
    },
    /// A type of Arrow that there is no form for.
    #[error("{kind} does not go into a module called {how}")]
    Type {
        /// The type.
        kind: String,
        /// `by row` or `by batch`.
        how: &'static str,
    },
    /// A call used up its fuel.
    #[error("it ran out of fuel: more than {0} instructions")]
    Fuel(u64),
    /// A call wanted too much memory.
    #[error("it wanted more than {0} bytes of memory")]
    Memory(usize),
    /// A call trapped.
    #[error("it trapped: {0}")]
    Trap(String),
    /// The module refused the rows.
    #[error("it refused: {0}")]
    Refused(String),
    /// What a call gave is no column of the type.
    #[error("what it gave is no column: {0}")]
    Result(String),
}

pub(crate) type Result<T> = std::result::Result<T, WasmError>;

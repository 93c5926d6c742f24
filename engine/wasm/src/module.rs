//! A module: loaded and checked.

use std::fmt::Write;

use ring::digest::{SHA256, digest};
use wasmi::{CompilationMode, Config, EnforcedLimits, Engine, ExternType};

use crate::error::{Result, WasmError};

/// How much a call may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Fuel for each call; about an instruction each.
    pub fuel: u64,
    /// Fuel for each of its rows besides.
    pub fuel_per_row: u64,
    /// Fuel for each byte of the rows' values besides.
    pub fuel_per_byte: u64,
    /// Bytes of memory.
    pub memory: usize,
    /// Bytes of memory for each byte of the rows' values besides.
    pub memory_per_byte: usize,
}

impl Default for Limits {
    /// 10 million, 10,000 for each row and 1,000 for each byte; 64 MiB, and 8 bytes for each byte.
    fn default() -> Self {
        Self {
            fuel: 10_000_000,
            fuel_per_row: 10_000,
            fuel_per_byte: 1_000,
            memory: 64 << 20,
            memory_per_byte: 8,
        }
    }
}

/// A module that imports nothing.
#[derive(Debug, Clone)]
pub struct Module {
    pub(crate) inner: wasmi::Module,
}

/// The SHA-256 of a module's bytes, in hexadecimal.
pub fn hash_of(bytes: &[u8]) -> String {
    let mut hash = String::with_capacity(64);
    for byte in digest(&SHA256, bytes).as_ref() {
        // Writing to a text does not fail.
        let _ = write!(hash, "{byte:02x}");
    }
    hash
}

impl Module {
    /// The most bytes of a module.
    pub const BYTES_MAX: usize = 8 << 20;

    /// Loads a module from its bytes, or from its text, which begins with a parenthesis.
    pub fn new(bytes: &[u8]) -> Result<Self> {
        if bytes.len() > Self::BYTES_MAX {
            return Err(WasmError::Invalid(format!(
                "it has {} bytes, more than {}",
                bytes.len(),
                Self::BYTES_MAX
            )));
        }
        let mut config = Config::default();
        // Translated as a whole: what a first call costs is not more than what another one does.
        config
            .consume_fuel(true)
            .compilation_mode(CompilationMode::Eager)
            .enforced_limits(EnforcedLimits::strict());
        let inner = wasmi::Module::new(&Engine::new(&config), bytes)
            .map_err(|error| WasmError::Invalid(one_line(&error)))?;
        if let Some(import) = inner.imports().next() {
            return Err(WasmError::Import(format!("{}.{}", import.module(), import.name())));
        }
        Ok(Self { inner })
    }

    /// Whether it exports something of this name and, if it is a function, what that takes and gives.
    pub(crate) fn function(&self, name: &str) -> Option<wasmi::FuncType> {
        match self.inner.get_export(name) {
            Some(ExternType::Func(kind)) => Some(kind),
            _ => None,
        }
    }

    pub(crate) fn has_memory(&self) -> bool {
        matches!(self.inner.get_export("memory"), Some(ExternType::Memory(_)))
    }

    /// The functions that it exports, for people.
    pub(crate) fn exported(&self) -> String {
        let functions = self.inner.exports().filter(|export| matches!(export.ty(), ExternType::Func(_)));
        let names: Vec<&str> = functions.map(|export| export.name()).take(12).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    }
}

/// An error without its line breaks.
pub(crate) fn one_line(error: &wasmi::Error) -> String {
    let text = error.to_string();
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.join(" ")
}

//! What a `CREATE FUNCTION` defines.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::datatypes::DataType;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use datafusion::sql::sqlparser::ast::{self, Visit};
use headwater_functions::sql_type;

use super::module::Program;
use crate::parse::name_of;
use crate::script::{Position, Script};
use crate::statement::Parsed;
use crate::walk::expressions;
/// A function.
#[derive(Debug, Clone)]
pub struct FunctionDef {
    /// The name.
    pub name: String,
    /// What it is called with.
    pub parameters: Vec<Parameter>,
    /// The type of its result.
    pub returns: DataType,
    /// Whether it gives NULL as soon as an argument is NULL.
    pub strict: bool,
    /// What it does.
    pub body: Body,
    /// The functions that it calls, as they were when it was defined.
    pub uses: Functions,
}

/// A parameter of a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: DataType,
}

/// What a function does.
#[derive(Debug, Clone)]
pub enum Body {
    /// An expression over the parameters.
    Sql {
        /// The syntax tree.
        ast: Box<ast::Expr>,
        /// Its text.
        text: String,
        /// Where it begins.
        position: Position,
        /// The text it is part of.
        script: Script,
    },
    /// What a module exports.
    Wasm {
        /// The name of the export.
        export: String,
        /// The module.
        program: Arc<Program>,
    },
    /// The same, of a module in a file, until that has been read.
    WasmFile {
        /// The name of the export.
        export: String,
        /// The file.
        file: ModuleFile,
    },
    /// What a procedure outside answers.
    Procedure {
        /// The connector that calls it.
        connector: String,
        /// Its name there.
        procedure: String,
        /// Where it is, as the connector's options say it.
        options: BTreeMap<String, String>,
    },
}

/// A file that a statement names, in the place of the module that it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleFile {
    /// Where it is.
    pub path: String,
    /// The words that name it: `USING FILE 'path'`.
    pub clause: String,
    /// Where they begin.
    pub position: Position,
}

impl ModuleFile {
    /// The statement with the module's bytes in the file's place, so that it means the same for ever.
    pub fn inlined(&self, statement: &Parsed, bytes: &[u8]) -> String {
        let start = statement.script.offset(statement.position);
        let from = statement.script.offset(self.position) - start;
        let (before, after) = (&statement.text[..from], &statement.text[from + self.clause.len()..]);
        let (base64, hash) = (BASE64_STANDARD.encode(bytes), headwater_wasm::hash_of(bytes));
        format!("{before}AS '{base64}' SHA256 '{hash}'{after}")
    }
}

impl FunctionDef {
    /// As it is called: `celsius(f DOUBLE)`.
    pub fn signature(&self) -> String {
        format!("{}({})", self.name, self.arguments())
    }

    /// The type of its result, in SQL.
    pub fn returned(&self) -> String {
        sql_type(&self.returns)
    }

    /// Its parameters and their types: `f DOUBLE`.
    fn arguments(&self) -> String {
        let shown = self.parameters.iter().map(|one| format!("{} {}", one.name, sql_type(&one.kind)));
        shown.collect::<Vec<_>>().join(", ")
    }

    /// The names that its body calls.
    pub(super) fn calls(&self) -> BTreeSet<String> {
        match &self.body {
            Body::Sql { ast, .. } => called(&**ast),
            Body::Wasm { .. } | Body::WasmFile { .. } | Body::Procedure { .. } => BTreeSet::new(),
        }
    }
}

/// Functions by name. Cheap to clone; a clone never changes.
#[derive(Debug, Clone, Default)]
pub struct Functions(Arc<BTreeMap<String, Arc<FunctionDef>>>);

impl Functions {
    /// The function of this name.
    pub fn get(&self, name: &str) -> Option<&Arc<FunctionDef>> {
        self.0.get(name)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<FunctionDef>> {
        self.0.values()
    }

    /// All names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// With one more, or another one of its name.
    pub(super) fn with(&self, function: FunctionDef) -> Self {
        let mut all = (*self.0).clone();
        all.insert(function.name.clone(), Arc::new(function));
        Self(Arc::new(all))
    }

    /// Without one.
    pub(super) fn without(&self, name: &str) -> Self {
        let mut all = (*self.0).clone();
        all.remove(name);
        Self(Arc::new(all))
    }

    /// Those of them that are named.
    pub(super) fn only(&self, names: &BTreeSet<String>) -> Self {
        let kept = self.0.iter().filter(|(name, _)| names.contains(*name));
        Self(Arc::new(kept.map(|(name, function)| (name.clone(), Arc::clone(function))).collect()))
    }
}

/// The names of all functions that are called somewhere in a syntax tree.
pub(super) fn called(tree: &impl Visit) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let _ = expressions(tree, |expr| {
        if let ast::Expr::Function(function) = expr {
            names.insert(name_of(&function.name));
        }
        ControlFlow::<()>::Continue(())
    });
    names
}

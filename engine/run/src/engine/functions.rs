//! SHOW FUNCTIONS and DESCRIBE FUNCTION.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::context::SessionState;
use datafusion::logical_expr::{Documentation, Signature};
use headwater_core::world::Open;
use headwater_plan::statement::Name;
use headwater_plan::user_functions::{Body, FunctionDef, Program};
use headwater_plan::{Parsed, Statement, parse_one};

use super::show::{rows, texts};
use super::state::Inner;
use crate::error::{Result, RunError};

/// A function of the library.
struct Known {
    kind: &'static str,
    /// How it is called.
    call: String,
    about: Option<String>,
}

impl Inner {
    pub(super) fn show_functions(&self) -> Result<SendableRecordBatchStream> {
        let known = library(&self.planner.session().state());
        let mut found: BTreeMap<String, [String; 2]> =
            known.into_iter().map(|(name, known)| (name, [known.kind.to_owned(), known.call])).collect();
        for function in self.catalog().functions().iter() {
            found.insert(function.name.clone(), ["user".to_owned(), function.signature()]);
        }
        let found: Vec<_> =
            found.into_iter().map(|(name, [kind, call])| vec![Some(name), Some(kind), Some(call)]).collect();
        rows(texts(&["name", "kind", "call"], &found)?)
    }

    pub(super) fn show_user_functions(&self) -> Result<SendableRecordBatchStream> {
        let catalog = self.catalog();
        let of = |function: &Arc<FunctionDef>| {
            vec![
                Some(function.name.clone()),
                Some(function.signature()),
                Some(function.returned()),
                Some(definition(function)),
            ]
        };
        let found: Vec<_> = catalog.functions().iter().map(of).collect();
        rows(texts(&["name", "call", "returns", "definition"], &found)?)
    }

    /// A `CREATE FUNCTION ... USING FILE` with what is in the file instead of its name: what is kept of it does not change with the file.
    pub(super) fn with_module(&self, parsed: &Parsed) -> Result<Option<Parsed>> {
        let Statement::CreateFunction(create) = &parsed.statement else { return Ok(None) };
        let Body::WasmFile { file, .. } = &create.definition.body else { return Ok(None) };
        let path = Path::new(&file.path);
        let read = || {
            let module = self.world.disk.open(path, Open::Read)?;
            let bytes = module.len()?;
            // One that is too large is refused when it is loaded; so much of it is enough for that.
            let count = bytes.min(Program::BYTES_MAX as u64 + 1) as usize;
            module.read_vec_at(count, 0)
        };
        let bytes = read().map_err(|error| {
            RunError::Invalid(format!("the module {} cannot be read: {error}", path.display()))
        })?;
        Ok(Some(parse_one(&file.inlined(parsed, &bytes))?))
    }

    /// `DESCRIBE FUNCTION name`.
    pub fn describe_function(&self, name: &Name, parsed: &Parsed) -> Result<SendableRecordBatchStream> {
        let catalog = self.catalog();
        let mut about: Vec<(&str, String)> = vec![("name", name.value.clone())];
        if let Some(function) = catalog.functions().get(&name.value) {
            about.push(("kind", "user".to_owned()));
            about.push(("call", function.signature()));
            about.push(("returns", function.returned()));
            about.push(("definition", definition(function)));
            let users = catalog.users_of_function(&name.value);
            if !users.is_empty() {
                about.push(("used by", users.join(", ")));
            }
        } else if let Some(known) = library(&self.planner.session().state()).remove(&name.value) {
            about.push(("kind", known.kind.to_owned()));
            about.push(("call", known.call));
            about.extend(known.about.map(|text| ("description", text)));
        } else {
            return Err(catalog.unknown_function(name).at(name.position, &parsed.script).into());
        }
        let found: Vec<_> =
            about.into_iter().map(|(what, value)| vec![Some(what.to_owned()), Some(value)]).collect();
        rows(texts(&["property", "value"], &found)?)
    }
}

/// What a function of the user's does, as it was written.
fn definition(function: &FunctionDef) -> String {
    match &function.body {
        Body::Sql { text, .. } => text.clone(),
        Body::Wasm { export, program } => {
            let (bytes, hash) = (program.bytes().len(), program.hash());
            format!("'{export}' of a WebAssembly module of {bytes} bytes, SHA-256 {hash}")
        }
        Body::WasmFile { export, file } => format!("'{export}' of the WebAssembly module in {}", file.path),
        Body::Procedure { connector, procedure, .. } => format!("the procedure {procedure}, by {connector}"),
    }
}

/// All functions that are there without anybody having created them. Names that no statement can call are those of the engine itself.
fn library(state: &SessionState) -> BTreeMap<String, Known> {
    let scalar = state.scalar_functions().iter();
    let scalar =
        scalar.map(|(name, it)| (name, known("scalar", name, it.documentation(), Some(it.signature()))));
    let lambda = state.higher_order_functions().iter();
    let lambda = lambda.map(|(name, it)| (name, known("with lambda", name, it.documentation(), None)));
    let aggregate = state.aggregate_functions().iter();
    let aggregate = aggregate
        .map(|(name, it)| (name, known("aggregate", name, it.documentation(), Some(it.signature()))));
    let window = state.window_functions().iter();
    let window =
        window.map(|(name, it)| (name, known("window", name, it.documentation(), Some(it.signature()))));
    let table = state.table_functions().keys().map(|name| (name, known("table", name, None, None)));
    let all = window.chain(aggregate).chain(lambda).chain(scalar).chain(table);
    let callable = all.filter(|(name, _)| name.starts_with(char::is_alphabetic));
    callable.map(|(name, known)| (name.clone(), known)).collect()
}

fn known(
    kind: &'static str,
    name: &str,
    about: Option<&Documentation>,
    signature: Option<&Signature>,
) -> Known {
    let call = match (about, signature) {
        (Some(about), _) => about.syntax_example.clone(),
        (None, Some(signature)) => {
            format!("{name}({})", signature.type_signature.to_string_repr().join(", "))
        }
        (None, None) => format!("{name}(...)"),
    };
    Known { kind, call, about: about.map(|about| about.description.clone()) }
}

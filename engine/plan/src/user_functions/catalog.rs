//! Functions in the catalog: they come, are replaced, and go when nothing calls them.

use super::definition::Functions;
use crate::catalog::{Catalog, Change};
use crate::error::{Mistake, Result, SqlError, did_you_mean};
use crate::statement::{CreateFunction, DropFunction, Name, Parsed};

impl Catalog {
    pub(crate) fn create_function(&self, create: &CreateFunction, parsed: &Parsed) -> Result<(Self, Change)> {
        let CreateFunction { name, definition, or_replace, if_not_exists } = create;
        let place = |error: SqlError| error.at(name.position, &parsed.script);
        if self.functions().get(&name.value).is_some() {
            if *if_not_exists {
                let why = format!("function {} exists already", name.value);
                return Ok((self.clone(), Change::Unchanged(why)));
            }
            if !or_replace {
                let error = SqlError::new(
                    Mistake::NameTaken,
                    format!("there is a function '{}' already", name.value),
                );
                return Err(place(error.hint("CREATE OR REPLACE FUNCTION, for what is defined after it")));
            }
        }
        let calls = definition.calls();
        if calls.contains(&name.value) {
            let message = format!("the function '{}' would call itself", name.value);
            return Err(place(SqlError::new(Mistake::Definition, message)));
        }
        let mut definition = definition.clone();
        definition.uses = self.functions().only(&calls);
        Ok((self.with_functions(self.functions().with(definition)), Change::Function(name.value.clone())))
    }

    pub(crate) fn drop_function(&self, drop: &DropFunction, parsed: &Parsed) -> Result<(Self, Change)> {
        let DropFunction { name, if_exists } = drop;
        if self.functions().get(&name.value).is_none() {
            if *if_exists {
                return Ok((self.clone(), Change::Unchanged(format!("there is no function {}", name.value))));
            }
            return Err(self.unknown_function(name).at(name.position, &parsed.script));
        }
        let users = self.users_of_function(&name.value);
        if !users.is_empty() {
            let message = format!("function '{}' is used by {}", name.value, users.join(", "));
            let error = SqlError::new(Mistake::InUse, message).at(name.position, &parsed.script);
            return Err(error.hint("drop what uses it first"));
        }
        Ok((self.with_functions(self.functions().without(&name.value)), Change::Function(name.value.clone())))
    }

    /// Who calls a function of the user's, whatever was its definition then: `view v`, `function f`.
    pub fn users_of_function(&self, name: &str) -> Vec<String> {
        let calls = |functions: &Functions| functions.get(name).is_some();
        let entries = self.entries().filter(|entry| entry.functions().is_some_and(calls));
        let entries = entries.map(|entry| format!("{} {}", entry.kind(), entry.name()));
        let functions = self.functions().iter().filter(|function| calls(&function.uses));
        entries.chain(functions.map(|function| format!("function {}", function.name))).collect()
    }

    /// The error for a name that no function of the user's has.
    pub fn unknown_function(&self, name: &Name) -> SqlError {
        SqlError::new(Mistake::UnknownFunction, format!("there is no function '{}'", name.value))
            .hint_if(did_you_mean(&name.value, self.functions().names()))
    }
}

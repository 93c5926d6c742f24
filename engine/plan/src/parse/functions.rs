//! `CREATE FUNCTION`, as PostgreSQL and Flink write it.
//!
//! ```text
//!  CREATE [OR REPLACE] FUNCTION [IF NOT EXISTS] name ( [ parameter type [, ...] ] ) RETURNS type
//!    { LANGUAGE SQL | IMMUTABLE | STRICT | RETURNS NULL ON NULL INPUT | CALLED ON NULL INPUT
//!    | AS 'expression' | AS $$ expression $$ | RETURN expression } ...
//!
//!    { LANGUAGE WAMP | AS 'uri of a procedure' | WITH (option = value, ...) } ...
//!    { LANGUAGE WASM | EXPORT 'name' | IMMUTABLE | STRICT | ... | USING FILE 'path'
//!    | AS 'module in base64' [SHA256 'hash'] | AS $$ (module ...) $$ } ...
//! ```

use std::sync::Arc;

use arrow::datatypes::DataType;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use datafusion::sql::sqlparser::tokenizer::Token;

use super::create::if_not_exists;
use super::foreign::refuse_class;
use super::options::{Given, read_options};
use super::reader::{Quoted, Reader};
use super::types::read_type;
use crate::error::{Mistake, Result, SqlError};
use crate::statement::{CreateFunction, DropFunction, Name, Statement};
use crate::user_functions::{Body, FunctionDef, Functions, ModuleFile, Parameter, Program};

/// Reads what stands after CREATE.
pub(super) fn read_function(reader: &mut Reader, or_replace: bool) -> Result<Statement> {
    reader.expect_words("FUNCTION")?;
    let if_not_exists = if_not_exists(reader);
    let name = reader.name("a name")?;
    if name.value.contains('.') {
        return Err(SqlError::new(Mistake::Definition, format!("'{}' is no name of a function", name.value))
            .at(name.position, reader.script())
            .hint("functions are in no schema: CREATE FUNCTION name(...)"));
    }
    refuse_class(reader)?;
    let parameters = read_parameters(reader)?;
    reader.expect_words("RETURNS")?;
    let returns = read_type(reader)?;
    let mut clauses = Clauses::default();
    while clauses.read(reader)? {}
    let strict = clauses.strict;
    let body = clauses.body(reader, &name)?;
    let definition = FunctionDef {
        name: name.value.clone(),
        parameters,
        returns,
        strict,
        body,
        uses: Functions::default(),
    };
    Ok(Statement::CreateFunction(CreateFunction { name, definition, or_replace, if_not_exists }))
}

/// What stands behind the type of the result, in any order.
#[derive(Default)]
struct Clauses {
    language: Language,
    strict: bool,
    export: Option<String>,
    returned: Option<Body>,
    /// `AS`, and what is said to be the hash of it.
    quoted: Option<(Quoted, Option<String>)>,
    file: Option<ModuleFile>,
    options: Option<Vec<Given>>,
}

/// What a body is written in, or who answers.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Language {
    #[default]
    Sql,
    Wasm,
    Wamp,
}

impl Clauses {
    /// Reads one, if there is one.
    fn read(&mut self, reader: &mut Reader) -> Result<bool> {
        let at = reader.position();
        if reader.take_words("LANGUAGE") {
            self.language = read_language(reader)?;
        } else if reader.take_words("STRICT") || reader.take_words("RETURNS NULL ON NULL INPUT") {
            self.strict = true;
        } else if self.is_open() && reader.take_words("RETURN") {
            let position = reader.position();
            let (ast, text) = reader.expr()?;
            let script = reader.script().clone();
            self.returned = Some(Body::Sql { ast: Box::new(ast), text, position, script });
        } else if self.is_open() && reader.take_words("AS") {
            let quoted = reader.quoted("an expression or a module in quotes")?;
            let hash =
                if reader.take_words("SHA256") { Some(reader.string("a hash in quotes")?) } else { None };
            self.quoted = Some((quoted, hash));
        } else if self.is_open() && reader.take_words("USING FILE") {
            let path = reader.string("a path in quotes")?;
            self.file = Some(ModuleFile { path, clause: reader.text_since(at), position: at });
        } else if self.export.is_none() && reader.take_words("EXPORT") {
            self.export = Some(reader.string("the name of an export in quotes")?);
        } else if self.options.is_none() && reader.take_words("WITH") {
            self.options = Some(read_options(reader)?);
        } else {
            return Ok(reader.take_words("IMMUTABLE") || reader.take_words("CALLED ON NULL INPUT"));
        }
        Ok(true)
    }

    fn is_open(&self) -> bool {
        self.returned.is_none() && self.quoted.is_none() && self.file.is_none()
    }

    fn body(self, reader: &Reader, name: &Name) -> Result<Body> {
        if let Some((option, ..)) = self.options.iter().flatten().next()
            && self.language != Language::Wamp
        {
            let message = "only functions that are answered outside have options: LANGUAGE WAMP";
            return Err(SqlError::new(Mistake::Option, message).at(option.position, reader.script()));
        }
        let export = self.export.unwrap_or_else(|| name.value.clone());
        match (self.language, self.returned, self.quoted, self.file) {
            (Language::Sql, Some(body), ..) => Ok(body),
            (Language::Sql, _, Some((quoted, None)), _) => read_expression(quoted),
            (Language::Wamp, _, Some((quoted, None)), _) => {
                let given = self.options.into_iter().flatten();
                let options = given.map(|(key, value, _)| (key.value, value)).collect();
                let procedure = quoted.text.trim().to_owned();
                Ok(Body::Procedure { connector: "wamp".to_owned(), procedure, options })
            }
            (Language::Wamp, ..) => Err(reader.expected("AS 'uri of a procedure'").hint(
                "CREATE FUNCTION f(device STRING) RETURNS DOUBLE LANGUAGE WAMP AS 'com.home.f' WITH (realm = 'home')",
            )),
            (Language::Wasm, _, Some((quoted, hash)), _) => {
                let program = Arc::new(read_module(&quoted, hash.as_deref())?);
                Ok(Body::Wasm { export, program })
            }
            (Language::Wasm, _, _, Some(file)) => Ok(Body::WasmFile { export, file }),
            (Language::Wasm, ..) => Err(reader
                .expected("USING FILE 'path' or AS 'module in base64'")
                .hint("CREATE FUNCTION f(x DOUBLE) RETURNS DOUBLE LANGUAGE WASM USING FILE 'f.wasm'")),
            (Language::Sql, ..) => Err(reader
                .expected("AS 'expression' or RETURN expression")
                .hint("CREATE FUNCTION celsius(f DOUBLE) RETURNS DOUBLE AS '(f - 32) / 1.8'")),
        }
    }
}

/// Reads what stands after DROP FUNCTION: a name, perhaps with types behind it, as there is one function of a name.
pub(super) fn read_drop_function(reader: &mut Reader) -> Result<Statement> {
    let if_exists = reader.take_words("IF EXISTS");
    let name = reader.name("a function")?;
    if reader.take(&Token::LParen) {
        while !reader.take(&Token::RParen) {
            read_type(reader)?;
            reader.take(&Token::Comma);
        }
    }
    Ok(Statement::DropFunction(DropFunction { name, if_exists }))
}

fn read_parameters(reader: &mut Reader) -> Result<Vec<Parameter>> {
    reader.expect(&Token::LParen)?;
    let mut parameters: Vec<Parameter> = Vec::new();
    while !reader.take(&Token::RParen) {
        if !parameters.is_empty() {
            reader.expect(&Token::Comma)?;
        }
        let Name { value: name, position } = reader.column()?;
        let kind: DataType = read_type(reader)?;
        if parameters.iter().any(|other| other.name == name) {
            let message = format!("two parameters are called '{name}'");
            return Err(SqlError::new(Mistake::Definition, message).at(position, reader.script()));
        }
        parameters.push(Parameter { name, kind });
    }
    Ok(parameters)
}

fn read_language(reader: &mut Reader) -> Result<Language> {
    let known = [("SQL", Language::Sql), ("WASM", Language::Wasm), ("WAMP", Language::Wamp)];
    for (word, language) in known {
        if reader.take_words(word) {
            return Ok(language);
        }
    }
    Err(reader
        .expected("SQL, WASM or WAMP")
        .hint("what is written in another language can be compiled to WebAssembly"))
}

/// An expression in quotes; `SELECT expression`, as PostgreSQL has it, is one, too.
fn read_expression(quoted: Quoted) -> Result<Body> {
    // In the script its quotes are doubled.
    let text = quoted.text.trim().trim_end_matches(';').to_owned();
    let (mut inner, position) = quoted.reader()?;
    inner.take_words("SELECT");
    let (ast, _) = inner.expr()?;
    inner.take(&Token::SemiColon);
    if inner.sees("FROM") {
        return Err(SqlError::new(Mistake::Definition, "a function reads no table")
            .at(inner.position(), inner.script())
            .hint("join the table in the query, and give the function its columns"));
    }
    if !inner.at_end() {
        return Err(inner.expected("the end of the function"));
    }
    Ok(Body::Sql { ast: Box::new(ast), text, position, script: inner.script().clone() })
}

/// A module in base64, or as text.
fn read_module(quoted: &Quoted, hash: Option<&str>) -> Result<Program> {
    let wrong = |what: String| SqlError::new(Mistake::Definition, what).at(quoted.position, &quoted.script);
    let text = quoted.text.trim();
    let bytes = if text.starts_with('(') {
        text.as_bytes().to_vec()
    } else {
        let packed: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        BASE64_STANDARD
            .decode(packed)
            .map_err(|error| wrong(format!("the module is not in base64: {error}")))?
    };
    if let Some(hash) = hash
        && !hash.eq_ignore_ascii_case(&headwater_wasm::hash_of(&bytes))
    {
        return Err(wrong("the module's bytes are not those of its SHA256".to_owned()));
    }
    Ok(Program::new(bytes))
}

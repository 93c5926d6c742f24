//! Reads tokens: words, names, places. What the statements' parsers are written with.

use datafusion::sql::sqlparser::ast::{self, Ident, ObjectName};
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};

use super::begins::{parse_table, unify_begins};
use super::dialect::HeadwaterDialect;
use super::fetch::unify_fetch;
use super::foreign::refuse_in_query;
use super::hints::{Hints, hints_of};
use super::lateral::unify_lateral;
use super::literals::unify_literals;
use super::null_treatment::unify_null_treatment;
use super::options::{duration, read_value};
use super::patterns::unify_patterns;
use super::qualified::without_catalog;
use super::table_options::TableOptions;
use super::unnest::unify_unnest;
use super::windows::unify_windows;
use crate::as_of::AsOfJoins;
use crate::error::{Mistake, Result, SqlError};
use crate::script::{Position, Script};
use crate::statement::{Emit, Name, Query, QueryOptions};

static DIALECT: HeadwaterDialect = HeadwaterDialect;

/// The tokens of a script, and how far they are read.
pub(super) struct Reader {
    parser: Parser<'static>,
    script: Script,
    /// Where the text ends that is read, in the script.
    end: Position,
    as_of: AsOfJoins,
    table_options: TableOptions,
    /// The names that were declared without quotes and with capital letters, as they were written.
    pub(super) written_names: Vec<String>,
}

/// A text within a script.
pub(super) struct Quoted {
    pub(super) text: String,
    /// Whether each quote in it stands twice in the script.
    doubled: bool,
    /// Where it begins, behind the quote.
    pub(super) position: Position,
    pub(super) script: Script,
}

impl Quoted {
    /// Reads it by itself, and says where its first word stands. Places in it are places in the script.
    pub(super) fn reader(self) -> Result<(Reader, Position)> {
        let reader = Reader::part(&self.text, self.position, self.doubled, self.script)?;
        let first = reader.position();
        Ok((reader, first))
    }
}

impl Reader {
    pub(super) fn new(text: &str) -> Result<Self> {
        Self::part(text, Position { line: 1, column: 1 }, false, Script::new(text))
    }

    /// Reads a text that begins at a place of a script. `doubled`: its quotes stand twice there.
    pub(super) fn part(text: &str, start: Position, doubled: bool, script: Script) -> Result<Self> {
        let lines: Vec<&str> = if doubled { text.lines().collect() } else { Vec::new() };
        let moved = |place: Position| moved(place, start, &lines);
        let mut tokens = Tokenizer::new(&DIALECT, text).tokenize_with_location().map_err(|error| {
            let place = moved(position(error.location));
            SqlError::new(Mistake::Syntax, lower_first(&error.message)).at(place, &script)
        })?;
        for TokenWithSpan { span, .. } in &mut tokens {
            for place in [&mut span.start, &mut span.end] {
                let Position { line, column } = moved(position(*place));
                *place = Location { line, column };
            }
        }
        let table_options = TableOptions::of(&tokens, &script)?;
        let end = moved(end_of(text));
        let mut tokens = unify_patterns(without_catalog(tokens), &script)?;
        let as_of = AsOfJoins::take(&mut tokens);
        let parser = Parser::new(&DIALECT).with_tokens_with_locations(tokens);
        Ok(Self { parser, script, end, as_of, table_options, written_names: Vec::new() })
    }

    /// A text in quotes or dollars.
    pub(super) fn quoted(&mut self, what: &str) -> Result<Quoted> {
        let Position { line, column } = self.position();
        let (text, doubled, quote) = match self.peek() {
            Token::SingleQuotedString(text) => (text.clone(), true, 1),
            Token::DollarQuotedString(quoted) => {
                let tag = quoted.tag.as_deref().unwrap_or_default();
                (quoted.value.clone(), false, 2 + tag.chars().count() as u64)
            }
            _ => return Err(self.expected(what)),
        };
        self.next();
        let position = Position { line, column: column + quote };
        Ok(Quoted { text, doubled, position, script: self.script.clone() })
    }

    pub(super) fn script(&self) -> &Script {
        &self.script
    }

    /// Where the next token stands; at the end, where the text ends.
    pub(super) fn position(&self) -> Position {
        self.position_of(self.parser.peek_token_ref())
    }

    fn position_of(&self, token: &TokenWithSpan) -> Position {
        if token.token == Token::EOF { self.end } else { position(token.span.start) }
    }

    /// Where the last word ends that was read.
    fn word_end(&self) -> Position {
        position(self.parser.get_current_token().span.end)
    }

    /// Fails if options stand behind what was read, and it is no table of a query.
    pub(super) fn check_table_options(&self) -> Result<()> {
        self.table_options.check_taken(self.word_end(), &self.script)
    }

    /// What was read since `from`.
    pub(super) fn text_since(&self, from: Position) -> String {
        let end = self.table_options.end_behind(self.word_end());
        self.script.slice(from, end).to_owned()
    }

    pub(super) fn peek(&self) -> &Token {
        &self.parser.peek_token_ref().token
    }

    pub(super) fn peek_nth(&self, nth: usize) -> &Token {
        &self.parser.peek_nth_token_ref(nth).token
    }

    pub(super) fn at_end(&self) -> bool {
        *self.peek() == Token::EOF
    }

    pub(super) fn next(&mut self) -> Token {
        self.parser.next_token().token
    }

    /// Takes a token if it is next.
    pub(super) fn take(&mut self, token: &Token) -> bool {
        self.parser.consume_token(token)
    }

    pub(super) fn expect(&mut self, token: &Token) -> Result<()> {
        if self.take(token) { Ok(()) } else { Err(self.expected(&format!("'{token}'"))) }
    }

    /// The nth word to come, in upper case, if it is one without quotes.
    pub(super) fn peek_word(&self, nth: usize) -> Option<String> {
        match &self.parser.peek_nth_token_ref(nth).token {
            Token::Word(word) if word.quote_style.is_none() => Some(word.value.to_uppercase()),
            _ => None,
        }
    }

    /// Whether these words, separated by spaces, come next.
    pub(super) fn sees(&self, words: &str) -> bool {
        words.split(' ').enumerate().all(|(nth, word)| self.peek_word(nth).as_deref() == Some(word))
    }

    /// Takes these words if they come next.
    pub(super) fn take_words(&mut self, words: &str) -> bool {
        let seen = self.sees(words);
        if seen {
            words.split(' ').for_each(|_| self.parser.advance_token());
        }
        seen
    }

    pub(super) fn expect_words(&mut self, words: &str) -> Result<()> {
        if self.take_words(words) { Ok(()) } else { Err(self.expected(words)) }
    }

    /// The error that something else should stand here.
    pub(super) fn expected(&self, what: &str) -> SqlError {
        let found = match self.peek() {
            Token::EOF => "the end".to_owned(),
            token => format!("'{token}'"),
        };
        SqlError::new(Mistake::Syntax, format!("expected {what}, found {found}"))
            .at(self.position(), &self.script)
    }

    /// A name of one part, such as a column's.
    pub(super) fn column(&mut self) -> Result<Name> {
        let at = self.position();
        let ident = self.sql("a column name", Parser::parse_identifier)?;
        Ok(Name { value: normal(&ident), position: at })
    }

    /// The name of a column, or of a field of one, that is declared.
    pub(super) fn declared_column(&mut self) -> Result<Name> {
        let at = self.position();
        let ident = self.sql("a column name", Parser::parse_identifier)?;
        let value = normal(&ident);
        if value != ident.value {
            self.written_names.push(ident.value);
        }
        Ok(Name { value, position: at })
    }

    /// A name of one part or more.
    pub(super) fn name(&mut self, what: &str) -> Result<Name> {
        let at = self.position();
        let name = self.sql(what, |parser| parser.parse_object_name(false))?;
        Ok(Name { value: name_of(&name), position: at })
    }

    /// `(a, b)`, or `a, b` without parentheses.
    pub(super) fn columns(&mut self) -> Result<Vec<Name>> {
        let closed = self.take(&Token::LParen);
        let mut names = vec![self.column()?];
        while self.take(&Token::Comma) {
            names.push(self.column()?);
        }
        if closed {
            self.expect(&Token::RParen)?;
        }
        Ok(names)
    }

    pub(super) fn string(&mut self, what: &str) -> Result<String> {
        match self.peek().clone() {
            Token::SingleQuotedString(text) | Token::DoubleQuotedString(text) => {
                self.next();
                Ok(text)
            }
            _ => Err(self.expected(what)),
        }
    }

    /// A whole query, its windows in one shape.
    pub(super) fn query(&mut self) -> Result<Query> {
        let at = self.position();
        if !matches!(self.peek_word(0).as_deref(), Some("SELECT" | "WITH" | "VALUES" | "FROM" | "TABLE"))
            && *self.peek() != Token::LParen
        {
            return Err(self.expected("a query"));
        }
        let is_table = self.peek_word(0).as_deref() == Some("TABLE");
        let mut ast = self.sql("a query", if is_table { parse_table } else { Parser::parse_query })?;
        let starts = self.table_options.take(at, self.word_end());
        unify_begins(&mut ast);
        unify_fetch(&mut ast);
        unify_literals(&mut *ast);
        unify_null_treatment(&mut *ast);
        unify_lateral(&mut ast);
        refuse_in_query(&ast, &self.script)?;
        let Hints { keeps, retries } = hints_of(&ast, &self.script)?;
        self.as_of.unify(&mut ast, &self.script)?;
        unify_unnest(&mut ast, &self.script)?;
        unify_windows(&mut ast, &self.script)?;
        let text = self.text_since(at);
        let options =
            QueryOptions { hints: keeps.into(), retries: retries.into(), starts, ..self.query_options()? };
        Ok(Query { ast, text, position: at, script: self.script.clone(), options, functions: None })
    }

    /// `EMIT CHANGES`, `EMIT EVERY interval`, `EMIT ON WINDOW CLOSE`, `ALLOW LATENESS interval`, `LATE DATA TO stream`, in any order.
    fn query_options(&mut self) -> Result<QueryOptions> {
        let mut options = QueryOptions::default();
        loop {
            if self.take_words("EMIT") {
                options.emit = if self.take_words("CHANGES") {
                    Emit::Changes
                } else if self.take_words("ON WINDOW CLOSE") {
                    Emit::OnWindowClose
                } else if self.take_words("EVERY") {
                    Emit::Every(self.length("EMIT EVERY INTERVAL '10' SECOND", 1)?)
                } else {
                    return Err(self.expected("CHANGES, EVERY or ON WINDOW CLOSE"));
                };
            } else if self.take_words("ALLOW LATENESS") {
                options.lateness = Some(self.length("ALLOW LATENESS INTERVAL '1' MINUTE", 0)?);
            } else if self.take_words("LATE DATA TO") {
                options.late = Some(Box::new(self.name("a stream")?));
            } else {
                return Ok(options);
            }
        }
    }

    /// A length of time in nanoseconds, at least so many. `usage`: how it is written.
    fn length(&mut self, usage: &str, least: i64) -> Result<i64> {
        let at = self.position();
        let text = read_value(self)?;
        let length = duration(&text).and_then(|length| i64::try_from(length.as_nanos()).ok());
        length.filter(|length| *length >= least).ok_or_else(|| {
            SqlError::new(Mistake::Type, format!("'{text}' is no length of time"))
                .at(at, &self.script)
                .hint(usage.to_owned())
        })
    }

    pub(super) fn expr(&mut self) -> Result<(ast::Expr, String)> {
        let at = self.position();
        let mut expr = self.sql("an expression", Parser::parse_expr)?;
        unify_literals(&mut expr);
        unify_null_treatment(&mut expr);
        Ok((expr, self.text_since(at)))
    }

    /// Lets DataFusion's parser read; its errors get a place.
    pub(super) fn sql<T>(
        &mut self,
        what: &str,
        read: impl FnOnce(&mut Parser<'static>) -> std::result::Result<T, ParserError>,
    ) -> Result<T> {
        let at_end = self.at_end();
        read(&mut self.parser)
            .map_err(|error| if at_end { self.expected(what) } else { self.translate(error) })
    }

    /// The parser's errors name their place at the end of the text.
    fn translate(&self, error: ParserError) -> SqlError {
        let text = match error {
            ParserError::TokenizerError(text) | ParserError::ParserError(text) => text,
            ParserError::RecursionLimitExceeded => "the statement is nested too deeply".to_owned(),
        };
        let (message, place) = match text.rsplit_once(" at Line: ") {
            Some((message, place)) => (message, parse_place(place)),
            None => (text.as_str(), None),
        };
        let message = message.replace(", found: EOF", ", found the end").replace("found: ", "found ");
        let message = message.replace("Expected: ", "expected ");
        let place = place.unwrap_or(self.end);
        SqlError::new(Mistake::Syntax, lower_first(&message)).at(place, &self.script)
    }
}

/// `3, Column: 14`.
fn parse_place(text: &str) -> Option<Position> {
    let (line, column) = text.split_once(", Column: ")?;
    Some(Position { line: line.trim().parse().ok()?, column: column.trim().parse().ok()? })
}

/// A place in a text that begins elsewhere. `lines`: those of the text, if its quotes are doubled there.
fn moved(place: Position, start: Position, lines: &[&str]) -> Position {
    let line = lines.get(usize::try_from(place.line - 1).unwrap_or(usize::MAX)).unwrap_or(&"");
    let before = usize::try_from(place.column - 1).unwrap_or(usize::MAX);
    let column = place.column + line.chars().take(before).filter(|c| *c == '\'').count() as u64;
    let column = if place.line == 1 { column + start.column - 1 } else { column };
    Position { line: place.line + start.line - 1, column }
}

fn end_of(text: &str) -> Position {
    let text = text.trim_end();
    let line = text.matches('\n').count() as u64 + 1;
    let last = text.rsplit('\n').next().unwrap_or_default();
    Position { line, column: last.chars().count() as u64 + 1 }
}

pub(crate) fn position(location: Location) -> Position {
    Position { line: location.line, column: location.column }
}

/// A name without quotes is in lower case.
pub(crate) fn normal(ident: &Ident) -> String {
    match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_lowercase(),
    }
}

/// The parts of a name, joined by dots.
pub(crate) fn name_of(name: &ObjectName) -> String {
    let parts: Vec<_> =
        name.0.iter().map(|part| part.as_ident().map_or_else(|| part.to_string(), normal)).collect();
    parts.join(".")
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        // A word all in capitals is a keyword.
        Some(first) if !chars.as_str().starts_with(char::is_uppercase) => {
            first.to_lowercase().chain(chars).collect()
        }
        _ => text.to_owned(),
    }
}

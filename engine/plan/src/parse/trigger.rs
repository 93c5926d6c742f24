//! `CREATE TRIGGER`.
//!
//! ```text
//!  CREATE [OR REPLACE] TRIGGER [IF NOT EXISTS] name ON stream [PARTITION BY column, ... | PARTITION BY ()]
//!    WHEN condition [FOR duration]
//!    [UNTIL condition | REARM AFTER duration]
//!    [EXECUTE WEBHOOK 'url' | INSERT INTO stream [(columns)] [VALUES (expression, ...)] | PUBLISH 'topic'
//!       | COMMAND 'name' ['argument' ...]]
//!    [WITH (option = value, ...)]
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use datafusion::sql::sqlparser::tokenizer::Token;

use super::create::{if_not_exists, new_name};
use super::options::{duration, read_options, read_value};
use super::reader::Reader;
use crate::error::{Mistake, Result, SqlError, did_you_mean};
use crate::statement::{CreateTrigger, Name, Statement};
use crate::trigger::{Action, Condition, Partition, RearmDef, StartAt, TriggerDef};

pub(super) fn read_trigger(reader: &mut Reader, or_replace: bool) -> Result<Statement> {
    reader.expect_words("TRIGGER")?;
    let if_not_exists = if_not_exists(reader);
    let name = new_name(reader, "a trigger")?;
    reader.expect_words("ON")?;
    let on = reader.name("a stream or view")?;
    let partition = read_partition(reader)?;
    reader.expect_words("WHEN")?;
    let when = read_condition(reader)?;
    let hold = if reader.take_words("FOR") { Some(read_duration(reader)?) } else { None };
    let rearm = if reader.take_words("UNTIL") {
        RearmDef::Until(read_condition(reader)?)
    } else if reader.take_words("REARM AFTER") {
        RearmDef::After(read_duration(reader)?)
    } else {
        RearmDef::Freely
    };
    let action = if reader.take_words("EXECUTE") { read_action(reader)? } else { Action::Record };
    let (start, options) = if reader.take_words("WITH") { read_with(reader)? } else { Default::default() };
    let definition = TriggerDef {
        name: name.value.clone(),
        on: on.value.clone(),
        columns: None,
        partition,
        when,
        hold,
        rearm,
        action,
        start,
        options,
        functions: None,
    };
    Ok(Statement::CreateTrigger(CreateTrigger { name, on, definition, or_replace, if_not_exists }))
}

fn read_partition(reader: &mut Reader) -> Result<Partition> {
    if !reader.take_words("PARTITION BY") {
        return Ok(Partition::OfStream);
    }
    if *reader.peek() == Token::LParen && *reader.peek_nth(1) == Token::RParen {
        reader.next();
        reader.next();
        return Ok(Partition::By(Vec::new()));
    }
    Ok(Partition::By(reader.columns()?))
}

fn read_condition(reader: &mut Reader) -> Result<Condition> {
    let position = reader.position();
    let (ast, text) = reader.expr()?;
    Ok(Condition { ast: Box::new(ast), text, position, script: reader.script().clone() })
}

fn read_duration(reader: &mut Reader) -> Result<Duration> {
    let at = reader.position();
    let text = match reader.peek() {
        // 10 MINUTES
        Token::Number(number, _) => {
            let number = number.clone();
            reader.next();
            let unit = reader.peek_word(0).unwrap_or_default();
            reader.next();
            format!("{number} {unit}")
        }
        _ => read_value(reader)?,
    };
    duration(&text).filter(|length| !length.is_zero()).ok_or_else(|| {
        SqlError::new(Mistake::Syntax, format!("'{text}' is no length of time"))
            .at(at, reader.script())
            .hint("write INTERVAL '10' MINUTE or '10 minutes'")
    })
}

fn read_action(reader: &mut Reader) -> Result<Action> {
    if reader.take_words("WEBHOOK") {
        return Ok(Action::Webhook { url: reader.string("a URL")? });
    }
    if reader.take_words("PUBLISH") {
        return Ok(Action::Publish { topic: reader.string("a topic")? });
    }
    if reader.take_words("COMMAND") {
        let name = reader.string("the name of a command")?;
        let mut arguments = Vec::new();
        while matches!(reader.peek(), Token::SingleQuotedString(_)) {
            arguments.push(reader.string("an argument")?);
        }
        return Ok(Action::Command { name, arguments });
    }
    if reader.take_words("INSERT INTO") {
        let Name { value: target, position } = reader.name("a stream")?;
        let columns = match reader.peek() {
            Token::LParen => reader.columns()?.into_iter().map(|column| column.value).collect(),
            _ => Vec::new(),
        };
        let values = if reader.take_words("VALUES") { read_values(reader)? } else { Vec::new() };
        if values.is_empty() && !columns.is_empty() {
            return Err(reader.expected("VALUES"));
        }
        return Ok(Action::Insert { target, position, columns, values });
    }
    let near = did_you_mean(
        &reader.peek_word(0).unwrap_or_default(),
        ["WEBHOOK", "INSERT INTO", "PUBLISH", "COMMAND"],
    );
    Err(reader.expected("WEBHOOK, INSERT INTO, PUBLISH or COMMAND").hint_if(near))
}

fn read_values(reader: &mut Reader) -> Result<Vec<Condition>> {
    reader.expect(&Token::LParen)?;
    let mut values = vec![read_condition(reader)?];
    while reader.take(&Token::Comma) {
        values.push(read_condition(reader)?);
    }
    reader.expect(&Token::RParen)?;
    Ok(values)
}

fn read_with(reader: &mut Reader) -> Result<(StartAt, BTreeMap<String, String>)> {
    let mut start = StartAt::default();
    let mut options = BTreeMap::new();
    for (key, value, at) in read_options(reader)? {
        if key.value == "start" {
            start = match value.to_lowercase().as_str() {
                "latest" => StartAt::Latest,
                "earliest" => StartAt::Earliest,
                _ => {
                    return Err(SqlError::new(
                        Mistake::Option,
                        format!("'{value}' is no value for the option 'start'"),
                    )
                    .at(at, reader.script())
                    .hint("latest or earliest"));
                }
            };
            continue;
        }
        options.insert(key.value, value);
    }
    Ok((start, options))
}

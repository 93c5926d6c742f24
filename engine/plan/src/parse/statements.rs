//! Reads a statement: all kinds but CREATE, which `create` reads.

use arrow::compute::kernels::cast_utils::string_to_timestamp_nanos;
use arrow::datatypes::Field;
use datafusion::sql::sqlparser::tokenizer::Token;
use headwater_core::EventTime;

use super::alarms::{read_explain_alarm, read_set_state};
use super::create::{read_create, read_new};
use super::foreign::{refuse_change, refuse_component, refuse_statement};
use super::functions::read_drop_function;
use super::options::{read_key, read_options, read_value};
use super::partitions::Partition;
use super::reader::Reader;
use super::scaling::read_alter_group;
use super::together::{read_begin, read_execute, read_set as read_statement_set};
use super::types::read_type;
use crate::error::{Mistake, Result, SqlError, did_you_mean};
use crate::statement::{
    AlterStream, ColumnChange, Drop, Explain, ExplainMode, Insert, InsertSettings, Kind, Parsed, Replay, Set,
    Show, ShowCreate, Statement, StreamChange,
};

const FIRST_WORDS: [&str; 26] = [
    "CREATE", "DROP", "ALTER", "SHOW", "DESCRIBE", "EXPLAIN", "PAUSE", "RESUME", "INSERT", "SELECT", "WITH",
    "VALUES", "SET", "REPLAY", "CANCEL", "DESC", "TEST", "EXECUTE", "BEGIN", "USE", "ADD", "RESET", "LOAD",
    "UNLOAD", "REMOVE", "ANALYZE",
];

/// Reads a statement, up to its semicolon.
pub(super) fn read_statement(reader: &mut Reader) -> Result<Parsed> {
    let position = reader.position();
    let statement = read(reader)?;
    reader.check_table_options()?;
    Ok(Parsed { statement, text: reader.text_since(position), position, script: reader.script().clone() })
}

fn read(reader: &mut Reader) -> Result<Statement> {
    refuse_statement(reader)?;
    let word = reader.peek_word(0).unwrap_or_default();
    match word.as_str() {
        "CREATE" => read_create(reader),
        "DROP" => read_drop(reader),
        "ALTER" => read_alter(reader),
        "SHOW" => read_show(reader),
        "DESCRIBE" | "DESC" => {
            reader.next();
            if reader.take_words("FUNCTION") {
                reader.take_words("EXTENDED");
                return Ok(Statement::DescribeFunction(reader.name("a function")?));
            }
            let _ = reader.take_words("EXTENDED");
            let _ = reader.take_words("TABLE") || reader.take_words("STREAM") || reader.take_words("VIEW");
            Ok(Statement::Describe(reader.name("a name")?))
        }
        "EXPLAIN" => read_explain(reader),
        "PAUSE" => {
            reader.next();
            if reader.take_words("TRIGGER") {
                return Ok(Statement::PauseTrigger(reader.name("a trigger")?));
            }
            reader.expect_words("JOB")?;
            Ok(Statement::PauseJob(reader.name("a job")?))
        }
        "RESUME" => {
            reader.next();
            if reader.take_words("TRIGGER") {
                return Ok(Statement::ResumeTrigger(reader.name("a trigger")?));
            }
            if reader.take_words("TABLE") || reader.take_words("STREAM") {
                return Ok(Statement::ResumeConnector(reader.name("a table")?));
            }
            reader.expect_words("JOB")?;
            Ok(Statement::ResumeJob(reader.name("a job")?))
        }
        "TEST" => {
            reader.next();
            reader.expect_words("TRIGGER")?;
            Ok(Statement::TestTrigger(reader.name("a trigger")?))
        }
        "EXECUTE" => read_execute(reader),
        "BEGIN" => read_begin(reader),
        "USE" | "ADD" | "REMOVE" | "RESET" | "LOAD" | "UNLOAD" | "ANALYZE" => read_passed_over(reader),
        "INSERT" => Ok(Statement::Insert(read_insert(reader)?)),
        "SET" => read_set(reader),
        "REPLAY" => read_replay(reader),
        "CANCEL" => read_cancel(reader),
        "SELECT" | "WITH" | "VALUES" | "FROM" | "TABLE" => Ok(Statement::Query(reader.query()?)),
        _ if *reader.peek() == Token::LParen => Ok(Statement::Query(reader.query()?)),
        "UPDATE" | "DELETE" | "MERGE" | "TRUNCATE" => {
            Err(SqlError::new(Mistake::Syntax, format!("there is no {word}: rows of a log do not change"))
                .at(reader.position(), reader.script())
                .hint("append a correcting event; retention removes old rows; DROP STREAM removes all"))
        }
        _ => Err(reader.expected("a statement").hint_if(did_you_mean(&word, FIRST_WORDS))),
    }
}

fn read_kind(reader: &mut Reader) -> Result<Kind> {
    let kinds = [
        ("STREAM", Kind::Stream),
        ("TABLE", Kind::Table),
        ("SOURCE", Kind::Table),
        ("VIEW", Kind::View),
        ("MATERIALIZED VIEW", Kind::MaterializedView),
        ("JOB", Kind::Job),
        ("ALARM", Kind::Alarm),
        ("COMPOSITE ALARM", Kind::Alarm),
        ("SCALING POLICY", Kind::ScalingPolicy),
        ("SCALING GROUP", Kind::ScalingGroup),
        ("ARCHIVE", Kind::Archive),
        ("TRIGGER", Kind::Trigger),
    ];
    for (words, kind) in kinds {
        if reader.take_words(words) {
            return Ok(kind);
        }
    }
    Err(reader.expected(
        "STREAM, TABLE, VIEW, MATERIALIZED VIEW, JOB, FUNCTION, TRIGGER, ALARM, SCALING POLICY, SCALING GROUP or ARCHIVE",
    ))
}

/// What scripts of Flink's say to its SQL client.
fn read_passed_over(reader: &mut Reader) -> Result<Statement> {
    if reader.take_words("USE") {
        reader.take_words("CATALOG");
        let name = reader.name("a catalog or database")?;
        let why = "there is one catalog here, and a name is what stands there, with dots or without";
        return Ok(Statement::PassedOver(format!("'{}' is passed over: {why}", name.value)));
    }
    if reader.take_words("LOAD MODULE") || reader.take_words("UNLOAD MODULE") {
        let name = reader.name("a module")?;
        let why = "functions are built in, or made by CREATE FUNCTION";
        return Ok(Statement::PassedOver(format!("'{}' is passed over: {why}", name.value)));
    }
    if reader.take_words("RESET") {
        let at_end = reader.at_end() || *reader.peek() == Token::SemiColon;
        let key = if at_end { "all settings".to_owned() } else { format!("'{}'", read_key(reader)?.value) };
        let why = "a setting is for the statements behind it in its script, and SET says another one";
        return Ok(Statement::PassedOver(format!("{key} stay as they are: {why}")));
    }
    if reader.take_words("ANALYZE") {
        reader.expect_words("TABLE")?;
        let name = reader.name("a table")?;
        while !reader.at_end() && *reader.peek() != Token::SemiColon {
            reader.next();
        }
        let why = "plans depend on no statistics";
        return Ok(Statement::PassedOver(format!("ANALYZE TABLE {} is passed over: {why}", name.value)));
    }
    if !reader.take_words("REMOVE JAR") {
        reader.expect_words("ADD JAR")?;
    }
    let jar = reader.string("a file")?;
    let why = "connectors and formats are built in, and functions are SQL or WebAssembly: CREATE FUNCTION";
    Ok(Statement::PassedOver(format!("'{jar}' is passed over: {why}")))
}

fn read_drop(reader: &mut Reader) -> Result<Statement> {
    reader.expect_words("DROP")?;
    let _ = reader.take_words("TEMPORARY SYSTEM") || reader.take_words("TEMPORARY");
    if reader.take_words("FUNCTION") {
        return read_drop_function(reader);
    }
    if reader.take_words("DATABASE") {
        reader.take_words("IF EXISTS");
        let name = reader.name("a database")?;
        let _ = reader.take_words("RESTRICT") || reader.take_words("CASCADE");
        let why = "there is one catalog here; DROP TABLE ends a table";
        return Ok(Statement::PassedOver(format!("'{}' is passed over: {why}", name.value)));
    }
    let kind = read_kind(reader)?;
    let if_exists = reader.take_words("IF EXISTS");
    Ok(Statement::Drop(Drop { kind, name: reader.name("a name")?, if_exists }))
}

fn read_alter(reader: &mut Reader) -> Result<Statement> {
    reader.expect_words("ALTER")?;
    if reader.take_words("COMPOSITE ALARM") || reader.take_words("ALARM") {
        return read_set_state(reader);
    }
    if reader.take_words("SCALING GROUP") {
        return read_alter_group(reader);
    }
    if !reader.take_words("TABLE") && !reader.take_words("STREAM") {
        let replaced = ["JOB", "TRIGGER", "SCALING POLICY", "MATERIALIZED VIEW", "VIEW", "FUNCTION"];
        let hint = replaced.into_iter().find(|kind| reader.sees(kind)).map(replaces);
        return Err(reader.expected("STREAM, TABLE, ALARM, COMPOSITE ALARM or SCALING GROUP").hint_if(hint));
    }
    let if_exists = reader.take_words("IF EXISTS");
    let name = reader.name("a stream")?;
    refuse_change(reader)?;
    let change = if reader.take_words("ADD") {
        let in_parentheses = reader.take(&Token::LParen);
        if !in_parentheses {
            reader.take_words("COLUMN");
        }
        reader.written_names.clear();
        let column = reader.declared_column()?;
        let kind = read_type(reader)?;
        let names = std::mem::take(&mut reader.written_names);
        let nullable = !reader.take_words("NOT NULL");
        if in_parentheses && !reader.take(&Token::RParen) {
            return Err(reader.expected("')': columns are added one at a time"));
        }
        if reader.sees("FIRST") || reader.sees("AFTER") {
            return Err(reader.expected("';' or the end: a new column is the last one"));
        }
        StreamChange::AddColumn(Field::new(column.value, kind, nullable), names)
    } else if reader.take_words("MODIFY") {
        read_modify(reader)?
    } else if reader.take_words("ALTER") {
        read_retype(reader)?
    } else if reader.take_words("SET") {
        StreamChange::SetOptions(
            read_options(reader)?.into_iter().map(|(key, value, _)| (key, value)).collect(),
        )
    } else {
        return Err(reader.expected("ADD COLUMN, MODIFY, ALTER COLUMN or SET"));
    };
    Ok(Statement::AlterStream(AlterStream { name, change, if_exists }))
}

/// What follows on `MODIFY`: a column as it is to be, or several in parentheses.
fn read_modify(reader: &mut Reader) -> Result<StreamChange> {
    let in_parentheses = reader.take(&Token::LParen);
    if !in_parentheses {
        reader.take_words("COLUMN");
    }
    reader.written_names.clear();
    let mut columns = Vec::new();
    loop {
        refuse_component(reader)?;
        let name = reader.declared_column()?;
        let kind = read_type(reader)?;
        columns.push(ColumnChange { name, kind, nullable: Some(!reader.take_words("NOT NULL")) });
        if reader.sees("FIRST") || reader.sees("AFTER") {
            return Err(reader.expected("',' or the end: a column keeps its place"));
        }
        if !in_parentheses || !reader.take(&Token::Comma) {
            break;
        }
    }
    if in_parentheses {
        reader.expect(&Token::RParen)?;
    }
    Ok(StreamChange::ModifyColumns(columns, std::mem::take(&mut reader.written_names)))
}

/// What follows on `ALTER` as PostgreSQL has it: `COLUMN name TYPE type`.
fn read_retype(reader: &mut Reader) -> Result<StreamChange> {
    reader.take_words("COLUMN");
    reader.written_names.clear();
    let name = reader.declared_column()?;
    reader.take_words("SET DATA");
    reader.expect_words("TYPE")?;
    let kind = read_type(reader)?;
    if reader.sees("USING") {
        return Err(reader.expected("the end: rows that are there keep their values"));
    }
    let change = ColumnChange { name, kind, nullable: None };
    Ok(StreamChange::ModifyColumns(vec![change], std::mem::take(&mut reader.written_names)))
}

/// How what is there gets another definition.
pub(super) fn replaces(kind: &str) -> String {
    format!("CREATE OR REPLACE {kind} gives it another definition")
}

fn read_show(reader: &mut Reader) -> Result<Statement> {
    reader.expect_words("SHOW")?;
    if reader.take_words("CREATE") {
        let kind = if reader.take_words("FUNCTION") { None } else { Some(read_kind(reader)?) };
        return Ok(Statement::ShowCreate(ShowCreate { kind, name: reader.name("a name")? }));
    }
    let kinds = [
        ("STREAMS", Show::Streams),
        ("TABLES", Show::Tables),
        ("SYSTEM TABLES", Show::SystemTables),
        ("JOBS", Show::Jobs),
        ("VIEWS", Show::Views),
        ("MATERIALIZED VIEWS", Show::Views),
        ("FUNCTIONS", Show::Functions),
        ("USER FUNCTIONS", Show::UserFunctions),
        ("ALARMS", Show::Alarms),
        ("SCALING GROUPS", Show::ScalingGroups),
        ("SCALING POLICIES", Show::ScalingPolicies),
        ("ARCHIVES", Show::Archives),
        ("TRIGGERS", Show::Triggers),
    ];
    for (words, what) in kinds {
        if reader.take_words(words) {
            return Ok(Statement::Show(what));
        }
    }
    let near = did_you_mean(&reader.peek_word(0).unwrap_or_default(), kinds.map(|(words, _)| words));
    Err(reader
        .expected("STREAMS, TABLES, SYSTEM TABLES, JOBS, TRIGGERS, VIEWS, ALARMS, SCALING GROUPS, FUNCTIONS or ARCHIVES")
        .hint_if(near))
}

fn read_explain(reader: &mut Reader) -> Result<Statement> {
    reader.expect_words("EXPLAIN")?;
    if reader.sees("ALARM") {
        return read_explain_alarm(reader);
    }
    if reader.take_words("REPLACE") {
        return read_explain_replace(reader);
    }
    let mode = if reader.take_words("BATCH") {
        ExplainMode::Batch
    } else if reader.take_words("ANALYZE") {
        ExplainMode::Analyze
    } else {
        let _ = reader.take_words("STREAMING") || reader.take_words("PLAN FOR");
        pass_details(reader);
        ExplainMode::Streaming
    };
    let inner = if reader.sees("STATEMENT") {
        let position = reader.position();
        reader.expect_words("STATEMENT SET BEGIN")?;
        let statement = read_statement_set(reader)?;
        Parsed { statement, text: reader.text_since(position), position, script: reader.script().clone() }
    } else {
        read_statement(reader)?
    };
    match inner.statement {
        Statement::Query(_)
        | Statement::Insert(_)
        | Statement::CreateJob(_)
        | Statement::CreateMaterializedView(_)
        | Statement::CreateTrigger(_)
        | Statement::Together(_)
        | Statement::CreateView(_) => Ok(Statement::Explain(Explain { mode, statement: Box::new(inner) })),
        _ => Err(SqlError::new(Mistake::Syntax, "only queries and what runs them have a plan")
            .at(inner.position, reader.script())
            .hint("EXPLAIN SELECT ..., EXPLAIN INSERT INTO ..., EXPLAIN CREATE JOB ...")),
    }
}

/// What Flink's users ask for besides the plan: how rows change stands in it anyhow, and the others are its optimiser's.
fn pass_details(reader: &mut Reader) {
    const DETAILS: [&str; 4] = ["ESTIMATED_COST", "CHANGELOG_MODE", "PLAN_ADVICE", "JSON_EXECUTION_PLAN"];
    while DETAILS.iter().any(|detail| reader.take_words(detail)) {
        reader.take(&Token::Comma);
    }
}

/// `EXPLAIN REPLACE JOB name AS ...`; the statement may also be written as it would be run.
fn read_explain_replace(reader: &mut Reader) -> Result<Statement> {
    let position = reader.position();
    let _ = reader.take_words("CREATE OR REPLACE") || reader.take_words("CREATE");
    let statement = read_new(reader, true)?;
    if !matches!(
        statement,
        Statement::CreateJob(_)
            | Statement::CreateMaterializedView(_)
            | Statement::CreateTrigger(_)
            | Statement::CreateAlarm(_)
            | Statement::CreateScalingPolicy(_)
            | Statement::CreateScalingGroup(_)
    ) {
        let message = "only a job, a trigger, an alarm, a scaling group or policy, or a materialized view has state that could be kept";
        return Err(SqlError::new(Mistake::Syntax, message)
            .at(position, reader.script())
            .hint("EXPLAIN REPLACE JOB name AS INSERT INTO ..."));
    }
    let (text, script) = (reader.text_since(position), reader.script().clone());
    let statement = Box::new(Parsed { statement, text, position, script });
    Ok(Statement::Explain(Explain { mode: ExplainMode::Replace, statement }))
}

/// `INSERT INTO target [PARTITION (column = constant, ...)] [(columns)] query`.
pub(super) fn read_insert(reader: &mut Reader) -> Result<Insert> {
    let start = reader.position();
    reader.expect_words("INSERT")?;
    reader.expect_words("INTO")?;
    reader.take_words("TABLE");
    let target = reader.name("a stream or table")?;
    let partition = Partition::read(reader)?;
    let names_columns = *reader.peek() == Token::LParen
        && !matches!(reader.peek_word(1).as_deref(), Some("SELECT" | "WITH" | "VALUES"));
    let mut columns = if names_columns { reader.columns()? } else { Vec::new() };
    let mut query = reader.query()?;
    let text = reader.text_since(start);
    partition.fill(&mut query.ast, &mut columns, reader)?;
    Ok(Insert { target, columns, query, text, settings: InsertSettings::default() })
}

fn read_set(reader: &mut Reader) -> Result<Statement> {
    reader.expect_words("SET")?;
    let key = read_key(reader)?;
    if !reader.take(&Token::Eq) && !reader.take_words("TO") {
        return Err(reader.expected("'='"));
    }
    Ok(Statement::Set(Set { key, value: read_value(reader)? }))
}

fn read_replay(reader: &mut Reader) -> Result<Statement> {
    reader.expect_words("REPLAY")?;
    if !["ALARM", "SCALING GROUP", "TRIGGER"].iter().any(|kind| reader.take_words(kind)) {
        reader.expect_words("JOB")?;
    }
    let job = reader.name("a job")?;
    let (from, to, into, speed, effects, definition) = Default::default();
    let mut replay = Replay { job, from, to, into, speed, effects, definition };
    loop {
        if reader.take_words("FROM") {
            replay.from = Some(read_time(reader)?);
        } else if reader.take_words("TO") {
            replay.to = Some(read_time(reader)?);
        } else if reader.take_words("INTO") {
            replay.into = Some(reader.name("a stream")?);
        } else if reader.take_words("AT FULL SPEED") {
            replay.speed = None;
        } else if reader.take_words("AT SPEED") {
            replay.speed = Some(read_speed(reader)?);
        } else if reader.take_words("WITH EFFECTS") {
            replay.effects = reader.columns()?;
        } else if reader.take_words("AS") {
            // All that follows is the other definition.
            let begins = reader.position();
            read(reader)?;
            replay.definition = Some(reader.text_since(begins));
            break;
        } else {
            break;
        }
    }
    if let (Some(from), Some(to)) = (replay.from, replay.to)
        && from >= to
    {
        return Err(SqlError::new(Mistake::Definition, format!("the stretch from {from} to {to} is empty"))
            .at(replay.job.position, reader.script()));
    }
    Ok(Statement::Replay(replay))
}

/// `CANCEL REPLAY number`.
fn read_cancel(reader: &mut Reader) -> Result<Statement> {
    reader.expect_words("CANCEL")?;
    reader.expect_words("REPLAY")?;
    let at = reader.position();
    let text = read_value(reader)?;
    let number = text.parse().map_err(|_| {
        SqlError::new(Mistake::Type, format!("'{text}' is no number of a replay"))
            .at(at, reader.script())
            .hint("SELECT id, job FROM system.replays")
    })?;
    Ok(Statement::CancelReplay(number))
}

/// How many times as fast as real time.
fn read_speed(reader: &mut Reader) -> Result<f64> {
    let at = reader.position();
    let text = read_value(reader)?;
    let speed = text.parse::<f64>().ok().filter(|speed| speed.is_finite() && *speed > 0.0);
    speed.ok_or_else(|| {
        SqlError::new(Mistake::Type, format!("'{text}' is no speed"))
            .at(at, reader.script())
            .hint("AT SPEED 60 lets a minute pass in a second; AT FULL SPEED waits for nothing")
    })
}

/// `'2013-07-01'` or TIMESTAMP '2013-07-01 12:00:00', in UTC unless it says otherwise.
pub(super) fn read_time(reader: &mut Reader) -> Result<EventTime> {
    reader.take_words("TIMESTAMP");
    let at = reader.position();
    let text = reader.string("a time such as '2013-07-01 12:00:00'")?;
    time_of(&text).ok_or_else(|| {
        SqlError::new(Mistake::Type, format!("'{text}' is no time"))
            .at(at, reader.script())
            .hint("write it as '2013-07-01 12:00:00'")
    })
}

/// A time as people write it, in UTC unless it says otherwise.
pub(super) fn time_of(text: &str) -> Option<EventTime> {
    string_to_timestamp_nanos(text).ok().map(EventTime)
}

//! PostgreSQL: a flush is an `INSERT … SELECT FROM UNNEST(…)` with an array for each column, however many rows there are.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use headwater_connectors::ConnectorError;
use headwater_core::{Sequence, ShardId};
use sqlx::postgres::{PgArguments, PgConnection, PgRow};
use sqlx::{Arguments, AssertSqlSafe, Row};

use crate::cells::Cells;
use crate::fault::Fault;
use crate::kind::{DIGITS_MAX, Kind};
use crate::session::{Change, Owner, POSITIONS, Question, Session, Spec, positions_of};
use crate::statements::{Statements, values};
use crate::table::{Column, Ours, TableName, check, check_key, check_names, quoted};

const COLUMNS: &str = "SELECT a.attname::text, COALESCE(b.typname, t.typname)::text, \
     format_type(a.atttypid, a.atttypmod), format_type(a.atttypid, NULL), \
     COALESCE(b.typtype, t.typtype) = 'e', CASE WHEN t.typtype = 'd' THEN t.typtypmod ELSE a.atttypmod END, \
     a.attnotnull AND NOT a.atthasdef AND a.attidentity = '' \
     FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_type b ON b.oid = NULLIF(t.typbasetype, 0) \
     WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";

const UNIQUE: &str = "SELECT ARRAY(SELECT a.attname::text FROM pg_attribute a \
     WHERE a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey[0:i.indnkeyatts - 1])) \
     FROM pg_index i WHERE i.indrelid = to_regclass($1) AND i.indisunique AND i.indisvalid AND i.indimmediate \
     AND i.indpred IS NULL AND i.indexprs IS NULL";

/// A connection to PostgreSQL.
pub(crate) struct Postgres {
    statements: Statements<sqlx::Postgres>,
    write: Arc<str>,
    delete: Arc<str>,
    question: Arc<str>,
    /// The table of positions, as statements name it.
    positions: String,
}

impl Postgres {
    pub(crate) fn new(connection: PgConnection, shown: String) -> Self {
        Self {
            statements: Statements::new(connection, shown),
            write: "".into(),
            delete: "".into(),
            question: "".into(),
            positions: String::new(),
        }
    }

    async fn columns(&mut self, table: &TableName) -> Result<Vec<(Column, String)>, ConnectorError> {
        let rows = self.statements.fetch(COLUMNS, arguments([table.quoted('"', None)])).await?;
        let column = |row: &PgRow| {
            let type_name: String = row.try_get(1)?;
            let modifier: i32 = row.try_get(5)?;
            let column = Column {
                name: row.try_get(0)?,
                shown: row.try_get(2)?,
                is_enum: row.try_get(4)?,
                digits: digits(&type_name, modifier),
                // The lower bits of what numeric's modifier is, without the four bytes of a header; they have a sign.
                scale: (type_name == "numeric" && modifier >= 4)
                    .then(|| ((((modifier - 4) & 0x7ff) ^ 1024) - 1024) as i16),
                is_required: row.try_get(6)?,
                type_name,
            };
            Ok((column, row.try_get(3)?))
        };
        rows.iter().map(|row| self.statements.read(column(row))).collect()
    }

    async fn create(&mut self, spec: &Spec) -> Result<(), ConnectorError> {
        let column = |our: &Ours| {
            let null = if our.is_nullable { "" } else { " NOT NULL" };
            format!("{} {}{null}", quoted(&our.name, '"'), type_of(our.kind))
        };
        let mut parts: Vec<_> = spec.ours.iter().map(column).collect();
        if !spec.key.is_empty() {
            parts.push(format!("PRIMARY KEY ({})", names(spec.key.iter())));
        }
        let table = spec.table.quoted('"', None);
        let sql = format!("CREATE TABLE IF NOT EXISTS {table} ({})", parts.join(", "));
        self.create_once(sql).await
    }

    /// Two who create the same table at once are told apart by an error about the catalog's own keys.
    async fn create_once(&mut self, sql: String) -> Result<(), ConnectorError> {
        match self.statements.write(AssertSqlSafe(sql), PgArguments::default()).await {
            Ok(_) => Ok(()),
            Err(Fault::Row(reason)) => Err(ConnectorError::outage(self.statements.shown(), reason)),
            Err(Fault::Connector(error)) => Err(error),
        }
    }

    fn build(&mut self, spec: &Spec, theirs: &[(Column, String)]) {
        let table = spec.table.quoted('"', None);
        let cast_of = |our: &Ours| theirs.iter().find(|(column, _)| column.name == our.name);
        let expr = |(nth, our): (usize, &Ours)| match cast_of(our) {
            Some((column, cast)) if needs_cast(our.kind, column) => format!("u.c{nth}::{cast}"),
            _ => format!("u.c{nth}"),
        };
        let unnest = |ours: &[&Ours]| {
            let array = |(nth, our): (usize, &&Ours)| format!("${}::{}[]", nth + 1, sent_as(our.kind));
            let arrays: Vec<_> = ours.iter().enumerate().map(array).collect();
            let columns: Vec<_> = (0..ours.len()).map(|nth| format!("c{nth}")).collect();
            format!("UNNEST({}) AS u({})", arrays.join(", "), columns.join(", "))
        };
        let ours: Vec<&Ours> = spec.ours.iter().collect();
        let exprs: Vec<_> = ours.iter().copied().enumerate().map(expr).collect();
        let mut write = format!(
            "INSERT INTO {table} ({}) SELECT {} FROM {}",
            names(ours.iter().map(|our| &our.name)),
            exprs.join(", "),
            unnest(&ours)
        );
        let keys: Vec<&Ours> = ours.iter().copied().filter(|our| our.is_key).collect();
        if !keys.is_empty() {
            let set = ours.iter().filter(|our| !our.is_key).map(|our| quoted(&our.name, '"'));
            let set: Vec<_> = set.map(|name| format!("{name} = EXCLUDED.{name}")).collect();
            let then =
                if set.is_empty() { "NOTHING".into() } else { format!("UPDATE SET {}", set.join(", ")) };
            write.push_str(&format!(" ON CONFLICT ({}) DO {then}", names(spec.key.iter())));
            let same = keys.iter().copied().enumerate();
            let same = same.map(|(nth, our)| format!("t.{} = {}", quoted(&our.name, '"'), expr((nth, our))));
            let same: Vec<_> = same.collect();
            let delete =
                format!("DELETE FROM {table} AS t USING {} WHERE {}", unnest(&keys), same.join(" AND "));
            self.delete = delete.into();
        }
        self.write = write.into();
        self.positions = spec.table.quoted('"', Some(POSITIONS));
    }
}

#[async_trait]
impl Session for Postgres {
    async fn prepare(&mut self, spec: &Spec) -> Result<(), ConnectorError> {
        let mut theirs = self.columns(&spec.table).await?;
        if theirs.is_empty() && spec.create {
            self.create(spec).await?;
            theirs = self.columns(&spec.table).await?;
        }
        let columns: Vec<Column> = theirs.iter().map(|(column, _)| column.clone()).collect();
        spec.check_is_there(&columns, self.statements.shown())?;
        let table = spec.table.to_string();
        check(&table, &spec.ours, &columns, fits)?;
        if !spec.key.is_empty() {
            let rows = self.statements.fetch(UNIQUE, arguments([spec.table.quoted('"', None)])).await?;
            let unique: Vec<Vec<String>> = self.statements.read(values(&rows, 0))?;
            // ON CONFLICT names the key, so that other unique columns only make rows be refused.
            check_key(&table, &spec.key, &spec.ours, &unique, false)?;
        }
        self.build(spec, &theirs);
        Ok(())
    }

    async fn positions(&mut self, owner: &Owner) -> Result<BTreeMap<ShardId, Sequence>, ConnectorError> {
        let there =
            self.statements.fetch("SELECT to_regclass($1) IS NOT NULL", arguments([self.positions.clone()]));
        let there = there.await?;
        let there = there.first().map(|row| self.statements.read(row.try_get::<bool, _>(0))).transpose()?;
        if there != Some(true) {
            let sql = format!(
                "CREATE TABLE IF NOT EXISTS {} (sink text NOT NULL, stream bigint NOT NULL, shard integer NOT NULL, \
                 next bigint NOT NULL, PRIMARY KEY (sink, stream, shard))",
                self.positions
            );
            self.create_once(sql).await?;
        }
        let sql = format!("SELECT shard, next FROM {} WHERE sink = $1 AND stream = $2", self.positions);
        let mut wanted = arguments([owner.sink.clone()]);
        self.statements.read(wanted.add(owner.created).map_err(sqlx::Error::Encode))?;
        let rows = self.statements.fetch(AssertSqlSafe(sql), wanted).await?;
        let shards = self.statements.read(values(&rows, 0))?;
        let next = self.statements.read(values(&rows, 1))?;
        Ok(positions_of(shards, next))
    }

    async fn begin(&mut self) -> Result<(), ConnectorError> {
        // Constraints that wait for the commit would be told when no row can be named any more.
        self.run("BEGIN ISOLATION LEVEL READ COMMITTED; SET CONSTRAINTS ALL IMMEDIATE").await
    }

    async fn advance(
        &mut self,
        owner: &Owner,
        shard: ShardId,
        from: Option<Sequence>,
        to: Sequence,
    ) -> Result<bool, ConnectorError> {
        let table = &self.positions;
        let sql = match from {
            Some(_) => format!(
                "UPDATE {table} SET next = $4 WHERE sink = $1 AND stream = $2 AND shard = $3 AND next = $5"
            ),
            None => format!(
                "INSERT INTO {table} (sink, stream, shard, next) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING"
            ),
        };
        let mut arguments = arguments([owner.sink.clone()]);
        let mut numbers = [Some(to), from].into_iter().flatten().map(|sequence| sequence.0.cast_signed());
        let added = arguments
            .add(owner.created)
            .and_then(|()| arguments.add(shard.0.cast_signed()))
            .and_then(|()| numbers.try_for_each(|number| arguments.add(number)));
        self.statements.read(added.map_err(sqlx::Error::Encode))?;
        let moved = self.statements.execute(AssertSqlSafe(sql), arguments).await?;
        Ok(moved == 1)
    }

    async fn run(&mut self, sql: &'static str) -> Result<(), ConnectorError> {
        self.statements.run(sql).await
    }

    async fn send(&mut self, change: Change, rows: &[Cells]) -> Result<(), Fault> {
        let sql = match change {
            Change::Write => Arc::clone(&self.write),
            Change::Delete => Arc::clone(&self.delete),
        };
        let mut arguments = PgArguments::default();
        for cells in rows {
            add(&mut arguments, cells).map_err(|error| self.statements.fault(sqlx::Error::Encode(error)))?;
        }
        self.statements.write(AssertSqlSafe(sql), arguments).await.map(drop)
    }

    async fn prepare_question(&mut self, question: &Question) -> Result<(), ConnectorError> {
        let theirs = self.columns(&question.table).await?;
        let columns: Vec<Column> = theirs.iter().map(|(column, _)| column.clone()).collect();
        question.check_is_there(&columns, self.statements.shown())?;
        check_names(&question.table.to_string(), &question.columns, &columns)?;
        let wanted =
            question.columns.iter().map(|our| format!("t.{}{}", quoted(&our.name, '"'), read_as(our.kind)));
        let cast_of = |our: &Ours| theirs.iter().find(|(column, _)| column.name == our.name);
        let same = question.keys.iter().enumerate().map(|(nth, our)| {
            let cast = cast_of(our).filter(|(column, _)| needs_cast(our.kind, column));
            let cast = cast.map(|(_, cast)| format!("::{cast}")).unwrap_or_default();
            format!("t.{} = u.c{nth}{cast}", quoted(&our.name, '"'))
        });
        let arrays = question.keys.iter().enumerate();
        let arrays = arrays.map(|(nth, our)| format!("${}::{}[]", nth + 1, sent_as(our.kind)));
        let columns = (0..question.keys.len()).map(|nth| format!("c{nth}"));
        let join = |parts: &mut dyn Iterator<Item = String>, by: &str| parts.collect::<Vec<_>>().join(by);
        let wanted = join(&mut { wanted }, ", ");
        let mut sql = format!("SELECT {wanted} FROM {} AS t", question.table.quoted('"', None));
        if question.keys.is_empty() {
            sql.push_str(&question.of_some_key('"'));
        } else {
            sql.push_str(&format!(
                " JOIN UNNEST({}) AS u({}) ON {}",
                join(&mut { arrays }, ", "),
                join(&mut { columns }, ", "),
                join(&mut { same }, " AND "),
            ));
        }
        self.question = sql.into();
        Ok(())
    }

    async fn ask(&mut self, question: &Question, keys: &[Cells]) -> Result<Vec<Cells>, Fault> {
        let mut arguments = PgArguments::default();
        for cells in keys {
            self.statements.read(add(&mut arguments, cells).map_err(sqlx::Error::Encode))?;
        }
        let sql = AssertSqlSafe(Arc::clone(&self.question));
        let rows = self.statements.try_fetch(sql, arguments).await.map_err(|error| match &error {
            sqlx::Error::Database(said) if is_about_a_text(&**said) => self.statements.fault(error),
            // What else is wrong with values is wrong with those of the table.
            _ => self.statements.fault(error).whole(self.statements.shown()).into(),
        })?;
        Ok(self.statements.read(columns_of(&rows, question))?)
    }

    async fn read_all(
        &mut self,
        question: &Question,
        patience: Duration,
        rows: &mut (dyn FnMut(Vec<Cells>) -> Result<(), ConnectorError> + Send),
    ) -> Result<(), ConnectorError> {
        let sql = AssertSqlSafe(Arc::clone(&self.question));
        self.statements.each(sql, patience, |found| columns_of(found, question), rows).await
    }

    async fn close(self: Box<Self>) {
        self.statements.close().await;
    }
}

/// Whether a text, or a number, is none of the type that it is cast to: no UUID, no time, out of range, no text of PostgreSQL's.
fn is_about_a_text(error: &dyn sqlx::error::DatabaseError) -> bool {
    let codes = ["22P02", "22P03", "22003", "22007", "22008", "22009", "22021"];
    error.code().is_some_and(|code| codes.contains(&&*code))
}

fn arguments<const N: usize>(texts: [String; N]) -> PgArguments {
    let mut arguments = PgArguments::default();
    for text in texts {
        // A text can always be written.
        let _ = arguments.add(text);
    }
    arguments
}

fn add(arguments: &mut PgArguments, cells: &Cells) -> Result<(), sqlx::error::BoxDynError> {
    match cells {
        Cells::Bool(cells) => arguments.add(cells),
        Cells::Int(cells) => arguments.add(cells),
        Cells::Float(cells) => arguments.add(cells),
        Cells::Double(cells) => arguments.add(cells),
        Cells::Text(cells) => arguments.add(cells),
        Cells::Bytes(cells) => arguments.add(cells),
        Cells::Date(cells) => arguments.add(cells),
        Cells::Time(cells) => arguments.add(cells),
        Cells::Moment(cells) => arguments.add(cells),
        Cells::Instant(cells) => arguments.add(cells),
    }
}

fn names<'a>(names: impl Iterator<Item = &'a String>) -> String {
    names.map(|name| quoted(name, '"')).collect::<Vec<_>>().join(", ")
}

/// How many digits of a second a column keeps.
fn digits(type_name: &str, modifier: i32) -> Option<u8> {
    match type_name {
        "timestamp" | "timestamptz" | "time" => Some(u8::try_from(modifier).unwrap_or(DIGITS_MAX)),
        _ => None,
    }
}

/// The type of the elements of the array that is sent.
fn sent_as(kind: Kind) -> &'static str {
    match kind {
        Kind::Bool => "boolean",
        Kind::Unsigned(64) | Kind::Decimal(..) | Kind::Text | Kind::Json => "text",
        Kind::Int(_) | Kind::Unsigned(_) => "bigint",
        Kind::Float => "real",
        Kind::Double => "double precision",
        Kind::Bytes => "bytea",
        Kind::Date => "date",
        Kind::Time => "time",
        Kind::Moment(_) => "timestamp",
        Kind::Instant(_) => "timestamptz",
    }
}

/// What a column is read as.
fn read_as(kind: Kind) -> String {
    match kind {
        Kind::Bool => String::new(),
        other => format!("::{}", sent_as(other)),
    }
}

/// The columns of what was answered.
fn columns_of(rows: &[PgRow], question: &Question) -> Result<Vec<Cells>, sqlx::Error> {
    question.columns.iter().enumerate().map(|(nth, our)| cells_of(rows, nth, our.kind)).collect()
}

/// A column of what was answered.
fn cells_of(rows: &[PgRow], nth: usize, kind: Kind) -> Result<Cells, sqlx::Error> {
    Ok(match kind {
        Kind::Bool => Cells::Bool(values(rows, nth)?),
        Kind::Unsigned(64) | Kind::Decimal(..) | Kind::Text | Kind::Json => Cells::Text(values(rows, nth)?),
        Kind::Int(_) | Kind::Unsigned(_) => Cells::Int(values(rows, nth)?),
        Kind::Float => Cells::Float(values(rows, nth)?),
        Kind::Double => Cells::Double(values(rows, nth)?),
        Kind::Bytes => Cells::Bytes(values(rows, nth)?),
        Kind::Date => Cells::Date(values(rows, nth)?),
        Kind::Time => Cells::Time(values(rows, nth)?),
        Kind::Moment(_) => Cells::Moment(values(rows, nth)?),
        Kind::Instant(_) => Cells::Instant(values(rows, nth)?),
    })
}

/// Whether what is sent becomes the column's type only by a cast. A cast to a text type of some length would cut texts off; what an INSERT
/// does by itself refuses them.
fn needs_cast(kind: Kind, column: &Column) -> bool {
    let is_text = matches!(column.type_name.as_str(), "text" | "varchar" | "bpchar" | "citext" | "name");
    sent_as(kind) == "text" && !is_text
}

fn fits(kind: Kind, column: &Column) -> bool {
    let name = column.type_name.as_str();
    let one_of = |names: &[&str]| names.contains(&name);
    match kind {
        Kind::Bool => name == "bool",
        Kind::Int(_) | Kind::Unsigned(_) => match (kind.bits().unwrap_or(u8::MAX), name) {
            (_, "numeric") => true,
            (bits, "int2") => bits <= 16,
            (bits, "int4" | "float8") => bits <= 32,
            (bits, "int8") => bits <= 64,
            _ => false,
        },
        Kind::Float => one_of(&["float4", "float8"]),
        Kind::Double => name == "float8",
        Kind::Decimal(_, scale) => {
            name == "numeric" && column.scale.is_none_or(|own| own >= i16::from(scale))
        }
        Kind::Text => {
            let others = [
                "text", "varchar", "bpchar", "citext", "name", "json", "jsonb", "uuid", "xml", "inet",
                "cidr", "macaddr", "interval", "ltree",
            ];
            column.is_enum || one_of(&others)
        }
        Kind::Bytes => name == "bytea",
        Kind::Date => name == "date",
        Kind::Time => name == "time" && column.digits >= Some(DIGITS_MAX),
        Kind::Moment(digits) | Kind::Instant(digits) => {
            one_of(&["timestamp", "timestamptz"]) && column.digits >= Some(digits.min(DIGITS_MAX))
        }
        Kind::Json => one_of(&["json", "jsonb", "text"]),
    }
}

fn type_of(kind: Kind) -> String {
    match kind {
        Kind::Bool => "boolean".into(),
        Kind::Unsigned(64) => "numeric(20, 0)".into(),
        Kind::Int(_) | Kind::Unsigned(_) => match kind.bits().unwrap_or(u8::MAX) {
            ..=16 => "smallint".into(),
            17..=32 => "integer".into(),
            _ => "bigint".into(),
        },
        Kind::Float => "real".into(),
        Kind::Double => "double precision".into(),
        Kind::Decimal(precision, scale) => format!("numeric({precision}, {scale})"),
        Kind::Text => "text".into(),
        Kind::Bytes => "bytea".into(),
        Kind::Date => "date".into(),
        Kind::Time => "time".into(),
        Kind::Moment(digits) => format!("timestamp({})", digits.min(DIGITS_MAX)),
        Kind::Instant(digits) => format!("timestamptz({})", digits.min(DIGITS_MAX)),
        Kind::Json => "jsonb".into(),
    }
}

//! MySQL and MariaDB: rows go in statements of many rows each, within what the server takes at a time.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use headwater_connectors::ConnectorError;
use headwater_core::{Sequence, ShardId};
use sqlx::mysql::{MySqlArguments, MySqlConnection, MySqlRow};
use sqlx::{Arguments, AssertSqlSafe, Row};

use crate::cells::Cells;
use crate::fault::Fault;
use crate::kind::{DIGITS_MAX, Kind};
use crate::session::{Change, Owner, POSITIONS, Question, Session, Spec, positions_of};
use crate::statements::{Statements, values};
use crate::table::{Column, Ours, TableName, check, check_key, check_names, quoted};

/// How many rows a statement has at most. A power of two, as are all smaller ones, so that few statements are prepared.
const ROWS_MAX: usize = 512;

/// How many placeholders the protocol takes.
const PLACEHOLDERS_MAX: usize = 65_535;

const COLUMNS: &str = "SELECT CAST(column_name AS CHAR), CAST(data_type AS CHAR), CAST(column_type AS CHAR), \
     CAST(COALESCE(datetime_precision, -1) AS SIGNED), CAST(COALESCE(numeric_scale, -1) AS SIGNED), \
     CAST(is_nullable = 'NO' AND column_default IS NULL AND extra NOT LIKE '%auto_increment%' \
     AND extra NOT LIKE '%GENERATED%' AS SIGNED) \
     FROM information_schema.columns WHERE table_schema = COALESCE(?, DATABASE()) AND table_name = ? \
     ORDER BY ordinal_position";

const UNIQUE: &str = "SELECT CAST(index_name AS CHAR), CAST(column_name AS CHAR) FROM information_schema.statistics \
     WHERE table_schema = COALESCE(?, DATABASE()) AND table_name = ? AND non_unique = 0 ORDER BY index_name, seq_in_index";

const ENGINE: &str = "SELECT CAST(COALESCE(t.engine, 'none') AS CHAR), CAST(COALESCE(e.transactions = 'YES', 0) AS SIGNED) \
     FROM information_schema.tables t LEFT JOIN information_schema.engines e ON e.engine = t.engine \
     WHERE t.table_schema = COALESCE(?, DATABASE()) AND t.table_name = ?";

/// Values that do not fit are errors and not cut off or guessed at.
const STRICT: &str = "SET SESSION sql_mode = CONCAT(@@sql_mode, \
     ',STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO')";

/// A connection to MySQL.
pub(crate) struct MySql {
    statements: Statements<sqlx::MySql>,
    /// How many bytes the server takes in one statement.
    packet: usize,
    /// The statement that writes, before the rows' values and after them.
    write: (String, String),
    /// The statement that deletes, before the keys' values.
    delete: String,
    /// The statement that asks, before the keys' values.
    question: String,
    /// The table of positions, as statements name it.
    positions: String,
}

impl MySql {
    pub(crate) fn new(connection: MySqlConnection, shown: String) -> Self {
        Self {
            statements: Statements::new(connection, shown),
            packet: 1 << 20,
            write: Default::default(),
            delete: String::new(),
            question: String::new(),
            positions: String::new(),
        }
    }

    async fn columns(&mut self, table: &TableName) -> Result<Vec<Column>, ConnectorError> {
        let rows = self.statements.fetch(COLUMNS, of(table)).await?;
        let column = |row: &MySqlRow| {
            let (digits, scale): (i64, i64) = (row.try_get(3)?, row.try_get(4)?);
            let type_name: String = row.try_get(1)?;
            Ok(Column {
                name: row.try_get(0)?,
                shown: row.try_get(2)?,
                is_enum: matches!(type_name.as_str(), "enum" | "set"),
                digits: u8::try_from(digits).ok(),
                scale: i16::try_from(scale).ok().filter(|scale| *scale >= 0),
                is_required: row.try_get::<i64, _>(5)? != 0,
                type_name,
            })
        };
        rows.iter().map(|row| self.statements.read(column(row))).collect()
    }

    async fn create(&mut self, spec: &Spec) -> Result<(), ConnectorError> {
        let column = |our: &Ours| {
            let null = if our.is_nullable { "" } else { " NOT NULL" };
            // Without NULL the first timestamp of a table would have a default of its own.
            format!("{} {}{null}", quoted(&our.name, '`'), type_of(our))
        };
        let mut parts: Vec<_> = spec.ours.iter().map(column).collect();
        if !spec.key.is_empty() {
            parts.push(format!("PRIMARY KEY ({})", names(spec.key.iter())));
        }
        let table = spec.table.quoted('`', None);
        let sql = format!(
            "CREATE TABLE IF NOT EXISTS {table} ({}) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin",
            parts.join(", ")
        );
        self.statements.execute(AssertSqlSafe(sql), MySqlArguments::default()).await.map(drop)
    }

    async fn check_engine(&mut self, spec: &Spec) -> Result<(), ConnectorError> {
        let rows = self.statements.fetch(ENGINE, of(&spec.table)).await?;
        let Some(row) = rows.first() else { return Ok(()) };
        let engine: String = self.statements.read(row.try_get(0))?;
        let transactions: i64 = self.statements.read(row.try_get(1))?;
        if transactions == 0 {
            let reason = format!("its engine {engine} has no transactions; InnoDB has");
            return Err(ConnectorError::refused(format!("write into table {}", spec.table), reason));
        }
        Ok(())
    }

    async fn unique(&mut self, table: &TableName) -> Result<Vec<Vec<String>>, ConnectorError> {
        let mut unique: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for row in self.statements.fetch(UNIQUE, of(table)).await? {
            let (index, column): (String, Option<String>) =
                (self.statements.read(row.try_get(0))?, self.statements.read(row.try_get(1))?);
            // A part of an index that is an expression has no column.
            unique.entry(index).or_default().push(column.unwrap_or_default());
        }
        Ok(unique.into_values().collect())
    }

    fn build(&mut self, spec: &Spec) {
        let table = spec.table.quoted('`', None);
        let before =
            format!("INSERT INTO {table} ({}) VALUES ", names(spec.ours.iter().map(|our| &our.name)));
        let mut after = String::new();
        if !spec.key.is_empty() {
            let set = spec.ours.iter().filter(|our| !our.is_key).map(|our| quoted(&our.name, '`'));
            let set: Vec<_> = set.map(|name| format!("{name} = VALUES({name})")).collect();
            let key = quoted(&spec.key[0], '`');
            let set = if set.is_empty() { format!("{key} = {key}") } else { set.join(", ") };
            after = format!(" ON DUPLICATE KEY UPDATE {set}");
            let keys = spec.ours.iter().filter(|our| our.is_key).map(|our| &our.name);
            self.delete = format!("DELETE FROM {table} WHERE ({}) IN (", names(keys));
        }
        self.write = (before, after);
        self.positions = spec.table.quoted('`', Some(POSITIONS));
    }

    /// How many rows from `from` on go into one statement.
    fn fitting(&self, rows: &[Cells], from: usize, count: usize) -> Result<usize, Fault> {
        let most = ROWS_MAX.min(PLACEHOLDERS_MAX / rows.len().max(1)).min(count - from).max(1);
        let mut fit = 1 << most.ilog2();
        let mut bytes = 0;
        for row in from..from + fit {
            let own: usize = rows.iter().map(|cells| cells.bytes(row)).sum();
            bytes += own;
            // Some room is left for what comes around the values.
            if row == from && own + 1_024 > self.packet {
                let reason = format!("the row has {own} bytes, and max_allowed_packet is {}", self.packet);
                return Err(Fault::Row(reason));
            }
            if bytes > self.packet / 2 && row > from {
                fit = 1 << (row - from).ilog2();
                break;
            }
        }
        Ok(fit)
    }
}

#[async_trait]
impl Session for MySql {
    async fn prepare(&mut self, spec: &Spec) -> Result<(), ConnectorError> {
        self.run(STRICT).await?;
        let packet = self
            .statements
            .fetch("SELECT CAST(@@max_allowed_packet AS SIGNED)", MySqlArguments::default())
            .await?;
        if let Some(row) = packet.first() {
            self.packet =
                usize::try_from(self.statements.read(row.try_get::<i64, _>(0))?).unwrap_or(self.packet);
        }
        let mut theirs = self.columns(&spec.table).await?;
        if theirs.is_empty() && spec.create {
            self.create(spec).await?;
            theirs = self.columns(&spec.table).await?;
        }
        spec.check_is_there(&theirs, self.statements.shown())?;
        check(&spec.table.to_string(), &spec.ours, &theirs, fits)?;
        self.check_engine(spec).await?;
        if !spec.key.is_empty() {
            let unique = self.unique(&spec.table).await?;
            // ON DUPLICATE KEY means any key.
            check_key(&spec.table.to_string(), &spec.key, &spec.ours, &unique, true)?;
        }
        self.build(spec);
        Ok(())
    }

    async fn positions(&mut self, owner: &Owner) -> Result<BTreeMap<ShardId, Sequence>, ConnectorError> {
        let sql = format!(
            "CREATE TABLE IF NOT EXISTS {} (sink VARCHAR(255) NOT NULL, stream BIGINT NOT NULL, shard INT NOT NULL, \
             next BIGINT NOT NULL, PRIMARY KEY (sink, stream, shard)) \
             ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin",
            self.positions
        );
        self.statements.execute(AssertSqlSafe(sql), MySqlArguments::default()).await?;
        let sql = format!("SELECT shard, next FROM {} WHERE sink = ? AND stream = ?", self.positions);
        let mut wanted = MySqlArguments::default();
        let added = wanted.add(owner.sink.clone()).and_then(|()| wanted.add(owner.created));
        self.statements.read(added.map_err(sqlx::Error::Encode))?;
        let rows = self.statements.fetch(AssertSqlSafe(sql), wanted).await?;
        let shards = self.statements.read(values(&rows, 0))?;
        let next = self.statements.read(values(&rows, 1))?;
        Ok(positions_of(shards, next))
    }

    async fn begin(&mut self) -> Result<(), ConnectorError> {
        self.run("START TRANSACTION").await
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
                "UPDATE {table} SET next = ? WHERE sink = ? AND stream = ? AND shard = ? AND next = ?"
            ),
            None => format!("INSERT IGNORE INTO {table} (next, sink, stream, shard) VALUES (?, ?, ?, ?)"),
        };
        let mut arguments = MySqlArguments::default();
        let added = arguments
            .add(to.0.cast_signed())
            .and_then(|()| arguments.add(owner.sink.clone()))
            .and_then(|()| arguments.add(owner.created))
            .and_then(|()| arguments.add(shard.0.cast_signed()))
            .and_then(|()| from.map_or(Ok(()), |from| arguments.add(from.0.cast_signed())));
        self.statements.read(added.map_err(sqlx::Error::Encode))?;
        let moved = self.statements.execute(AssertSqlSafe(sql), arguments).await?;
        Ok(moved == 1)
    }

    async fn run(&mut self, sql: &'static str) -> Result<(), ConnectorError> {
        self.statements.run(sql).await
    }

    async fn send(&mut self, change: Change, rows: &[Cells]) -> Result<(), Fault> {
        let count = rows.first().map_or(0, Cells::len);
        let mut from = 0;
        while from < count {
            let len = self.fitting(rows, from, count)?;
            let mut arguments = MySqlArguments::default();
            for row in from..from + len {
                for cells in rows {
                    add(&mut arguments, cells, row)
                        .map_err(|error| self.statements.fault(sqlx::Error::Encode(error)))?;
                }
            }
            let one = format!("({})", vec!["?"; rows.len()].join(", "));
            let values = vec![one; len].join(", ");
            let sql = match change {
                Change::Write => format!("{}{values}{}", self.write.0, self.write.1),
                Change::Delete => format!("{}{values})", self.delete),
            };
            self.statements.write(AssertSqlSafe(sql), arguments).await?;
            from += len;
        }
        Ok(())
    }

    async fn prepare_question(&mut self, question: &Question) -> Result<(), ConnectorError> {
        let theirs = self.columns(&question.table).await?;
        question.check_is_there(&theirs, self.statements.shown())?;
        check_names(&question.table.to_string(), &question.columns, &theirs)?;
        let wanted: Vec<_> =
            question.columns.iter().map(|our| read_as(&quoted(&our.name, '`'), our.kind)).collect();
        let table = question.table.quoted('`', None);
        self.question = format!("SELECT {} FROM {table}", wanted.join(", "));
        if question.keys.is_empty() {
            self.question.push_str(&question.of_some_key('`'));
        } else {
            let keys = names(question.keys.iter().map(|our| &our.name));
            self.question.push_str(&format!(" WHERE ({keys}) IN ("));
        }
        Ok(())
    }

    async fn ask(&mut self, question: &Question, keys: &[Cells]) -> Result<Vec<Cells>, Fault> {
        let count = keys.first().map_or(0, Cells::len);
        let (mut from, mut rows) = (0, Vec::new());
        while from < count {
            let fitting = self.fitting(keys, from, count);
            let len = fitting.map_err(|fault| fault.whole(self.statements.shown()))?;
            let mut arguments = MySqlArguments::default();
            for row in from..from + len {
                for cells in keys {
                    self.statements.read(add(&mut arguments, cells, row).map_err(sqlx::Error::Encode))?;
                }
            }
            let one = format!("({})", vec!["?"; keys.len()].join(", "));
            let sql = format!("{}{})", self.question, vec![one; len].join(", "));
            rows.extend(self.statements.fetch(AssertSqlSafe(sql), arguments).await?);
            from += len;
        }
        Ok(self.statements.read(columns_of(&rows, question))?)
    }

    async fn read_all(
        &mut self,
        question: &Question,
        patience: Duration,
        rows: &mut (dyn FnMut(Vec<Cells>) -> Result<(), ConnectorError> + Send),
    ) -> Result<(), ConnectorError> {
        let sql = AssertSqlSafe(self.question.clone());
        self.statements.each(sql, patience, |found| columns_of(found, question), rows).await
    }

    async fn close(self: Box<Self>) {
        self.statements.close().await;
    }
}

/// A table as `information_schema` is asked for it.
fn of(table: &TableName) -> MySqlArguments {
    let mut arguments = MySqlArguments::default();
    // Texts can always be written.
    let _ = arguments.add(table.schema.clone());
    let _ = arguments.add(table.table.clone());
    arguments
}

fn add(arguments: &mut MySqlArguments, cells: &Cells, row: usize) -> Result<(), sqlx::error::BoxDynError> {
    match cells {
        Cells::Bool(cells) => arguments.add(cells[row]),
        Cells::Int(cells) => arguments.add(cells[row]),
        Cells::Float(cells) => arguments.add(cells[row]),
        Cells::Double(cells) => arguments.add(cells[row]),
        Cells::Text(cells) => arguments.add(cells[row].as_deref()),
        Cells::Bytes(cells) => arguments.add(cells[row].as_deref()),
        Cells::Date(cells) => arguments.add(cells[row]),
        Cells::Time(cells) => arguments.add(cells[row]),
        Cells::Moment(cells) => arguments.add(cells[row]),
        Cells::Instant(cells) => arguments.add(cells[row]),
    }
}

fn names<'a>(names: impl Iterator<Item = &'a String>) -> String {
    names.map(|name| quoted(name, '`')).collect::<Vec<_>>().join(", ")
}

/// What a column is read as.
fn read_as(column: &str, kind: Kind) -> String {
    match kind {
        Kind::Unsigned(64) | Kind::Decimal(..) | Kind::Text | Kind::Json => format!("CAST({column} AS CHAR)"),
        Kind::Bool | Kind::Int(_) | Kind::Unsigned(_) => format!("CAST({column} AS SIGNED)"),
        Kind::Float | Kind::Double => format!("{column} + 0e0"),
        Kind::Bytes => format!("CAST({column} AS BINARY)"),
        Kind::Date => format!("CAST({column} AS DATE)"),
        Kind::Time => format!("CAST({column} AS TIME(6))"),
        Kind::Moment(_) | Kind::Instant(_) => format!("CAST({column} AS DATETIME(6))"),
    }
}

/// The columns of what was answered.
fn columns_of(rows: &[MySqlRow], question: &Question) -> Result<Vec<Cells>, sqlx::Error> {
    question.columns.iter().enumerate().map(|(nth, our)| cells_of(rows, nth, our.kind)).collect()
}

/// A column of what was answered.
fn cells_of(rows: &[MySqlRow], nth: usize, kind: Kind) -> Result<Cells, sqlx::Error> {
    Ok(match kind {
        Kind::Bool => {
            let numbers: Vec<Option<i64>> = values(rows, nth)?;
            Cells::Bool(numbers.into_iter().map(|number| number.map(|number| number != 0)).collect())
        }
        Kind::Unsigned(64) | Kind::Decimal(..) | Kind::Text | Kind::Json => Cells::Text(values(rows, nth)?),
        Kind::Int(_) | Kind::Unsigned(_) => Cells::Int(values(rows, nth)?),
        Kind::Float | Kind::Double => Cells::Double(values(rows, nth)?),
        Kind::Bytes => Cells::Bytes(values(rows, nth)?),
        Kind::Date => Cells::Date(values(rows, nth)?),
        Kind::Time => Cells::Time(values(rows, nth)?),
        Kind::Moment(_) | Kind::Instant(_) => Cells::Moment(values(rows, nth)?),
    })
}

fn fits(kind: Kind, column: &Column) -> bool {
    let name = column.type_name.as_str();
    let one_of = |names: &[&str]| names.contains(&name);
    let is_unsigned = column.shown.contains("unsigned");
    match kind {
        Kind::Bool => one_of(&["tinyint", "bit", "smallint", "int", "bigint"]),
        Kind::Int(bits) | Kind::Unsigned(bits) => {
            // A column without a sign holds what has none; of what has one, those below zero are refused row by row.
            let bits = if is_unsigned { bits } else { kind.bits().unwrap_or(u8::MAX) };
            match name {
                "decimal" => true,
                "tinyint" => bits <= 8,
                "smallint" => bits <= 16,
                "mediumint" => bits <= 24,
                "int" => bits <= 32,
                "bigint" => bits <= 64,
                "double" => bits <= 32,
                _ => false,
            }
        }
        Kind::Float => one_of(&["float", "double"]),
        Kind::Double => name == "double",
        Kind::Decimal(_, scale) => {
            name == "decimal" && column.scale.is_none_or(|own| own >= i16::from(scale))
        }
        Kind::Text => {
            let others = [
                "char",
                "varchar",
                "tinytext",
                "text",
                "mediumtext",
                "longtext",
                "json",
                "uuid",
                "inet4",
                "inet6",
            ];
            column.is_enum || one_of(&others)
        }
        Kind::Bytes => one_of(&["binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"]),
        Kind::Date => name == "date",
        Kind::Time => name == "time" && column.digits >= Some(DIGITS_MAX),
        Kind::Moment(digits) | Kind::Instant(digits) => {
            one_of(&["datetime", "timestamp"]) && column.digits >= Some(digits.min(DIGITS_MAX))
        }
        Kind::Json => one_of(&["json", "text", "mediumtext", "longtext"]),
    }
}

fn type_of(our: &Ours) -> String {
    match our.kind {
        Kind::Bool => "boolean".into(),
        Kind::Int(bits) | Kind::Unsigned(bits) => {
            let name = match bits {
                ..=8 => "tinyint",
                9..=16 => "smallint",
                17..=32 => "int",
                _ => "bigint",
            };
            let sign = if matches!(our.kind, Kind::Unsigned(_)) { " unsigned" } else { "" };
            format!("{name}{sign}")
        }
        Kind::Float => "float".into(),
        Kind::Double => "double".into(),
        Kind::Decimal(precision, scale) => format!("decimal({precision}, {scale})"),
        Kind::Text if our.is_key => "varchar(255)".into(),
        Kind::Text => "longtext".into(),
        Kind::Bytes if our.is_key => "varbinary(255)".into(),
        Kind::Bytes => "longblob".into(),
        Kind::Date => "date".into(),
        Kind::Time => "time(6)".into(),
        Kind::Moment(digits) | Kind::Instant(digits) => format!("datetime({})", digits.min(DIGITS_MAX)),
        Kind::Json => "json".into(),
    }
}

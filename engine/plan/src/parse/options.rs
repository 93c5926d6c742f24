//! `WITH (key = value, ...)`: keys and values as text, and the options that a stream knows.

use std::time::Duration;

use datafusion::sql::sqlparser::tokenizer::Token;

use super::changes::MODE;
use super::reader::Reader;
use crate::definition::{Compression, Durability, FIELD_NAMES, StreamDef};
use crate::error::{Mistake, Result, SqlError, nearest};
use crate::script::{Position, Script};
use crate::statement::{AlterStream, Name, Parsed, Statement, StreamChange};

/// One option: key, value, where the value stands.
pub(super) type Given = (Name, String, Position);

const KNOWN: [&str; 10] = [
    "shards",
    "retention",
    "retention.age",
    "retention.bytes",
    DURABILITY,
    "format",
    MODE,
    "compression",
    "scan.watermark.idle-timeout",
    "clock.guard",
];

const DURABILITY: &str = "durability";

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Reads `(key = value, ...)`.
pub(super) fn read_options(reader: &mut Reader) -> Result<Vec<Given>> {
    reader.expect(&Token::LParen)?;
    let mut options: Vec<Given> = Vec::new();
    while !reader.take(&Token::RParen) {
        if !options.is_empty() {
            reader.expect(&Token::Comma)?;
        }
        let key = read_key(reader)?;
        reader.expect(&Token::Eq)?;
        let at = reader.position();
        let value = read_value(reader)?;
        if options.iter().any(|(other, ..)| other.value == key.value) {
            return Err(SqlError::new(Mistake::Option, format!("the option '{}' is given twice", key.value))
                .at(key.position, reader.script()));
        }
        options.push((key, value, at));
    }
    Ok(options)
}

/// `'a.b-c'` or a.b-c.
pub(super) fn read_key(reader: &mut Reader) -> Result<Name> {
    let at = reader.position();
    if let Token::SingleQuotedString(_) = reader.peek() {
        return Ok(Name { value: reader.string("an option")?, position: at });
    }
    let mut value = String::new();
    loop {
        match reader.next() {
            Token::Word(word) => value.push_str(&word.value),
            _ => return Err(SqlError::new(Mistake::Syntax, "expected an option").at(at, reader.script())),
        }
        match reader.peek() {
            Token::Period => value.push('.'),
            Token::Minus => value.push('-'),
            _ => return Ok(Name { value, position: at }),
        }
        reader.next();
    }
}

/// `'text'`, a number, a word, or INTERVAL '5' SECOND, as text.
pub(super) fn read_value(reader: &mut Reader) -> Result<String> {
    let sign = if reader.take(&Token::Minus) { "-" } else { "" };
    match reader.peek().clone() {
        Token::SingleQuotedString(text) => {
            reader.next();
            Ok(text)
        }
        Token::Number(number, _) => {
            reader.next();
            Ok(format!("{sign}{number}"))
        }
        Token::Word(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case("INTERVAL") => {
            reader.next();
            let length = reader.string("a length of time")?;
            let unit = reader.peek_word(0).filter(|word| duration(&format!("1 {word}")).is_some());
            if unit.is_some() {
                reader.next();
            }
            Ok(format!("{length} {}", unit.unwrap_or_default().to_lowercase()).trim().to_owned())
        }
        Token::Word(word) => {
            reader.next();
            Ok(word.value)
        }
        _ => Err(reader.expected("a value")),
    }
}

/// Sets the options of a stream; those that it does not know are refused, unless they are a connector's.
pub(super) fn apply(stream: &mut StreamDef, options: &[Given], script: &Script) -> Result<()> {
    for (key, value, at) in options {
        let known = set(stream, &key.value, value).map_err(|error| error.at(*at, script))?;
        if !known && stream.connector.is_none() {
            let hint = match nearest(&key.value, KNOWN) {
                Some(near) => format!("did you mean '{near}'?"),
                None => format!("a stream has the options {}", KNOWN.join(", ")),
            };
            return Err(SqlError::new(Mistake::Option, format!("a stream has no option '{}'", key.value))
                .at(key.position, script)
                .hint(hint));
        }
        stream.options.insert(key.value.clone(), value.clone());
    }
    Ok(())
}

/// `ALTER STREAM ... SET`: only what can change while rows are there.
pub(crate) fn set_options(stream: &mut StreamDef, options: &[(Name, String)], script: &Script) -> Result<()> {
    for (key, value) in options {
        if matches!(key.value.as_str(), "shards" | "compression" | "format" | MODE) {
            return Err(unchangeable(key, script));
        }
        // In a catalog of old it may stand, and has changed nothing.
        if key.value == DURABILITY {
            continue;
        }
        apply(stream, &[(key.clone(), value.clone(), key.position)], script)?;
    }
    Ok(())
}

/// `ALTER TABLE ... SET` of a table with a connector: what the connector is to do otherwise. What the rows are, and whether they come or
/// go, stays.
pub(crate) fn set_connector_options(
    table: &mut StreamDef,
    options: &[(Name, String)],
    script: &Script,
) -> Result<()> {
    for (key, value) in options {
        if matches!(key.value.as_str(), "connector" | "type" | "shards" | "compression" | MODE) {
            let message = format!("'{}' of a table cannot be changed", key.value);
            return Err(SqlError::new(Mistake::Option, message)
                .at(key.position, script)
                .hint("create another table"));
        }
        // `_` is the same as `-` to a connector.
        let is_same = |other: &str| other.replace('_', "-") == key.value.replace('_', "-");
        table.options.retain(|other, _| !is_same(other));
        apply(table, &[(key.clone(), value.clone(), key.position)], script)?;
    }
    Ok(())
}

/// Refuses a change of how durable a stream is: its rows are where that says. Statements that stand in a catalog already are not asked:
/// a log in which such a change was accepted still opens.
pub fn check_altered_options(parsed: &Parsed) -> Result<()> {
    let Statement::AlterStream(AlterStream { change: StreamChange::SetOptions(options), .. }) =
        &parsed.statement
    else {
        return Ok(());
    };
    match options.iter().find(|(key, _)| key.value == DURABILITY) {
        Some((key, _)) => Err(unchangeable(key, &parsed.script)),
        None => Ok(()),
    }
}

fn unchangeable(key: &Name, script: &Script) -> SqlError {
    SqlError::new(Mistake::Option, format!("'{}' of a stream cannot be changed", key.value))
        .at(key.position, script)
        .hint("create another stream and copy the rows with INSERT INTO ... SELECT")
}

/// Sets one option; `false` if there is none of the name.
fn set(stream: &mut StreamDef, key: &str, value: &str) -> Result<bool> {
    let bad = |expected: &str| {
        SqlError::new(Mistake::Option, format!("'{value}' is no value for the option '{key}'")).hint(expected)
    };
    let length = || duration(value).ok_or_else(|| bad("a length of time, such as '30 seconds' or '7 days'"));
    match key {
        FIELD_NAMES => {}
        "shards" => match value.parse() {
            Ok(shards @ 1..=65_536) => stream.shards = shards,
            _ => return Err(bad("a whole number from 1 to 65536")),
        },
        "retention" => match (duration(value), bytes(value)) {
            _ if is_off(value) => stream.retention = Default::default(),
            (Some(age), _) => stream.retention.age = Some(age),
            (None, Some(size)) => stream.retention.bytes = Some(size),
            (None, None) => return Err(bad("a length of time such as '7 days', or a size such as '100 GB'")),
        },
        "retention.age" if is_off(value) => stream.retention.age = None,
        "retention.age" => stream.retention.age = Some(length()?),
        "retention.bytes" if is_off(value) => stream.retention.bytes = None,
        "retention.bytes" => {
            stream.retention.bytes = Some(bytes(value).ok_or_else(|| bad("a size, such as '100 GB'"))?);
        }
        DURABILITY => {
            stream.durability = match value.to_lowercase().as_str() {
                "disk" => Durability::Disk,
                "process" => Durability::Process,
                "memory" => Durability::Memory,
                _ => return Err(bad("disk, process or memory")),
            }
        }
        "compression" => {
            stream.compression = match value.to_lowercase().as_str() {
                "none" => Compression::None,
                "lz4" => Compression::Lz4,
                "zstd" => Compression::Zstd,
                _ => return Err(bad("none, lz4 or zstd")),
            }
        }
        "format" => stream.format = Some(value.to_lowercase()),
        // What it means is said when all options are known.
        MODE => {}
        "scan.watermark.idle-timeout" if is_off(value) => stream.idle_timeout = None,
        "scan.watermark.idle-timeout" => stream.idle_timeout = Some(length()?),
        "clock.guard" if is_off(value) => stream.clock_guard = None,
        "clock.guard" => stream.clock_guard = Some(length()?),
        _ => return Ok(false),
    }
    Ok(true)
}

/// The clock guard of a stream with a watermark, unless it says otherwise.
pub(super) const CLOCK_GUARD: Duration = DAY;

fn is_off(value: &str) -> bool {
    matches!(value.to_lowercase().as_str(), "none" | "off" | "forever" | "unlimited")
}

/// `500ms`, `30 s`, `1.5 hours`, `7 days`, `1 day 12 hours`.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let (number, unit, after) = quantity(rest)?;
        let seconds = match unit.to_lowercase().as_str() {
            "ns" | "nanosecond" | "nanoseconds" => 1e-9,
            "us" | "microsecond" | "microseconds" => 1e-6,
            "ms" | "millisecond" | "milliseconds" => 1e-3,
            "s" | "sec" | "secs" | "second" | "seconds" => 1.0,
            "m" | "min" | "mins" | "minute" | "minutes" => 60.0,
            "h" | "hour" | "hours" => 3_600.0,
            "d" | "day" | "days" => 86_400.0,
            "w" | "week" | "weeks" => 604_800.0,
            _ => return None,
        };
        total = total.checked_add(Duration::try_from_secs_f64(number * seconds).ok()?)?;
        rest = after;
    }
    Some(total)
}

/// `4096`, `10 MB`, `1.5 GiB`; KB is 1,000, KiB 1,024.
pub(crate) fn bytes(text: &str) -> Option<u64> {
    let (number, unit, after) = quantity(text.trim())?;
    let factor: f64 = match unit.to_lowercase().as_str() {
        "" | "b" | "bytes" => 1.0,
        "kb" => 1e3,
        "mb" => 1e6,
        "gb" => 1e9,
        "tb" => 1e12,
        "kib" => 1024.0,
        "mib" => 1024.0 * 1024.0,
        "gib" => 1024.0 * 1024.0 * 1024.0,
        "tib" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    // Sizes above 2^53 would lose digits; nobody has such a disk.
    (after.is_empty() && number >= 0.0).then_some((number * factor) as u64)
}

/// A number, its unit, and what follows.
fn quantity(text: &str) -> Option<(f64, &str, &str)> {
    let digits = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, rest) = text.split_at(digits);
    let rest = rest.trim_start();
    let letters = rest.find(|c: char| !c.is_alphabetic()).unwrap_or(rest.len());
    let (unit, after) = rest.split_at(letters);
    Some((number.parse().ok()?, unit, after.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_durable_a_stream_is_does_not_change_and_catalogs_of_old_are_read() {
        let apply = |catalog: crate::Catalog, sql: &str| {
            let parsed = crate::parse_one(sql).unwrap();
            (catalog.apply(&parsed).unwrap().0, check_altered_options(&parsed))
        };
        let (catalog, _) = apply(crate::Catalog::default(), "CREATE STREAM s (a INT)");
        let (catalog, refused) =
            apply(catalog, "ALTER STREAM s SET (retention = '3 days', durability = memory)");
        let message = refused.unwrap_err().to_string();
        assert!(message.contains("'durability' of a stream cannot be changed"), "{message}");
        let stream = catalog.stream("s").unwrap();
        assert_eq!((stream.durability, stream.retention.age), (Durability::Disk, Some(3 * DAY)));
        let (catalog, allowed) = apply(catalog, "ALTER STREAM s SET (retention = none)");
        allowed.unwrap();
        assert_eq!(catalog.stream("s").unwrap().retention.age, None);
    }

    #[test]
    fn durations_and_sizes() {
        let seconds = |text: &str| duration(text).map(|length| length.as_secs_f64());
        assert_eq!(seconds("30s"), Some(30.0));
        assert_eq!(seconds("1 day 12 hours"), Some(129_600.0));
        assert_eq!(seconds("1.5 h"), Some(5_400.0));
        assert_eq!(seconds("500ms"), Some(0.5));
        for bad in ["", "5", "five days", "5 moons", "-5 s"] {
            assert_eq!(seconds(bad), None, "{bad:?}");
        }
        assert_eq!(bytes("100 GB"), Some(100_000_000_000));
        assert_eq!(bytes("4096"), Some(4096));
        assert_eq!(bytes("1 KiB"), Some(1024));
        assert_eq!(bytes("7 days"), None);
    }
}

//! `LOOKUP('table' = 'd', 'retry-predicate' = 'lookup_miss', ...)`: how a table that is looked up is asked, in Flink's words.
//!
//! All keys that a step lacks are asked at once, in any case, so what Flink lets one say of that is passed over. That a table is asked
//! again for what it lacks is another result, and counts.

use std::collections::BTreeMap;

use datafusion::sql::sqlparser::tokenizer::Token;
use headwater_operators::LookupRetry;

use super::super::options::{duration, read_value};
use super::super::reader::Reader;
use super::{FromTable, LOOKUP, not_in_from};
use crate::error::{Mistake, Result, SqlError, did_you_mean};
use crate::lookup::TableRetry;
use crate::script::Position;

const TABLE: &str = "table";
const PREDICATE: &str = "retry-predicate";
const STRATEGY: &str = "retry-strategy";
const DELAY: &str = "fixed-delay";
const ATTEMPTS: &str = "max-attempts";

/// What a retry needs, all of it.
const RETRY: [&str; 4] = [PREDICATE, STRATEGY, DELAY, ATTEMPTS];

const PASSED_OVER: [&str; 5] = ["async", "output-mode", "capacity", "timeout", "shuffle"];

const USAGE: &str = "SELECT /*+ LOOKUP('table' = 'd', 'retry-predicate' = 'lookup_miss', 'retry-strategy' = 'fixed_delay', \
     'fixed-delay' = '10 s', 'max-attempts' = '3') */ ...";

/// Values, and where they stand.
type Given = BTreeMap<String, (String, Position)>;

/// Reads what stands behind the hint's name.
pub(super) fn read(reader: &mut Reader, tables: &[FromTable]) -> Result<Option<TableRetry>> {
    let script = reader.script().clone();
    let start = reader.position();
    let mut given = Given::new();
    reader.expect(&Token::LParen).map_err(|error| error.hint(USAGE))?;
    loop {
        let at = reader.position();
        let key = reader.string("an option").map_err(|error| error.hint(USAGE))?;
        reader.expect(&Token::Eq).map_err(|error| error.hint(USAGE))?;
        let value_at = reader.position();
        let value = read_value(reader)?;
        let known = || RETRY.into_iter().chain(PASSED_OVER).chain([TABLE]);
        if !known().any(|known| known == key) {
            let hint = did_you_mean(&key, known());
            let message = format!("{LOOKUP} takes no '{key}'");
            let all = || format!("it takes {}", known().collect::<Vec<_>>().join(", "));
            return Err(SqlError::new(Mistake::Option, message)
                .at(at, &script)
                .hint(hint.unwrap_or_else(all)));
        }
        given.insert(key, (value, value_at));
        if !reader.take(&Token::Comma) {
            reader.expect(&Token::RParen)?;
            break;
        }
    }
    if RETRY.iter().all(|key| !given.contains_key(*key)) {
        return Ok(None);
    }
    if let Some(missing) = RETRY.iter().chain([&TABLE]).find(|key| !given.contains_key(**key)) {
        let message = format!("{LOOKUP} says that a table is asked again, and lacks '{missing}'");
        return Err(SqlError::new(Mistake::Option, message).at(start, &script).hint(USAGE));
    }
    let wrong = |key: &str, (value, at): &(String, Position), hint: &str| {
        SqlError::new(Mistake::Option, format!("'{value}' is no '{key}' of {LOOKUP}"))
            .at(*at, &script)
            .hint(hint)
    };
    for (key, only) in [(PREDICATE, "lookup_miss"), (STRATEGY, "fixed_delay")] {
        if !given[key].0.eq_ignore_ascii_case(only) {
            return Err(wrong(key, &given[key], &format!("there is '{only}' alone")));
        }
    }
    let delay = duration(&given[DELAY].0).ok_or_else(|| wrong(DELAY, &given[DELAY], "such as '10 s'"))?;
    let attempts = given[ATTEMPTS].0.parse().ok().filter(|attempts| *attempts > 0);
    let attempts = attempts.ok_or_else(|| wrong(ATTEMPTS, &given[ATTEMPTS], "a whole number from 1 on"))?;
    let (name, at) = &given[TABLE];
    let is_it = |called: &str| called == name || called == name.to_lowercase();
    let table = tables.iter().find(|table| is_it(&table.name) || table.own.as_deref().is_some_and(is_it));
    let table = table.ok_or_else(|| not_in_from(LOOKUP, name, tables).at(*at, &script))?;
    Ok(Some(TableRetry { table: table.at, at: *at, retry: LookupRetry { attempts, delay } }))
}

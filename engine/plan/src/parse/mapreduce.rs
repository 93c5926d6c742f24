//! `CREATE MAPREDUCE JOB [IF NOT EXISTS] name FROM 'url' [, 'url' ...] TO 'url' WITH (mapper = 'name', ...)`.
//!
//! | option | meaning |
//! |---|---|
//! | `mapper` | the program, by the name that the configuration gives it |
//! | `reducer` | the same; without one the sorted lines are the output |
//! | `combiner` | a reducer over what one mapper gave |
//! | `reducers` | into how many parts keys are divided; as many as there are processors unless set |
//! | `attempts` | how many times a task is tried; 4 unless set |
//! | `timeout` | how long a program may neither read nor say anything; 10 minutes unless set, `0 s`: for ever |
//! | `memory` | for lines that are being sorted; 256 MB unless set |

use datafusion::sql::sqlparser::tokenizer::Token;

use super::create::new_name;
use super::options::{Given, bytes, duration, read_options};
use super::reader::Reader;
use crate::definition::MapReduceDef;
use crate::error::{Mistake, Result, SqlError, nearest};
use crate::statement::{CreateMapReduce, Statement};

const KNOWN: [&str; 7] = ["mapper", "reducer", "combiner", "reducers", "attempts", "timeout", "memory"];

pub(super) fn read_mapreduce(reader: &mut Reader) -> Result<Statement> {
    reader.expect_words("MAPREDUCE JOB")?;
    let if_not_exists = reader.take_words("IF NOT EXISTS");
    let name = new_name(reader, "a name")?;
    reader.expect_words("FROM")?;
    let mut inputs = vec![reader.string("where the input lies, such as 's3://bucket/prefix'")?];
    while *reader.peek() == Token::Comma {
        reader.next();
        inputs.push(reader.string("where more of the input lies")?);
    }
    reader.expect_words("TO")?;
    let output = reader.string("where the output goes, such as 's3://bucket/prefix'")?;
    let position = reader.position();
    let options = if reader.take_words("WITH") { read_options(reader)? } else { Vec::new() };
    let mut definition = MapReduceDef::new(name.value.clone(), inputs, output);
    for option in &options {
        set(&mut definition, option, reader)?;
    }
    if definition.mapper.is_empty() {
        return Err(SqlError::new(Mistake::Option, "a MapReduce job has a mapper")
            .at(position, reader.script())
            .hint(
                "WITH (mapper = 'name'), a name that the configuration allows under [mapreduce.programs]",
            ));
    }
    Ok(Statement::CreateMapReduce(CreateMapReduce { name, definition, if_not_exists }))
}

fn set(job: &mut MapReduceDef, (key, value, at): &Given, reader: &Reader) -> Result<()> {
    let bad = |expected: &str| {
        SqlError::new(Mistake::Option, format!("'{value}' is no value for the option '{}'", key.value))
            .at(*at, reader.script())
            .hint(expected)
    };
    match key.value.as_str() {
        "mapper" => job.mapper.clone_from(value),
        "reducer" => job.reducer = Some(value.clone()),
        "combiner" => job.combiner = Some(value.clone()),
        "reducers" => {
            job.reducers = Some(value.parse().map_err(|_| bad("a whole number from 0 on"))?);
        }
        "attempts" => {
            let attempts = value.parse().ok().filter(|attempts| *attempts > 0);
            job.attempts = attempts.ok_or_else(|| bad("a whole number from 1 on"))?;
        }
        "timeout" => {
            let timeout = duration(value);
            job.timeout = Some(timeout.ok_or_else(|| bad("a length of time, such as '10 minutes'"))?);
        }
        "memory" => job.memory = Some(bytes(value).ok_or_else(|| bad("a size, such as '256 MB'"))?),
        other => {
            let hint = match nearest(other, KNOWN) {
                Some(near) => format!("did you mean '{near}'?"),
                None => format!("a MapReduce job has the options {}", KNOWN.join(", ")),
            };
            return Err(SqlError::new(Mistake::Option, format!("a MapReduce job has no option '{other}'"))
                .at(key.position, reader.script())
                .hint(hint));
        }
    }
    Ok(())
}

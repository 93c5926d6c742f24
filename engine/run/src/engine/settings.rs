//! `SET key = value`: scripts of other engines begin with it.
//!
//! A session has no settings here: what a statement means depends on its text and the catalog alone, over HTTP as at a prompt. What a
//! script sets for the statements behind it has become part of them when it was read. Of all else `SET` takes what is so anyhow, passes
//! over what changes no result, and refuses the rest with the place where it is chosen.

use headwater_plan::error::did_you_mean;
use headwater_plan::statement::Set;
use headwater_plan::{Mistake, Script, SqlError};

/// A key that scripts set, the values that are so anyhow, and where something else is chosen.
struct Setting {
    key: &'static str,
    values: &'static [&'static str],
    instead: &'static str,
}

const ZONES: &[&str] = &["utc", "etc/utc", "z", "+00:00", "gmt"];
const ZONE: &str = "times are in UTC; ts AT TIME ZONE 'Europe/Berlin' shows one elsewhere";
const EARLY: &str = "say it at the end of a query: EMIT EVERY INTERVAL '10' SECOND, or EMIT CHANGES";
const LATE: &str = "say it at the end of a query: ALLOW LATENESS INTERVAL '1' MINUTE";

const SETTINGS: [Setting; 13] = [
    Setting { key: "timezone", values: ZONES, instead: ZONE },
    Setting { key: "sql.timezone", values: ZONES, instead: ZONE },
    Setting { key: "table.local-time-zone", values: ZONES, instead: ZONE },
    Setting {
        key: "table.sql-dialect",
        values: &["default"],
        instead: "statements are read as Flink, Arroyo and RisingWave spell them",
    },
    Setting {
        key: "table.exec.legacy-cast-behaviour",
        values: &["disabled"],
        instead: "CAST fails on what it cannot read, so that a job leaves the row out, and TRY_CAST gives NULL",
    },
    Setting {
        key: "table.exec.sink.type-length-enforcer",
        values: &["ignore"],
        instead: "the lengths of CHAR, VARCHAR and BINARY are not enforced; SUBSTRING(x, 1, n) shortens",
    },
    Setting {
        key: "table.column-expansion-strategy",
        values: &[],
        instead: "SELECT * shows all columns that a table declares; name them in place of it",
    },
    Setting {
        key: "execution.savepoint.path",
        values: &[],
        instead: "a job that is new begins with the first row of its streams, and one that is there goes on by itself",
    },
    Setting { key: "table.exec.emit.early-fire.enabled", values: &["false"], instead: EARLY },
    Setting { key: "table.exec.emit.early-fire.delay", values: &[], instead: EARLY },
    Setting { key: "table.exec.emit.late-fire.enabled", values: &["false"], instead: LATE },
    Setting { key: "table.exec.emit.late-fire.delay", values: &[], instead: LATE },
    Setting { key: "table.exec.emit.allow-lateness", values: &[], instead: LATE },
];

/// What the beginning of a key says of it: whatever it is set to, results are the same.
const PASSED_OVER: [(&str, &str); 23] = [
    (
        "parallelism.default",
        "it is chosen for the whole process: headwater serve --workers; results do not depend on it",
    ),
    (
        "execution.checkpointing.",
        "it is chosen for the whole process: headwater serve --checkpoint-seconds; each row counts once however it is",
    ),
    ("state.checkpoints.dir", "it is chosen for the whole process: headwater serve --checkpoints"),
    (
        "table.exec.mini-batch.",
        "a step takes all rows that are there, and says of each key what it has led to",
    ),
    (
        "table.exec.sink.not-null-enforcer",
        "a row that lacks a value which its target wants goes to system.dead_letters, and the job goes on",
    ),
    ("table.optimizer.", "the planner chooses by itself"),
    ("table.", ELSEWHERE),
    ("execution.", ELSEWHERE),
    ("pipeline.", ELSEWHERE),
    ("parallelism.", ELSEWHERE),
    ("state.", ELSEWHERE),
    (
        "restart-strategy",
        "a job that fails is started again by RESUME JOB; what may succeed later is tried until it does",
    ),
    ("sql-client.", ELSEWHERE),
    ("taskmanager.", ELSEWHERE),
    ("jobmanager.", ELSEWHERE),
    ("cluster.", ELSEWHERE),
    ("rest.", ELSEWHERE),
    ("high-availability", ELSEWHERE),
    ("metrics.", ELSEWHERE),
    ("env.", ELSEWHERE),
    ("classloader.", ELSEWHERE),
    ("client.", ELSEWHERE),
    ("akka.", ELSEWHERE),
];

const ELSEWHERE: &str = "it is one of Flink's own, and no result depends on it";

/// Takes a setting that is so anyhow or changes nothing, and says so; refuses any other.
pub(super) fn set(set: &Set, script: &Script) -> Result<String, SqlError> {
    let key = set.key.value.to_ascii_lowercase();
    let value = set.value.trim().to_ascii_lowercase();
    let refused = |message: String| SqlError::new(Mistake::Option, message).at(set.key.position, script);
    let behind = "for what stands behind it in the same script";
    match (key.as_str(), value.as_str()) {
        ("execution.runtime-mode", "streaming") => {
            return Ok(format!("{behind}: INSERT INTO goes on as a job"));
        }
        ("execution.runtime-mode", "batch") => {
            return Ok(format!("{behind}: INSERT INTO runs once, over the rows so far"));
        }
        ("execution.runtime-mode", _) => {
            return Err(
                refused(format!("'{key}' cannot be set to '{}'", set.value)).hint("streaming or batch")
            );
        }
        ("pipeline.name", _) => return Ok(format!("{behind}: the job of an INSERT INTO has this name")),
        _ => {}
    }
    if let Some(known) = SETTINGS.iter().find(|setting| setting.key == key) {
        return match known.values.contains(&value.as_str()) {
            true => Ok(format!("{} is so anyhow", known.key)),
            false => {
                Err(refused(format!("'{}' cannot be set to '{}'", known.key, set.value)).hint(known.instead))
            }
        };
    }
    if let Some((_, why)) = PASSED_OVER.iter().find(|(prefix, _)| key.starts_with(prefix)) {
        return Ok(format!("'{key}' is passed over: {why}"));
    }
    let error = refused(format!("there is no setting '{}'", set.key.value));
    Err(match did_you_mean(&key, SETTINGS.iter().map(|setting| setting.key)) {
        Some(near) => error.hint(near),
        None => {
            error.hint("statements have no settings; streams and tables have options: WITH (key = value)")
        }
    })
}

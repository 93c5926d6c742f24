//! `SET key = value`: scripts of other engines begin with it.
//!
//! A session has no settings here: what a statement means depends on its text and the catalog alone, over HTTP as at a prompt. So
//! `SET` takes what is so anyhow, and refuses everything else with the place where it is chosen.

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

const SETTINGS: [Setting; 8] = [
    Setting { key: "timezone", values: ZONES, instead: ZONE },
    Setting { key: "sql.timezone", values: ZONES, instead: ZONE },
    Setting { key: "table.local-time-zone", values: ZONES, instead: ZONE },
    Setting {
        key: "execution.runtime-mode",
        values: &["streaming"],
        instead: "a job is always a stream, a query on its own always over the rows so far",
    },
    Setting {
        key: "parallelism.default",
        values: &[],
        instead: "it is chosen for the whole process: headwater serve --workers; results do not depend on it",
    },
    Setting {
        key: "execution.checkpointing.interval",
        values: &[],
        instead: "it is chosen for the whole process: headwater serve --checkpoint-seconds",
    },
    Setting {
        key: "state.checkpoints.dir",
        values: &[],
        instead: "it is chosen for the whole process: headwater serve --checkpoints",
    },
    Setting {
        key: "table.exec.source.idle-timeout",
        values: &[],
        instead: "it belongs to a stream: WITH ('scan.watermark.idle-timeout' = '30 s')",
    },
];

/// Takes a setting that is so anyhow, and says so; refuses any other.
pub(super) fn set(set: &Set, script: &Script) -> Result<String, SqlError> {
    let key = set.key.value.to_ascii_lowercase();
    let refused = |message: String| SqlError::new(Mistake::Option, message).at(set.key.position, script);
    let Some(known) = SETTINGS.iter().find(|setting| setting.key == key) else {
        let error = refused(format!("there is no setting '{}'", set.key.value));
        let near = did_you_mean(&key, SETTINGS.iter().map(|setting| setting.key));
        return Err(match near {
            Some(near) => error.hint(near),
            None => {
                error.hint("statements have no settings; streams and tables have options: WITH (key = value)")
            }
        });
    };
    if known.values.contains(&set.value.trim().to_ascii_lowercase().as_str()) {
        return Ok(format!("{} is so anyhow", known.key));
    }
    Err(refused(format!("'{}' cannot be set to '{}'", known.key, set.value)).hint(known.instead))
}

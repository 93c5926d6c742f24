//! Decisions: triggers and a search for fronts over the year that is in the log already, and a scaling group over two weeks of a real
//! server's CPU.
//!
//! They are made when the year is over, and look at all of it from its first row on: what would have fired last year can be asked any time.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use headwater_core::EventTime;
use headwater_run::Engine;

use super::feed::append_once;
use super::wait::wait_until;
use super::year::OVER;
use crate::client::Client;

/// What looks at the year: made for a stream of its own in each of these folders, and put on the demo's here.
const OVER_THE_YEAR: [(&str, &str); 5] = [
    ("alerts/2_freeze_alert.sql", include_str!("../../../../queries/alerts/2_freeze_alert.sql")),
    ("alerts/3_frozen_sensor.sql", include_str!("../../../../queries/alerts/3_frozen_sensor.sql")),
    ("alerts/4_missing_device.sql", include_str!("../../../../queries/alerts/4_missing_device.sql")),
    ("alerts/5_rate_of_change.sql", include_str!("../../../../queries/alerts/5_rate_of_change.sql")),
    ("patterns/2_fronts.sql", include_str!("../../../../queries/patterns/2_fronts.sql")),
];

/// The jobs that those files make, but for a view that has no time of its own.
const JOBS_OF_THE_YEAR: [&str; 6] =
    ["freeze_alert", "frozen_sensor", "missing_device", "returned_device", "rate_of_change", "find_fronts"];

/// Two alarms on a server's CPU, and the group that they move.
const OVER_THE_CPU: [(&str, &str); 3] = [
    ("cpu/1_stream.sql", include_str!("../../../../queries/cpu/1_stream.sql")),
    ("cpu/2_alarms.sql", include_str!("../../../../queries/cpu/2_alarms.sql")),
    ("cpu/3_group.sql", include_str!("../../../../queries/cpu/3_group.sql")),
];

/// The jobs that those files make.
const JOBS_OF_THE_CPU: [&str; 3] = ["cpu_high", "cpu_low", "servers"];

/// 4,032 samples; see `fixtures/cloudwatch/README.md` for where they come from.
const SAMPLES: &str = include_str!("../../../../fixtures/cloudwatch/cpu.csv");

/// 2014-04-24 00:15: five minutes after the last sample, when the alarms have seen the last period that has one.
const TWO_WEEKS_OVER: EventTime = EventTime(1_398_298_500_000_000_000);

/// Makes triggers, the search, alarms and the group, and waits until they have seen everything.
pub(crate) async fn decide(engine: &Engine, client: &Client) -> Result<()> {
    for (file, sql) in OVER_THE_YEAR {
        let sql = sql.replace("ON observations\n", "ON weather\n").replace("FROM sky ", "FROM weather ");
        client.sql_quietly(&sql).await.with_context(|| format!("queries/{file}"))?;
    }
    for (file, sql) in OVER_THE_CPU {
        client.sql_quietly(sql).await.with_context(|| format!("queries/{file}"))?;
    }
    append_once(client, "cpu", samples()).await?;
    wait_until(engine, "weather", OVER, &JOBS_OF_THE_YEAR).await?;
    wait_until(engine, "cpu", TWO_WEEKS_OVER, &JOBS_OF_THE_CPU).await
}

/// The samples as JSON lines.
fn samples() -> String {
    let mut lines = String::new();
    for (time, value) in SAMPLES.lines().skip(1).filter_map(|line| line.split_once(',')) {
        // Writing to a string does not fail.
        let _ = writeln!(lines, "{{\"ts\":\"{}Z\",\"value\":{value}}}", time.replace(' ', "T"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_samples_are_json() {
        let lines = samples();
        let first: serde_json::Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
        assert_eq!(first, serde_json::json!({"ts": "2014-04-10T00:04:00Z", "value": 91.958}));
        assert_eq!(lines.lines().count(), 4_032);
    }

    #[test]
    fn all_look_at_streams_of_the_demo() {
        for (file, sql) in OVER_THE_YEAR {
            let found = sql.matches("ON observations\n").count() + sql.matches("FROM sky ").count();
            assert!(found > 0, "{file}");
        }
    }
}

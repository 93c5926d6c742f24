//! What the jobs found, asked of the engine in SQL and shown as tables.

use anyhow::Result;
use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use futures::TryStreamExt;
use headwater_run::{Answer, Engine};

use crate::output::{say, table};

const FINDINGS: [(&str, &str); 6] = [
    (
        "The year by station (degrees Fahrenheit, from the job `daily`)",
        "SELECT s.name AS station, COUNT(*) AS days, MIN(d.min_temp) AS coldest, MAX(d.max_temp) AS hottest, \
         ROUND(AVG(d.mean_temp), 1) AS mean_of_days \
         FROM daily_temperature AS d JOIN stations AS s ON s.origin = d.origin GROUP BY s.name ORDER BY s.name",
    ),
    (
        "The hottest and the coldest six hours (`moving`)",
        "WITH means AS (SELECT origin, until, ROUND(mean_temp, 1) AS mean_temp FROM moving_mean), \
         hot AS (SELECT * FROM means ORDER BY mean_temp DESC, until, origin LIMIT 2), \
         cold AS (SELECT * FROM means ORDER BY mean_temp, until, origin LIMIT 2) \
         SELECT * FROM hot UNION ALL SELECT * FROM cold ORDER BY mean_temp DESC, until, origin",
    ),
    (
        "Heat: 90 degrees and more, the longest spells (`heat`)",
        "SELECT origin, first_hour, last_hour, hot_hours, max_temp FROM heat_spells \
         ORDER BY hot_hours DESC, origin LIMIT 5",
    ),
    (
        "Frost: 32 degrees and less, the longest spells (`freeze`)",
        "SELECT origin, first_hour, last_hour, cold_hours, min_temp FROM freeze_spells \
         ORDER BY cold_hours DESC, origin LIMIT 5",
    ),
    (
        "The newest reading of each station (a materialized view)",
        "SELECT * FROM newest_reading ORDER BY origin",
    ),
    (
        "What was not a reading, and what came too late",
        "SELECT (SELECT COUNT(*) FROM weather) AS readings, (SELECT COUNT(*) FROM weather WHERE temp IS NULL) AS \
         without_temp, (SELECT COUNT(*) FROM system.dead_letters) AS dead_letters, \
         (SELECT COUNT(*) FROM system.late_rows) AS late",
    ),
];

/// Shows everything.
pub(crate) async fn show(engine: &Engine) -> Result<()> {
    for (title, sql) in FINDINGS {
        let rows = query(engine, sql).await?;
        say(format_args!("\n{title}"))?;
        if let Some(first) = rows.first() {
            say(table(&first.schema(), &rows)?)?;
        }
    }
    show_missing_hours(engine).await
}

async fn show_missing_hours(engine: &Engine) -> Result<()> {
    let sql = "SELECT origin, missing_hour FROM missing_hours ORDER BY origin, missing_hour";
    let rows = query(engine, sql).await?;
    let mut hours: Vec<(String, Vec<String>)> = Vec::new();
    for batch in &rows {
        let options = FormatOptions::default().with_timestamp_format(Some("%m-%d %Hh"));
        let origins = ArrayFormatter::try_new(batch.column(0), &options)?;
        let times = ArrayFormatter::try_new(batch.column(1), &options)?;
        for row in 0..batch.num_rows() {
            let (origin, time) = (origins.value(row).to_string(), times.value(row).to_string());
            match hours.last_mut() {
                Some((known, times)) if *known == origin => times.push(time),
                _ => hours.push((origin, vec![time])),
            }
        }
    }
    say("\nHours without a reading, in UTC (the view `missing_hours`)")?;
    for (origin, times) in hours {
        say(format_args!("{origin}: {} hours", times.len()))?;
        for line in times.chunks(9) {
            say(format_args!("  {}", line.join("  ")))?;
        }
    }
    Ok(())
}

/// All rows of a query.
async fn query(engine: &Engine, sql: &str) -> Result<Vec<RecordBatch>> {
    match Box::pin(engine.execute(sql)).await?.pop() {
        Some(Answer::Rows(rows)) => Ok(rows.try_collect().await?),
        _ => Ok(Vec::new()),
    }
}

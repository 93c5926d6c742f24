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

/// Of triggers those firings that the year's rows led to: behind its end the stations fall silent. Of the group what it decided up to the
/// last period that has a sample: later its alarms lack data.
const DECISIONS: [(&str, &str); 4] = [
    (
        "Which triggers fired (`queries/alerts`; in all, and by station)",
        "WITH fired AS (SELECT 'freeze_alert' AS name, origin, fired_at FROM freeze_alert \
         UNION ALL SELECT 'frozen_sensor', origin, fired_at FROM frozen_sensor \
         UNION ALL SELECT 'missing_device', origin, fired_at FROM missing_device \
         UNION ALL SELECT 'returned_device', origin, fired_at FROM returned_device \
         UNION ALL SELECT 'rate_of_change', origin, fired_at FROM rate_of_change) \
         SELECT t.name, t.condition, COUNT(*) AS fired, SUM(CASE WHEN f.origin = 'EWR' THEN 1 ELSE 0 END) AS ewr, \
         SUM(CASE WHEN f.origin = 'JFK' THEN 1 ELSE 0 END) AS jfk, SUM(CASE WHEN f.origin = 'LGA' THEN 1 ELSE 0 END) AS lga, \
         MAX(f.fired_at) AS last_fired FROM system.triggers AS t JOIN fired AS f ON f.name = t.name \
         WHERE f.fired_at < TIMESTAMP '2013-12-31' GROUP BY t.name, t.condition ORDER BY t.name",
    ),
    (
        "How often the pressure fell, then it rained, then the wind turned to the north-west, all within twelve hours (`find_fronts`)",
        "SELECT origin, COUNT(*) AS fronts, \
         SUM(CASE WHEN EXTRACT(MONTH FROM turned_at) IN (12, 1, 2) THEN 1 ELSE 0 END) AS winter, \
         SUM(CASE WHEN EXTRACT(MONTH FROM turned_at) IN (3, 4, 5) THEN 1 ELSE 0 END) AS spring, \
         SUM(CASE WHEN EXTRACT(MONTH FROM turned_at) IN (6, 7, 8) THEN 1 ELSE 0 END) AS summer, \
         SUM(CASE WHEN EXTRACT(MONTH FROM turned_at) IN (9, 10, 11) THEN 1 ELSE 0 END) AS autumn, \
         MAX(rain) AS most_rain FROM fronts GROUP BY origin ORDER BY origin",
    ),
    (
        "What a scaling group would have done over two weeks of a real server's CPU (`queries/cpu`)",
        "SELECT at, \"by\" AS policy, before, after, reason FROM system.scaling_activities \
         WHERE \"group\" = 'servers' AND scaled AND at < TIMESTAMP '2014-04-24 00:15:00' ORDER BY at",
    ),
    (
        "And what it would not have done, in the minutes in which an alarm was on",
        "SELECT \"by\" AS policy, why_not, COUNT(*) AS minutes FROM (SELECT \"by\", CASE \
         WHEN reason LIKE '%in cooldown%' THEN 'in cooldown' WHEN reason LIKE '%at the maximum%' THEN 'at the maximum' \
         WHEN reason LIKE '%at the minimum%' THEN 'at the minimum' ELSE reason END AS why_not FROM system.scaling_activities \
         WHERE \"group\" = 'servers' AND NOT scaled AND at < TIMESTAMP '2014-04-24 00:15:00') AS asked \
         GROUP BY \"by\", why_not ORDER BY \"by\", why_not",
    ),
];

/// Shows what the jobs found in the year.
pub(crate) async fn show(engine: &Engine) -> Result<()> {
    show_all(engine, &FINDINGS).await?;
    show_missing_hours(engine).await
}

/// Shows what was decided.
pub(crate) async fn show_decisions(engine: &Engine) -> Result<()> {
    show_all(engine, &DECISIONS).await
}

async fn show_all(engine: &Engine, findings: &[(&str, &str)]) -> Result<()> {
    for (title, sql) in findings {
        let rows = query(engine, sql).await?;
        say(format_args!("\n{title}"))?;
        if let Some(first) = rows.first() {
            say(table(&first.schema(), &rows)?)?;
        }
    }
    Ok(())
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

//! What Prometheus scrapes: the engine's counters, read when asked for, and the requests counted here.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{Method, StatusCode};
use headwater_core::EventTime;
use headwater_log::Log;
use headwater_run::{ConnectorStatus, Engine, JobState};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::budget::Budget;

/// All metrics of the process.
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    request_seconds: Family<RouteLabels, Histogram>,
    /// How many tails are open.
    pub tails: Gauge,
    /// Tails that were cut because their reader did not keep up.
    pub tails_cut: Counter,
}

#[derive(Clone, Hash, PartialEq, Eq, Debug, EncodeLabelSet)]
struct RequestLabels {
    method: String,
    route: &'static str,
    status: u16,
}

#[derive(Clone, Hash, PartialEq, Eq, Debug, EncodeLabelSet)]
struct RouteLabels {
    route: &'static str,
}

impl Metrics {
    pub fn new(engine: Engine, bodies: Arc<Budget>) -> Self {
        let mut registry = Registry::with_prefix("headwater");
        let requests = Family::<RequestLabels, Counter>::default();
        let request_seconds = Family::<RouteLabels, Histogram>::new_with_constructor(|| {
            Histogram::new(exponential_buckets(0.000_5, 2.0, 16))
        });
        let (tails, tails_cut) = (Gauge::default(), Counter::default());
        registry.register("http_requests", "Requests answered", requests.clone());
        let help = "Time until an answer began";
        registry.register_with_unit("http_request", help, Unit::Seconds, request_seconds.clone());
        registry.register("http_tails_open", "Tails that are open", tails.clone());
        registry.register(
            "http_tails_cut",
            "Tails cut because their reader did not keep up",
            tails_cut.clone(),
        );
        registry.register_collector(Box::new(EngineCollector(engine)));
        registry.register_collector(Box::new(BodyCollector(bodies)));
        Self { registry, requests, request_seconds, tails, tails_cut }
    }

    /// Counts a request.
    pub fn observe(&self, method: &Method, route: &'static str, status: StatusCode, took: Duration) {
        // Methods of the client's own making must not make series without end.
        let method =
            if method.as_str().len() <= 7 && STANDARD.contains(method) { method.as_str() } else { "OTHER" };
        let labels = RequestLabels { method: method.to_owned(), route, status: status.as_u16() };
        self.requests.get_or_create(&labels).inc();
        self.request_seconds.get_or_create(&RouteLabels { route }).observe(took.as_secs_f64());
    }

    /// All metrics as text.
    pub fn render(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

const STANDARD: [Method; 7] =
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];

/// Reads the engine's counters at each scrape.
struct EngineCollector(Engine);

impl fmt::Debug for EngineCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EngineCollector")
    }
}

impl Collector for EngineCollector {
    fn encode(&self, encoder: DescriptorEncoder) -> fmt::Result {
        let mut out = Out(encoder);
        encode_log(&**self.0.log(), &mut out)?;
        encode_streams(&**self.0.log(), &mut out)?;
        encode_jobs(&self.0, &mut out)?;
        encode_archives(&self.0, &mut out)?;
        encode_connectors(&self.0, &mut out)
    }
}

/// Reads what bodies take at each scrape.
struct BodyCollector(Arc<Budget>);

impl fmt::Debug for BodyCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BodyCollector")
    }
}

impl Collector for BodyCollector {
    fn encode(&self, encoder: DescriptorEncoder) -> fmt::Result {
        let mut out = Out(encoder);
        out.gauge("http_append_bytes", "Bytes of bodies of appends in memory", self.0.held().cast_signed())?;
        out.gauge("http_append_bytes_max", "How many there may be", self.0.most().cast_signed())
    }
}

fn encode_log(log: &dyn Log, out: &mut Out<'_>) -> fmt::Result {
    let metrics = log.metrics();
    out.counter("log_rows", "Rows appended", metrics.rows)?;
    out.counter("log_bytes", "Bytes written to segments", metrics.bytes)?;
    out.counter("log_commits", "Groups committed", metrics.commits)?;
    out.counter("log_duplicates", "Batches that were repeats", metrics.duplicates)?;
    out.gauge("log_poisoned", "1 if the log takes no more appends", i64::from(metrics.poisoned.is_some()))?;
    out.gauge(
        "log_damage",
        "Places of damage found in the log's files since the start",
        metrics.damaged.cast_signed(),
    )?;
    out.counter(
        "log_scrubbed_bytes",
        "Bytes of sealed files read to look for damage",
        metrics.scrubbed_bytes,
    )?;
    let mut syncs =
        out.family("log_sync", "Time of an fdatasync", Some(&Unit::Seconds), MetricType::Histogram)?;
    encode_micros(&mut syncs, &metrics.sync_micros, metrics.sync_micros_sum)
}

fn encode_streams(log: &dyn Log, out: &mut Out<'_>) -> fmt::Result {
    let streams = log.streams();
    // A stream that is dropped meanwhile has no bounds any more and is left out.
    let rows = streams.iter().filter_map(|info| {
        let given = log.bounds(info.id).ok()?.iter().map(|shard| info.rows_given(shard.next)).sum::<u64>();
        Some((info.spec.name.as_str(), given))
    });
    let rows: Vec<(&str, u64)> = rows.collect();
    let help = "Rows ever appended to a stream; since the start, if it is kept in memory";
    let mut family = out.family("stream_rows", help, None, MetricType::Counter)?;
    for (name, given) in &rows {
        counter(&mut family.encode_family(&[("stream", *name)])?, *given)?;
    }
    let dead = rows.iter().find(|(name, _)| *name == "system.dead_letters").map_or(0, |(_, given)| *given);
    out.counter("dead_letters", "Records that could not become rows", dead)
}

fn encode_jobs(engine: &Engine, out: &mut Out<'_>) -> fmt::Result {
    let jobs = engine.jobs();
    type Read = fn(&headwater_run::JobStatus) -> u64;
    let counters: [(&str, &str, Read); 4] = [
        ("job_rows_in", "Rows taken by a job", |job| job.rows_in),
        ("job_rows_out", "Rows written by a job", |job| job.rows_out),
        ("job_rows_late", "Rows that came too late for a job", |job| job.rows_late),
        ("job_steps", "Steps done by a job", |job| job.steps),
    ];
    for (name, help, read) in counters {
        let mut family = out.family(name, help, None, MetricType::Counter)?;
        for job in &jobs {
            counter(&mut family.encode_family(&[("job", job.name.as_str())])?, read(job))?;
        }
    }
    let gauges: [(&str, &str, Read); 5] = [
        (
            "job_lag_rows",
            "Rows that a job has not taken yet, or whose results are not in the log yet",
            |job| job.lag,
        ),
        ("job_state_entries", "Entries of a job's state", |job| job.state_entries),
        ("job_state_bytes", "Bytes of a job's state in memory, estimated", |job| job.state_bytes),
        ("job_state_spilled_bytes", "Bytes of a job's state in files", |job| job.state_spilled_bytes),
        ("job_running", "1 if the job runs", |job| u64::from(job.state == JobState::Running)),
    ];
    for (name, help, read) in gauges {
        let mut family = out.family(name, help, None, MetricType::Gauge)?;
        for job in &jobs {
            family.encode_family(&[("job", job.name.as_str())])?.encode_gauge(&read(job))?;
        }
    }
    let help = "The watermark of a job, seconds since the epoch";
    let mut watermarks = out.family("job_watermark", help, Some(&Unit::Seconds), MetricType::Gauge)?;
    for job in jobs.iter().filter(|job| job.watermark != EventTime::MIN && job.watermark != EventTime::MAX) {
        let seconds = job.watermark.millis() as f64 / 1e3;
        watermarks.encode_family(&[("job", job.name.as_str())])?.encode_gauge(&seconds)?;
    }
    let mut steps = out.family("job_step", "Time of a step", Some(&Unit::Seconds), MetricType::Histogram)?;
    for job in &jobs {
        let labels = [("job", job.name.as_str())];
        encode_micros(&mut steps.encode_family(&labels)?, &job.step_micros, job.step_micros_sum)?;
    }
    let help = "Time of a checkpoint";
    let mut checkpoints = out.family("job_checkpoint", help, Some(&Unit::Seconds), MetricType::Histogram)?;
    for job in &jobs {
        let labels = [("job", job.name.as_str())];
        encode_micros(
            &mut checkpoints.encode_family(&labels)?,
            &job.checkpoint_micros,
            job.checkpoint_micros_sum,
        )?;
    }
    Ok(())
}

fn encode_archives(engine: &Engine, out: &mut Out<'_>) -> fmt::Result {
    let archives = engine.archives();
    let gauges: [(&str, &str, fn(&headwater_run::ArchiveStatus) -> u64); 5] = [
        ("archive_rows", "Rows committed to an archive", |archive| archive.rows),
        ("archive_bytes", "Bytes committed to an archive", |archive| archive.bytes),
        ("archive_files", "Files committed to an archive", |archive| archive.files),
        ("archive_lag_rows", "Rows of the log that are not committed", |archive| archive.lag),
        ("archive_retries", "Tries in a row that failed", |archive| u64::from(archive.retries)),
    ];
    for (name, help, read) in gauges {
        let mut family = out.family(name, help, None, MetricType::Gauge)?;
        for (archive, status) in &archives {
            family.encode_family(&[("archive", archive.as_str())])?.encode_gauge(&read(status))?;
        }
    }
    Ok(())
}

/// What `system.connectors` shows, of the connectors that run.
fn encode_connectors(engine: &Engine, out: &mut Out<'_>) -> fmt::Result {
    let all: Vec<(String, ConnectorStatus)> =
        engine.connectors().into_iter().filter_map(|(table, status)| Some((table, status?))).collect();
    let labels = |table: &'_ str, status: &ConnectorStatus| {
        [("table", table.to_owned()), ("role", status.role.as_str().to_owned())]
    };
    type Read = fn(&ConnectorStatus) -> u64;
    let counters: [(&str, &str, Read); 3] = [
        ("connector_rows", "Rows moved by a connector", |status| status.rows),
        ("connector_dead_letters", "Records of a source that could not become rows", |status| {
            status.dead_letters
        }),
        ("connector_failures", "Failures of a connector", |status| status.failures),
    ];
    for (name, help, read) in counters {
        let mut family = out.family(name, help, None, MetricType::Counter)?;
        for (table, status) in &all {
            counter(&mut family.encode_family(&labels(table, status))?, read(status))?;
        }
    }
    let mut lags = out.family(
        "connector_lag_rows",
        "Rows that wait to be moved, if that can be told",
        None,
        MetricType::Gauge,
    )?;
    for (table, status) in &all {
        if let Some(lag) = status.lag {
            lags.encode_family(&labels(table, status))?.encode_gauge(&lag)?;
        }
    }
    let help = "For how long what a source has not in the log has waited, if that can be told";
    let mut ages = out.family("connector_lag_seconds", help, None, MetricType::Gauge)?;
    for (table, status) in &all {
        if let Some(millis) = status.lag_ms {
            ages.encode_family(&labels(table, status))?.encode_gauge(&(millis as f64 / 1_000.0))?;
        }
    }
    let help = "Rows moved in a second, over the last ten seconds";
    let mut rates = out.family("connector_rows_per_second", help, None, MetricType::Gauge)?;
    for (table, status) in &all {
        rates.encode_family(&labels(table, status))?.encode_gauge(&status.rows_per_second)?;
    }
    let mut running = out.family("connector_running", "1 if the connector runs", None, MetricType::Gauge)?;
    for (table, status) in &all {
        running.encode_family(&labels(table, status))?.encode_gauge(&u64::from(status.state == "running"))?;
    }
    Ok(())
}

/// Writes metrics one after the other.
struct Out<'a>(DescriptorEncoder<'a>);

impl Out<'_> {
    fn family<'s>(
        &'s mut self,
        name: &'s str,
        help: &str,
        unit: Option<&'s Unit>,
        kind: MetricType,
    ) -> Result<MetricEncoder<'s>, fmt::Error> {
        // The registry adds a full stop to what is registered with it; so that all read alike:
        self.0.encode_descriptor(name, &format!("{help}."), unit, kind)
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        counter(&mut self.family(name, help, None, MetricType::Counter)?, value)
    }

    fn gauge(&mut self, name: &str, help: &str, value: i64) -> fmt::Result {
        self.family(name, help, None, MetricType::Gauge)?.encode_gauge(&value)
    }
}

fn counter(metric: &mut MetricEncoder<'_>, value: u64) -> fmt::Result {
    metric.encode_counter::<NoLabelSet, _, u64>(&value, None)
}

/// A histogram of microseconds with cumulative counts as one of seconds.
fn encode_micros(metric: &mut MetricEncoder<'_>, cumulative: &[(u64, u64)], sum_micros: u64) -> fmt::Result {
    let (buckets, count) = buckets_of(cumulative);
    metric.encode_histogram::<NoLabelSet>(sum_micros as f64 / 1e6, count, &buckets, None)
}

/// Each bucket with its own count, in seconds; the last one has no upper bound.
fn buckets_of(cumulative: &[(u64, u64)]) -> (Vec<(f64, u64)>, u64) {
    let mut buckets = Vec::with_capacity(cumulative.len() + 1);
    let mut before = 0;
    for (upper, at_most) in cumulative {
        let upper = if *upper == u64::MAX { f64::MAX } else { *upper as f64 / 1e6 };
        buckets.push((upper, at_most.saturating_sub(before)));
        before = *at_most;
    }
    if buckets.last().is_none_or(|(upper, _)| *upper != f64::MAX) {
        buckets.push((f64::MAX, 0));
    }
    (buckets, before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cumulative_counts_become_buckets_that_end_at_infinity() {
        let (buckets, count) = buckets_of(&[(1000, 2), (1_000_000, 5), (u64::MAX, 6)]);
        assert_eq!((buckets, count), (vec![(0.001, 2), (1.0, 3), (f64::MAX, 1)], 6));
        assert_eq!(buckets_of(&[]), (vec![(f64::MAX, 0)], 0));
    }
}

//! Event history from the log: `wamp.subscription.get_events` is a query over the stream that records the topics.
//!
//! Events are in the order in which they were recorded: by sequence number, and where a stream has several shards by time first. Rows
//! without a time come last, as SQL has it, and lie in no stretch that a time bounds. An edge that is a publication is found as a row, and
//! stands for that row's place in the order.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use futures::TryStreamExt as _;
use headwater_core::EventTime;
use headwater_plan::{Catalog, Entry, StreamDef};
use headwater_run::Engine;
use headwater_wamp::connector::past::{PastReader, TIMESTAMP, TOPIC};
use headwater_wamp::message::Match;
use headwater_wamp::realm::{Edge, Moment, PastEvent, Question};
use headwater_wamp::router::{Answer, History};

use super::rows::json_of;
use crate::exit::coded;

/// How many events one answer has at most.
const EVENTS_MAX: usize = 10_000;

/// About how many bytes of them; a single event may be longer.
const BYTES_MAX: usize = 8 << 20;

/// How many rows one query looks at, at least: some may not be for whoever asks.
const PAGE_ROWS: usize = 1_000;

/// Event history from the streams of an engine.
pub(crate) struct StreamHistory(pub Engine);

impl History for StreamHistory {
    fn ask(&self, realm: &str, question: Question, answer: Answer) {
        let (engine, realm) = (self.0.clone(), realm.to_owned());
        tokio::spawn(async move {
            let recorded = match Recorded::find(&engine.catalog(), &realm, &question) {
                Ok(recorded) => recorded,
                Err(why) => return answer.unavailable(why),
            };
            match recorded.events(&engine, &question).await {
                Ok((events, is_limit_reached)) => answer.events(events, is_limit_reached),
                Err(error) => answer.failed(coded(&error)),
            }
        });
    }
}

/// A stream that records all topics of a subscription.
struct Recorded {
    stream: String,
    columns: Vec<String>,
    reader: PastReader,
    /// The column of the time at which an event was recorded, and its type.
    time: (String, DataType),
    /// Whether the stream has a column for the topic.
    has_topic: bool,
    /// The columns that say in which order events were recorded.
    order: Vec<String>,
}

/// Where a row stands in the order: a value for each of its columns.
type Place = Vec<ScalarValue>;

/// Conditions, and what their parameters stand for.
#[derive(Clone, Default)]
struct Filter {
    conditions: Vec<String>,
    parameters: BTreeMap<String, ScalarValue>,
}

impl Recorded {
    /// The stream that records the topics of a question and fewest others; the error says why there is none.
    fn find(catalog: &Catalog, realm: &str, question: &Question) -> Result<Self, String> {
        let mut lacks = None;
        let mut found: Vec<((Match, usize), Self)> = Vec::new();
        for entry in catalog.entries() {
            let (Entry::Stream(def) | Entry::Table(def)) = entry else { continue };
            let Some((topic, matching)) = topic_of(def, realm) else { continue };
            if !matching.covers(topic, question.matching, &question.uri) {
                continue;
            }
            let columns = def.schema.fields().iter().map(|field| field.name().as_str());
            match PastReader::new(topic, matching, columns) {
                Ok(reader) => found.push(((matching, usize::MAX - topic.len()), Self::new(def, reader))),
                Err(column) => lacks = Some((&def.name, column)),
            }
        }
        match found.into_iter().min_by_key(|(narrowness, _)| *narrowness) {
            Some((_, recorded)) => Ok(recorded),
            None => Err(match lacks {
                Some((stream, column)) => {
                    format!("stream {stream} records this, but is no history: it has no column {column}")
                }
                None => format!("no stream records all of {}", question.uri),
            }),
        }
    }

    fn new(def: &StreamDef, reader: PastReader) -> Self {
        let is_time = |data_type: &DataType| matches!(data_type, DataType::Timestamp(_, _));
        let said = def.schema.field_with_name(TIMESTAMP).ok().filter(|field| is_time(field.data_type()));
        let time = said.map_or_else(
            || {
                let utc = DataType::Timestamp(arrow::datatypes::TimeUnit::Nanosecond, Some("UTC".into()));
                ("_arrival".to_owned(), utc)
            },
            |field| (quoted(TIMESTAMP), field.data_type().clone()),
        );
        let mut order = vec!["_sequence".to_owned()];
        if def.shards > 1 {
            order = vec![time.0.clone(), "_shard".to_owned(), "_sequence".to_owned()];
        }
        Self {
            stream: quoted(&def.name),
            columns: def.schema.fields().iter().map(|field| quoted(field.name())).collect(),
            reader,
            time,
            has_topic: def.schema.field_with_name(TOPIC).is_ok(),
            order,
        }
    }

    /// The events that were asked for, and whether there are more.
    async fn events(&self, engine: &Engine, question: &Question) -> Result<(Vec<PastEvent>, bool)> {
        let limit = question.limit.unwrap_or(EVENTS_MAX).min(EVENTS_MAX);
        let Some(filter) = self.filter(engine, question).await? else { return Ok((Vec::new(), false)) };
        let (mut events, mut bytes) = (Vec::new(), 0);
        let mut after: Option<Place> = None;
        loop {
            let page = (limit - events.len() + 1).max(PAGE_ROWS);
            let mut filter = filter.clone();
            if let Some(place) = &after {
                self.add_place(&mut filter, place, !question.is_reverse, false);
            }
            let rows = self.page(engine, filter, question.is_reverse, page).await?;
            let count: usize = rows.iter().map(RecordBatch::num_rows).sum();
            for batch in &rows {
                for (row, json) in json_of(batch)?.into_iter().enumerate() {
                    let (topic, event) = self.reader.read(&json, self.time_of(batch, row)?)?;
                    if !question.admits(&topic, &event.receivers) {
                        continue;
                    }
                    bytes += json.len();
                    if events.len() == limit || (bytes > BYTES_MAX && !events.is_empty()) {
                        return Ok((events, true));
                    }
                    events.push(event);
                }
            }
            match rows.last().filter(|batch| count == page && batch.num_rows() > 0) {
                Some(last) => after = Some(self.place_of(last, last.num_rows() - 1)?),
                None => return Ok((events, false)),
            }
        }
    }

    /// What the question asks of rows; `None` if an edge is a publication that there is not.
    async fn filter(&self, engine: &Engine, question: &Question) -> Result<Option<Filter>> {
        let mut filter = Filter::default();
        if self.has_topic {
            let topic = |text: &str| format!("'{}'", text.replace('\'', "''"));
            match question.matching {
                Match::Exact => filter.conditions.push(format!("{TOPIC} = {}", topic(&question.uri))),
                Match::Prefix => {
                    filter.conditions.push(format!("starts_with({TOPIC}, {})", topic(&question.uri)));
                }
                // Rows are looked at one by one.
                Match::Wildcard => {}
            }
            filter.conditions.extend(question.topic.iter().map(|only| format!("{TOPIC} = {}", topic(only))));
        }
        for Edge { is_begin, is_included, at } in &question.edges {
            match at {
                Moment::Time(time) => {
                    let value = ScalarValue::TimestampNanosecond(Some(time.0), None).cast_to(&self.time.1)?;
                    let name = filter.name(value);
                    let compare = comparison(*is_begin, *is_included);
                    filter.conditions.push(format!("{} {compare} {name}", self.time.0));
                }
                Moment::Publication(id) => {
                    let Some(place) = self.place_of_publication(engine, *id).await? else { return Ok(None) };
                    self.add_place(&mut filter, &place, *is_begin, *is_included);
                }
            }
        }
        Ok(Some(filter))
    }

    async fn place_of_publication(&self, engine: &Engine, id: u64) -> Result<Option<Place>> {
        let order = self.order.join(", ");
        let sql = format!("SELECT {order} FROM {} WHERE wamp_publication = {id} LIMIT 1", self.stream);
        let rows: Vec<RecordBatch> = engine.select(&sql, BTreeMap::new()).await?.try_collect().await?;
        rows.iter().find(|batch| batch.num_rows() > 0).map(|batch| self.place_of(batch, 0)).transpose()
    }

    /// Rows in order, of all columns.
    async fn page(
        &self,
        engine: &Engine,
        filter: Filter,
        is_reverse: bool,
        limit: usize,
    ) -> Result<Vec<RecordBatch>> {
        let direction = if is_reverse { " DESC" } else { "" };
        let order: Vec<_> = self.order.iter().map(|column| format!("{column}{direction}")).collect();
        let mut sql =
            format!("SELECT {}, _shard, _sequence, _arrival FROM {}", self.columns.join(", "), self.stream);
        if !filter.conditions.is_empty() {
            sql += &format!(" WHERE {}", filter.conditions.join(" AND "));
        }
        sql += &format!(" ORDER BY {} LIMIT {limit}", order.join(", "));
        Ok(engine.select(&sql, filter.parameters).await?.try_collect().await?)
    }

    /// Asks for rows behind a place, or before it.
    fn add_place(&self, filter: &mut Filter, place: &[ScalarValue], is_begin: bool, is_included: bool) {
        let mut condition = String::new();
        for (column, value) in self.order.iter().zip(place).rev() {
            let name = if value.is_null() { String::new() } else { filter.name(value.clone()) };
            if condition.is_empty() {
                // The sequence number, which every row has.
                condition = format!("{column} {} {name}", comparison(is_begin, is_included));
                continue;
            }
            let (beyond, equal) = match (value.is_null(), is_begin) {
                (true, true) => ("FALSE".to_owned(), format!("{column} IS NULL")),
                (true, false) => (format!("{column} IS NOT NULL"), format!("{column} IS NULL")),
                (false, true) if *column == self.time.0 => {
                    (format!("{column} > {name} OR {column} IS NULL"), format!("{column} = {name}"))
                }
                (false, _) => {
                    (format!("{column} {} {name}", comparison(is_begin, false)), format!("{column} = {name}"))
                }
            };
            condition = format!("({beyond} OR ({equal} AND {condition}))");
        }
        filter.conditions.push(condition);
    }

    fn place_of(&self, batch: &RecordBatch, row: usize) -> Result<Place> {
        self.order.iter().map(|column| value(batch, column, row)).collect()
    }

    fn time_of(&self, batch: &RecordBatch, row: usize) -> Result<EventTime> {
        let nanos = DataType::Timestamp(arrow::datatypes::TimeUnit::Nanosecond, None);
        let mut time = value(batch, &self.time.0, row)?;
        if time.is_null() {
            time = value(batch, "_arrival", row)?;
        }
        match time.cast_to(&nanos)? {
            ScalarValue::TimestampNanosecond(Some(time), _) => Ok(EventTime(time)),
            _ => Ok(EventTime(0)),
        }
    }
}

impl Filter {
    /// Gives a value a name.
    fn name(&mut self, value: ScalarValue) -> String {
        let name = format!("p{}", self.parameters.len());
        let dollar = format!("${name}");
        self.parameters.insert(name, value);
        dollar
    }
}

fn comparison(is_begin: bool, is_included: bool) -> &'static str {
    match (is_begin, is_included) {
        (true, true) => ">=",
        (true, false) => ">",
        (false, false) => "<",
        (false, true) => "<=",
    }
}

fn value(batch: &RecordBatch, column: &str, row: usize) -> Result<ScalarValue> {
    let name = column.trim_matches('"');
    let column = batch.column_by_name(name).with_context(|| format!("there is no column {name}"))?;
    Ok(ScalarValue::try_from_array(column, row)?)
}

/// What a stream records of a realm of the router of this process, and how that matches.
fn topic_of<'a>(def: &'a StreamDef, realm: &str) -> Option<(&'a str, Match)> {
    let option = |name: &str| def.options.get(name).map(String::as_str);
    let is_here = def.connector.as_deref() == Some("wamp")
        && option("realm") == Some(realm)
        && option("url").is_none()
        && !option("type").is_some_and(|role| role.eq_ignore_ascii_case("sink"));
    let matching = Match::from_name(option("match").unwrap_or("exact").trim())?;
    is_here.then_some((option("topic")?, matching))
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
#[path = "history_tests.rs"]
mod tests;

//! Which streams there are: a fold over changes.
//!
//! A change is checked and made by a `propose_…` method, kept by the catalog where there is one, and then applied. What is not yet
//! kept is never applied.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use headwater_core::{EventTime, SchemaId, ShardId, StreamId, StreamName};

use crate::api::{Compression, Durability, Retention, StreamInfo, StreamSpec};
use crate::error::{LogError, Result};
use crate::schema;

/// The most shards that a stream may have.
const SHARDS_MAX: u32 = 65_536;

/// One change to the set of streams. The schema that it brings travels beside it, as bytes.
#[derive(Clone, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Change {
    /// A new stream; brings its first schema.
    Create(Created),
    /// A stream and its rows are gone.
    Drop { stream: u32 },
    /// A stream has a new schema, which this brings.
    Evolve { stream: u32, schema: u32 },
    /// A stream keeps its rows for another time.
    Retention { stream: u32, retention: Retention },
    /// What the layers above keep with a stream has changed.
    Properties { stream: u32, properties: BTreeMap<String, String> },
    /// A shard has another fencing token.
    Fence { stream: u32, shard: u32, token: Option<u64> },
    /// A stream's rows are removed only once they are released, or no longer so.
    Hold { stream: u32, held: bool },
    /// The next stream gets at least this number.
    NextStream { id: u32 },
}

/// A new stream, but for its schema.
#[derive(Clone, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Created {
    id: u32,
    name: String,
    shards: u32,
    partition_by: Vec<String>,
    event_time: Option<String>,
    durability: Durability,
    retention: Retention,
    compression: Compression,
    properties: BTreeMap<String, String>,
    created: i64,
}

impl Created {
    fn new(id: StreamId, spec: &StreamSpec, created: EventTime) -> Self {
        Self {
            id: id.0,
            name: spec.name.to_string(),
            shards: spec.shards,
            partition_by: spec.partition_by.clone(),
            event_time: spec.event_time.clone(),
            durability: spec.durability,
            retention: spec.retention,
            compression: spec.compression,
            properties: spec.properties.clone(),
            created: created.0,
        }
    }

    /// The number that the stream gets.
    pub(crate) fn id(&self) -> StreamId {
        StreamId(self.id)
    }
}

/// A stream that exists.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    /// What users see of it.
    pub info: Arc<StreamInfo>,
    /// All its schemas; the last is the newest.
    pub schemas: Vec<SchemaRef>,
    /// Index of the event-time column.
    pub event_time: Option<usize>,
    /// The shards that have a fencing token.
    pub fences: BTreeMap<ShardId, u64>,
    /// Whether rows are removed only once they are released.
    pub held: bool,
}

impl Stream {
    /// The newest schema.
    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.info.spec.schema
    }

    /// Refuses a shard that the stream does not have.
    pub(crate) fn check_shard(&self, shard: ShardId) -> Result<()> {
        let spec = &self.info.spec;
        if shard.0 < spec.shards {
            return Ok(());
        }
        Err(LogError::NoShard { stream: spec.name.clone(), shard, shards: spec.shards })
    }
}

/// The streams.
#[derive(Clone, Debug, Default)]
pub(crate) struct Streams {
    by_id: BTreeMap<StreamId, Stream>,
    by_name: BTreeMap<StreamName, StreamId>,
    next_id: u32,
}

impl Streams {
    /// The stream of this number.
    pub(crate) fn get(&self, id: StreamId) -> Result<&Stream> {
        self.by_id.get(&id).ok_or_else(|| LogError::NoStream { name: format!("number {id}") })
    }

    /// The stream of this name.
    pub(crate) fn named(&self, name: &str) -> Result<&Stream> {
        let found = StreamName::new(name).ok().and_then(|name| self.by_name.get(&name));
        match found {
            Some(id) => self.get(*id),
            None => Err(LogError::NoStream { name: name.to_owned() }),
        }
    }

    /// All of them, by name.
    pub(crate) fn list(&self) -> Vec<Arc<StreamInfo>> {
        self.by_name.values().filter_map(|id| self.by_id.get(id)).map(|one| Arc::clone(&one.info)).collect()
    }

    /// All of them, by number.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Stream> {
        self.by_id.values()
    }

    /// Whether a stream of this number was ever created.
    pub(crate) fn existed(&self, id: StreamId) -> bool {
        id.0 < self.next_id
    }

    /// A new stream, if it may be.
    pub(crate) fn propose_create(&self, spec: &StreamSpec, now: EventTime) -> Result<Change> {
        if self.by_name.contains_key(&spec.name) {
            return Err(LogError::StreamExists { name: spec.name.clone() });
        }
        check_spec(spec).map_err(|reason| LogError::BadSpec { stream: spec.name.clone(), reason })?;
        Ok(Change::Create(Created::new(StreamId(self.next_id), spec, now)))
    }

    /// A stream's new schema, if it may be; nothing if it has that already.
    pub(crate) fn propose_evolve(&self, id: StreamId, new: &SchemaRef) -> Result<Option<Change>> {
        let stream = self.get(id)?;
        if stream.schema() == new {
            return Ok(None);
        }
        let refuse = |reason| LogError::BadSpec { stream: stream.info.spec.name.clone(), reason };
        schema::check(new).map_err(refuse)?;
        schema::evolve(stream.schema(), new).map_err(refuse)?;
        Ok(Some(Change::Evolve { stream: id.0, schema: stream.info.schema_id.0 + 1 }))
    }

    /// Applies a change that was proposed here, or kept by a catalog. What does not fit says why.
    pub(crate) fn apply(
        &mut self,
        change: &Change,
        schema: Option<SchemaRef>,
    ) -> std::result::Result<(), String> {
        match change {
            Change::Create(created) => {
                self.create(created, schema.ok_or("a new stream without a schema")?)?
            }
            Change::Drop { stream } => {
                let gone = self.by_id.remove(&StreamId(*stream)).ok_or("a dropped stream is not known")?;
                self.by_name.remove(&gone.info.spec.name);
            }
            Change::Evolve { stream, schema: id } => {
                let schema = schema.ok_or("an evolution without a schema")?;
                let stream = self.known(*stream)?;
                if *id as usize != stream.schemas.len() {
                    return Err(format!("schema {id} of {} is out of order", stream.info.spec.name));
                }
                let mut info = StreamInfo::clone(&stream.info);
                info.schema_id = SchemaId(*id);
                info.spec.schema = Arc::clone(&schema);
                stream.schemas.push(schema);
                stream.info = Arc::new(info);
            }
            Change::Retention { stream, retention } => {
                let stream = self.known(*stream)?;
                let mut info = StreamInfo::clone(&stream.info);
                info.spec.retention = *retention;
                stream.info = Arc::new(info);
            }
            Change::Properties { stream, properties } => {
                let stream = self.known(*stream)?;
                let mut info = StreamInfo::clone(&stream.info);
                info.spec.properties.clone_from(properties);
                stream.info = Arc::new(info);
            }
            Change::Fence { stream, shard, token } => {
                let fences = &mut self.known(*stream)?.fences;
                match token {
                    Some(token) => fences.insert(ShardId(*shard), *token),
                    None => fences.remove(&ShardId(*shard)),
                };
            }
            Change::Hold { stream, held } => self.known(*stream)?.held = *held,
            Change::NextStream { id } => self.next_id = self.next_id.max(*id),
        }
        Ok(())
    }

    /// The changes that lead from nothing to here, with the schemas that they bring.
    pub(crate) fn as_changes(&self) -> Vec<(Change, Option<SchemaRef>)> {
        let mut changes = Vec::new();
        for stream in self.by_id.values() {
            let StreamInfo { id, spec, created, .. } = &*stream.info;
            let create = Created::new(*id, spec, *created);
            changes.push((Change::Create(create), stream.schemas.first().cloned()));
            for (number, schema) in (0..).zip(&stream.schemas).skip(1) {
                let evolve = Change::Evolve { stream: id.0, schema: number };
                changes.push((evolve, Some(Arc::clone(schema))));
            }
            for (shard, token) in &stream.fences {
                let fence = Change::Fence { stream: id.0, shard: shard.0, token: Some(*token) };
                changes.push((fence, None));
            }
            if stream.held {
                changes.push((Change::Hold { stream: id.0, held: true }, None));
            }
        }
        changes.push((Change::NextStream { id: self.next_id }, None));
        changes
    }

    fn known(&mut self, id: u32) -> std::result::Result<&mut Stream, String> {
        self.by_id.get_mut(&StreamId(id)).ok_or_else(|| format!("stream {id} is not known"))
    }

    fn create(&mut self, created: &Created, schema: SchemaRef) -> std::result::Result<(), String> {
        let id = StreamId(created.id);
        let name = StreamName::new(&created.name).map_err(|error| error.to_string())?;
        if self.by_id.contains_key(&id) || self.by_name.contains_key(&name) {
            return Err(format!("stream {name}, number {id}, is created twice"));
        }
        let spec = StreamSpec {
            name: name.clone(),
            schema: Arc::clone(&schema),
            shards: created.shards,
            partition_by: created.partition_by.clone(),
            event_time: created.event_time.clone(),
            durability: created.durability,
            retention: created.retention,
            compression: created.compression,
            properties: created.properties.clone(),
        };
        check_spec(&spec)?;
        let event_time = spec.event_time.as_ref().and_then(|column| schema.index_of(column).ok());
        let info = StreamInfo { id, spec, schema_id: SchemaId(0), created: EventTime(created.created) };
        let stream = Stream {
            info: Arc::new(info),
            schemas: vec![schema],
            event_time,
            fences: BTreeMap::new(),
            held: false,
        };
        self.by_id.insert(id, stream);
        self.by_name.insert(name, id);
        self.next_id = self.next_id.max(id.0 + 1);
        Ok(())
    }
}

fn check_spec(spec: &StreamSpec) -> std::result::Result<(), String> {
    if spec.shards == 0 || spec.shards > SHARDS_MAX {
        return Err(format!("{} shards; from 1 to {SHARDS_MAX} are possible", spec.shards));
    }
    schema::check(&spec.schema)?;
    for column in &spec.partition_by {
        if spec.schema.index_of(column).is_err() {
            return Err(format!("it is to be partitioned by {column}, which is not one of its columns"));
        }
    }
    let Some(column) = &spec.event_time else { return Ok(()) };
    match spec.schema.field_with_name(column).map(|field| field.data_type()) {
        Ok(DataType::Timestamp(_, _)) => Ok(()),
        Ok(other) => Err(format!("event time {column} is {other}; it must be a timestamp")),
        Err(_) => Err(format!("event time {column} is not one of its columns")),
    }
}

//! Avro: each message is one datum, either of a schema that is known beforehand or of one that a registry has numbered.
//!
//! A datum is decoded by the schema it was written with; its fields go to the columns of their names, cast where that is possible. The
//! library decodes many datums into one batch, which one bad datum spoils: then the messages of that run are decoded one by one.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow_avro::reader::{Decoder as DatumDecoder, ReaderBuilder};
use arrow_avro::schema::{AvroSchema, Fingerprint, FingerprintAlgorithm, SCHEMA_METADATA_KEY, SchemaStore};
use arrow_avro::writer::format::AvroBinaryFormat;
use arrow_avro::writer::{Encoder as DatumEncoder, WriterBuilder};
use bytes::Bytes;

use super::schemas::{PREFIX, prefix, split};
use super::settings::FormatOptions;
use super::untrusted::fenced;
use super::{Decoded, Format, Schemas};
use crate::bad::{BadRecord, RecordFault};
use crate::conform::conform;
use crate::error::{IngestError, Result};

/// The number under which a schema goes that has none.
const OWN: u32 = 0;

/// The most datums that one batch holds.
const DATUMS_MAX: usize = 1 << 20;

/// Decodes datums into rows of one schema.
pub(super) struct AvroDecoder {
    schema: SchemaRef,
    /// Where schemas are looked up; `None`: there is one.
    schemas: Option<Schemas>,
    own: String,
    decoders: HashMap<u32, DatumDecoder>,
    record_bytes_max: usize,
}

impl AvroDecoder {
    pub(super) fn new(format: Format, schema: &SchemaRef, options: &FormatOptions) -> Result<Self> {
        let own = schema_text(schema, options)?;
        let mut decoder = Self {
            schema: Arc::clone(schema),
            schemas: (format == Format::AvroConfluent).then(|| options.schemas.clone()),
            own,
            decoders: HashMap::new(),
            record_bytes_max: options.limits.record_bytes_max,
        };
        if decoder.schemas.is_none() {
            let made = decoder.decoder(OWN).map_err(|reason| unreadable(&reason))?;
            decoder.decoders.insert(OWN, made);
        }
        Ok(decoder)
    }

    pub(super) fn decode_messages(&mut self, messages: &[Bytes], next_record: &mut u64) -> Result<Decoded> {
        let first = *next_record;
        *next_record += messages.len() as u64;
        let mut found = Found { first, rows: Vec::new(), bad: Vec::new() };
        let mut run: Vec<usize> = Vec::new();
        let mut run_id = OWN;
        for (at, message) in messages.iter().enumerate() {
            let id = match self.id_of(message) {
                Ok(id) => id,
                Err((fault, reason)) => {
                    found.bad(at, fault, reason, message);
                    continue;
                }
            };
            if id != run_id {
                self.decode_run(run_id, &run, messages, &mut found)?;
                run.clear();
                run_id = id;
            }
            run.push(at);
        }
        self.decode_run(run_id, &run, messages, &mut found)?;
        found.bad.sort_by_key(|bad| bad.record);
        let rows = concat_batches(&self.schema, &found.rows)?;
        Ok(Decoded { rows, bad: found.bad, origins: Vec::new(), bytes: Bytes::new() })
    }

    /// The number of the schema that a message was written with.
    fn id_of(&self, message: &[u8]) -> std::result::Result<u32, (RecordFault, String)> {
        if message.len() > self.record_bytes_max {
            let reason = format!("{} bytes, the most is {}", message.len(), self.record_bytes_max);
            return Err((RecordFault::TooLarge, reason));
        }
        let Some(schemas) = &self.schemas else { return Ok(OWN) };
        let no_number = || (RecordFault::Syntax, "expected a zero and the number of a schema".to_owned());
        let (id, _) = split(message).ok_or_else(no_number)?;
        match schemas.get(id) {
            Some(_) => Ok(id),
            None => Err((RecordFault::Syntax, format!("the registry has no schema {id}"))),
        }
    }

    /// Decodes consecutive messages of one schema.
    fn decode_run(&mut self, id: u32, run: &[usize], messages: &[Bytes], found: &mut Found) -> Result<()> {
        if run.is_empty() {
            return Ok(());
        }
        let mut decoder = match self.decoders.remove(&id).map_or_else(|| self.decoder(id), Ok) {
            Ok(decoder) => decoder,
            Err(reason) => {
                run.iter().for_each(|at| found.bad(*at, RecordFault::Syntax, reason.clone(), &messages[*at]));
                return Ok(());
            }
        };
        let is_framed = self.schemas.is_some();
        let whole = fenced("Avro", || Ok(decode_all(&mut decoder, run, messages, is_framed)))
            .unwrap_or_else(|error| Err(error.to_string()));
        match whole {
            Ok(rows) => found.take(&rows, run, messages, &self.schema)?,
            Err(_) => {
                for at in run {
                    // What a bad datum leaves in a decoder spoils it.
                    decoder = self.decoder(id).map_err(|reason| unreadable(&reason))?;
                    let one = fenced("Avro", || Ok(decode_all(&mut decoder, &[*at], messages, is_framed)))
                        .unwrap_or_else(|error| Err(error.to_string()));
                    match one {
                        Ok(rows) => found.take(&rows, &[*at], messages, &self.schema)?,
                        Err(reason) => found.bad(*at, RecordFault::Syntax, reason, &messages[*at]),
                    }
                }
                decoder = self.decoder(id).map_err(|reason| unreadable(&reason))?;
            }
        }
        self.decoders.insert(id, decoder);
        Ok(())
    }

    /// A decoder of datums that were written with this schema.
    fn decoder(&self, id: u32) -> std::result::Result<DatumDecoder, String> {
        let text = match &self.schemas {
            Some(schemas) => schemas
                .get(id)
                .map(|schema| schema.text.clone())
                .ok_or_else(|| format!("there is no schema {id}"))?,
            None => self.own.clone(),
        };
        let mut store = SchemaStore::new_with_type(FingerprintAlgorithm::Id);
        let built = store.set(Fingerprint::Id(id), AvroSchema::new(text)).and_then(|fingerprint| {
            ReaderBuilder::new()
                .with_writer_schema_store(store)
                .with_active_fingerprint(fingerprint)
                .with_batch_size(DATUMS_MAX)
                .build_decoder()
        });
        built.map_err(|error| format!("schema {id} cannot be used: {error}"))
    }
}

/// Decodes messages into one batch, or says what is wrong with one of them.
fn decode_all(
    decoder: &mut DatumDecoder,
    run: &[usize],
    messages: &[Bytes],
    is_framed: bool,
) -> std::result::Result<RecordBatch, String> {
    let mut framed = Vec::new();
    for at in run {
        let message = &messages[*at];
        let datum = if is_framed {
            message.as_ref()
        } else {
            framed.clear();
            framed.extend_from_slice(&prefix(OWN));
            framed.extend_from_slice(message);
            framed.as_slice()
        };
        let before = decoder.capacity();
        let used = decoder.decode(datum).map_err(|error| error.to_string())?;
        if used != datum.len() || before.wrapping_sub(decoder.capacity()) != 1 {
            return Err(format!("expected a datum of {} bytes, it does not end there", datum.len() - PREFIX));
        }
    }
    let rows = decoder.flush().map_err(|error| error.to_string())?;
    match rows {
        Some(rows) if rows.num_rows() == run.len() => Ok(rows),
        _ => Err("it holds no datum".to_owned()),
    }
}

/// What decoding gave so far.
struct Found {
    first: u64,
    rows: Vec<RecordBatch>,
    bad: Vec<BadRecord>,
}

impl Found {
    fn bad(&mut self, at: usize, fault: RecordFault, reason: String, message: &Bytes) {
        let (record, payload) = (self.first + at as u64, message.clone());
        self.bad.push(BadRecord { record, fault, field: None, reason: reason.into(), payload });
    }

    /// Takes the rows of some messages, as far as they fit the stream.
    fn take(
        &mut self,
        rows: &RecordBatch,
        run: &[usize],
        messages: &[Bytes],
        schema: &SchemaRef,
    ) -> Result<()> {
        let (rows, bad) = conform(rows, schema, 0)?;
        self.rows.push(rows);
        for bad in bad {
            let at = run[usize::try_from(bad.record).unwrap_or_default()];
            self.bad.push(BadRecord { record: self.first + at as u64, payload: messages[at].clone(), ..bad });
        }
        Ok(())
    }
}

/// Encodes rows as datums.
pub(super) struct AvroEncoder {
    encoder: DatumEncoder,
    schema: SchemaRef,
    text: String,
    /// The number of the schema, where one precedes each datum.
    pub(super) id: Option<u32>,
}

impl AvroEncoder {
    pub(super) fn new(schema: &SchemaRef, options: &FormatOptions) -> Result<Self> {
        let text = schema_text(schema, options)?;
        let metadata = [(SCHEMA_METADATA_KEY.to_owned(), text.clone())].into();
        let instants = instants(schema);
        let with_text = Schema::new_with_metadata(instants.fields().clone(), metadata);
        let encoder = WriterBuilder::new(with_text).build_encoder::<AvroBinaryFormat>();
        let encoder = encoder.map_err(|error| unsupported(schema, &error.to_string()))?;
        Ok(Self { encoder, schema: instants, text, id: None })
    }

    /// The schema's text.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Appends each row as a datum to `out`, and hands on where it ends.
    pub(super) fn encode(
        &mut self,
        rows: &RecordBatch,
        out: &mut Vec<u8>,
        mut end: impl FnMut(usize),
    ) -> Result<()> {
        let rows = to_instants(rows)?;
        self.encoder.encode(&rows).map_err(|error| unsupported(&self.schema, &error.to_string()))?;
        for datum in self.encoder.flush().iter() {
            if let Some(id) = self.id {
                out.extend_from_slice(&prefix(id));
            }
            out.extend_from_slice(&datum);
            end(out.len());
        }
        Ok(())
    }
}

/// The schema that was given, or the one that the columns make. As in Flink, a timestamp is an instant.
fn schema_text(schema: &SchemaRef, options: &FormatOptions) -> Result<String> {
    if let Some(text) = &options.avro_schema {
        return Ok(text.clone());
    }
    let made = AvroSchema::try_from(instants(schema).as_ref());
    made.map(|made| made.json_string).map_err(|error| unsupported(schema, &error.to_string()))
}

/// The schema with timestamps in UTC instead of none.
pub(super) fn instants(schema: &SchemaRef) -> SchemaRef {
    let instant = |field: &Arc<Field>| match field.data_type() {
        DataType::Timestamp(unit, None) => {
            let utc = DataType::Timestamp(*unit, Some("+00:00".into()));
            Arc::new(field.as_ref().clone().with_data_type(utc))
        }
        _ => Arc::clone(field),
    };
    Arc::new(Schema::new(schema.fields().iter().map(instant).collect::<Vec<_>>()))
}

/// Rows with timestamps in UTC.
pub(super) fn to_instants(rows: &RecordBatch) -> Result<RecordBatch> {
    let schema = instants(rows.schema_ref());
    let columns = rows.columns().iter().zip(schema.fields());
    let columns = columns.map(|(column, field)| arrow::compute::cast(column, field.data_type()));
    Ok(RecordBatch::try_new(schema.clone(), columns.collect::<std::result::Result<_, _>>()?)?)
}

fn unreadable(reason: &str) -> IngestError {
    IngestError::Unreadable { format: "Avro", reason: reason.to_owned() }
}

fn unsupported(schema: &SchemaRef, reason: &str) -> IngestError {
    IngestError::Unreadable {
        format: "Avro",
        reason: format!(
            "the columns {:?} do not go with it: {reason}",
            schema.fields().iter().map(|field| field.name()).collect::<Vec<_>>()
        ),
    }
}

//! Messages to rows.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::{Schema, SchemaRef};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use headwater_connectors::{Context, Result, SchemaRegistry};
use headwater_ingest::{BadRecord, Decoded, Decoder, IngestError, Options, RecordFault, Schemas};

use super::envelope::{About, AboutField, column_of, field_for};
use super::formats::{is_binary, options_of, read_format};

/// What bodies of messages are made of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bodies {
    /// Any bytes.
    Bytes,
    /// Text: formats that are not text lie in it as Base64.
    Text,
}

/// Turns messages into rows.
pub(crate) struct MessageReader {
    schema: SchemaRef,
    decoder: Decoder,
    is_base64: bool,
    registry: Option<SchemaRegistry>,
    /// What is known of the registry's schemas; the decoder looks them up here.
    schemas: Schemas,
    /// For each column that the envelope fills, its place in the schema and among the envelope's fields.
    about: Vec<(usize, usize)>,
}

impl MessageReader {
    /// A reader of messages for a stream, whose envelopes say what is in `fields`. Takes the options of a schema registry.
    pub(crate) fn new(
        context: &Context,
        fields: &[AboutField],
        bodies: Bodies,
        options: &mut Options,
    ) -> Result<Self> {
        let (mut about, mut body) = (Vec::new(), Vec::new());
        for (at, column) in context.schema.fields().iter().enumerate() {
            match context.metadata.get(column.name()) {
                Some(wanted) => about.push((at, field_for(column, wanted, fields)?)),
                None => body.push(Arc::clone(column)),
            }
        }
        let format = read_format(context, options)?;
        let body = Arc::new(Schema::new(body));
        let of_format = options_of(context);
        let decoder = Decoder::new(format, body, &of_format)?;
        let registry = SchemaRegistry::take_for(&[format], options)?;
        let is_base64 = bodies == Bodies::Text && is_binary(format);
        let (schema, schemas) = (Arc::clone(&context.schema), of_format.schemas);
        Ok(Self { schema, decoder, is_base64, registry, schemas, about })
    }

    /// The rows of messages. `about` tells what the envelope of a message says in a field, `place` where the message lay. Schemas that the
    /// messages name are fetched first.
    pub(crate) async fn read(
        &mut self,
        messages: &[Bytes],
        about: impl Fn(usize, usize) -> About,
        place: impl Fn(usize) -> String,
    ) -> Result<Decoded> {
        if !self.is_base64 {
            return self.rows(messages, about, place).await;
        }
        let (mut bodies, mut places, mut torn) = (Vec::new(), Vec::new(), Vec::new());
        for (at, message) in messages.iter().enumerate() {
            match STANDARD.decode(message.trim_ascii()) {
                Ok(body) => {
                    bodies.push(Bytes::from(body));
                    places.push(at);
                }
                Err(error) => torn.push((at, error)),
            }
        }
        let mut decoded =
            self.rows(&bodies, |at, field| about(places[at], field), |at| place(places[at])).await?;
        let record = |at: usize| at as u64 + 1;
        let number = |found: u64| record(places[(found - 1) as usize]);
        decoded.bad.iter_mut().for_each(|bad| bad.record = number(bad.record));
        decoded.origins.iter_mut().for_each(|origin| origin.record = number(origin.record));
        decoded.bad.extend(
            torn.into_iter().map(|(at, error)| BadRecord {
                record: record(at),
                fault: RecordFault::Syntax,
                field: None,
                reason: format!(
                    "the body is no Base64, in which this format is sent: {error} ({})",
                    place(at)
                )
                .into(),
                payload: messages[at].clone(),
            }),
        );
        decoded.bad.sort_by_key(|bad| bad.record);
        Ok(decoded)
    }

    async fn rows(
        &mut self,
        messages: &[Bytes],
        about: impl Fn(usize, usize) -> About,
        place: impl Fn(usize) -> String,
    ) -> Result<Decoded> {
        if let Some(registry) = &self.registry {
            registry.fetch_for(messages.iter().map(|message| &message[..]), &self.schemas).await?;
        }
        self.decoder.restart();
        let mut decoded = self.decoder.decode_messages(messages)?;
        let mut is_good = vec![true; messages.len()];
        for bad in &mut decoded.bad {
            let at = usize::try_from(bad.record - 1).unwrap_or(usize::MAX);
            if let Some(is_good) = is_good.get_mut(at) {
                *is_good = false;
                bad.reason = format!("{} ({})", bad.reason, place(at)).into();
            }
        }
        let good: Vec<usize> = (0..messages.len()).filter(|at| is_good[*at]).collect();
        decoded.rows = self.with_about(&decoded.rows, &good, about)?;
        Ok(decoded)
    }

    fn with_about(
        &self,
        rows: &RecordBatch,
        good: &[usize],
        about: impl Fn(usize, usize) -> About,
    ) -> Result<RecordBatch> {
        let mut columns = rows.columns().to_vec();
        for (at, field) in &self.about {
            let values = good.iter().map(|message| about(*message, *field));
            let column = cast(&column_of(values), self.schema.field(*at).data_type());
            columns.insert(*at, column.map_err(IngestError::from)?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(good.len()));
        let rows = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options);
        Ok(rows.map_err(IngestError::from)?)
    }
}

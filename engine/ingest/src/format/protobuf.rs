//! Protobuf: each message is one message of a `.proto` file, either given beforehand or numbered by a registry.
//!
//! The way to columns leads through Protobuf's own JSON mapping, with the fields' names as the file has them: so times, wrappers,
//! enumerations and bytes become what that mapping says, and the rules of JSON hold for all that follows.

use std::collections::{BTreeMap, HashMap};

use arrow::datatypes::SchemaRef;
use bytes::{BufMut, Bytes};
use prost_reflect::prost::Message as _;
use prost_reflect::{
    DescriptorPool, DeserializeOptions, DynamicMessage, MessageDescriptor, SerializeOptions,
};
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};

use super::json::JsonDecoder;
use super::schemas::{prefix, split};
use super::settings::FormatOptions;
use super::{Decoded, Format, Schemas};
use crate::bad::{BadRecord, RecordFault};
use crate::error::{IngestError, Result};

/// The name of the file that was given as a text.
const FILE: &str = "schema.proto";

/// How many files deep a message's place in its file is at most.
const DEPTH_MAX: usize = 32;

/// Decodes messages into rows of one schema.
pub(super) struct ProtobufDecoder {
    json: JsonDecoder,
    source: Source,
    files: HashMap<u32, std::result::Result<DescriptorPool, String>>,
    record_bytes_max: usize,
}

enum Source {
    /// One message type, known beforehand.
    Own(MessageDescriptor),
    /// Whatever the registry has.
    Registry(Schemas),
}

type Faulty<T> = std::result::Result<T, (RecordFault, String)>;

impl ProtobufDecoder {
    pub(super) fn new(format: Format, schema: &SchemaRef, options: &FormatOptions) -> Result<Self> {
        let source = match format {
            Format::ProtobufConfluent => Source::Registry(options.schemas.clone()),
            _ => Source::Own(own(options)?),
        };
        let json = JsonDecoder::new(schema, options)?;
        Ok(Self { json, source, files: HashMap::new(), record_bytes_max: options.limits.record_bytes_max })
    }

    pub(super) fn decode_messages(&mut self, messages: &[Bytes], next_record: &mut u64) -> Result<Decoded> {
        let first = *next_record;
        let mut texts = Vec::with_capacity(messages.len());
        let mut bad = Vec::new();
        for (record, message) in (first..).zip(messages) {
            match self.text(message) {
                Ok(text) => texts.push((record, Bytes::from(text))),
                Err((fault, reason)) => bad.push(BadRecord {
                    record,
                    fault,
                    field: None,
                    reason: reason.into(),
                    payload: message.clone(),
                }),
            }
        }
        let lines: Vec<_> = texts.iter().map(|(_, text)| text.clone()).collect();
        let mut decoded = self.json.decode_messages(&lines, &mut 0)?;
        for misfit in decoded.bad {
            let record = texts[usize::try_from(misfit.record).unwrap_or_default()].0;
            let payload = messages[usize::try_from(record - first).unwrap_or_default()].clone();
            bad.push(BadRecord { record, payload, ..misfit });
        }
        bad.sort_by_key(|bad| bad.record);
        *next_record += messages.len() as u64;
        (decoded.bad, decoded.origins, decoded.bytes) = (bad, Vec::new(), Bytes::new());
        Ok(decoded)
    }

    /// A message as JSON.
    fn text(&mut self, message: &Bytes) -> Faulty<Vec<u8>> {
        if message.len() > self.record_bytes_max {
            let reason = format!("{} bytes, the most is {}", message.len(), self.record_bytes_max);
            return Err((RecordFault::TooLarge, reason));
        }
        let syntax = |reason: String| (RecordFault::Syntax, reason);
        let (descriptor, body) = match &self.source {
            Source::Own(descriptor) => (descriptor.clone(), message.as_ref()),
            Source::Registry(schemas) => {
                let (id, rest) = split(message)
                    .ok_or_else(|| syntax("expected a zero and the number of a schema".to_owned()))?;
                let pool = self.files.entry(id).or_insert_with(|| match schemas.get(id) {
                    Some(schema) => compile(&schema.text, &schema.references),
                    None => Err(format!("the registry has no schema {id}")),
                });
                let pool = pool.as_ref().map_err(|reason| syntax(reason.clone()))?;
                find(pool, rest).ok_or_else(|| syntax(format!("schema {id} has no such message")))?
            }
        };
        let message = DynamicMessage::decode(descriptor, body).map_err(|error| syntax(error.to_string()))?;
        let options = SerializeOptions::new()
            .use_proto_field_name(true)
            .stringify_64_bit_integers(false)
            .skip_default_fields(false);
        let mut text = Vec::new();
        let mut serializer = serde_json::Serializer::new(&mut text);
        let written = message.serialize_with_options(&mut serializer, &options);
        written.map_err(|error| syntax(error.to_string()))?;
        Ok(text)
    }
}

/// Encodes rows, given as JSON objects.
pub(super) struct ProtobufEncoder {
    descriptor: MessageDescriptor,
    text: String,
    /// The number of the schema, where one precedes each message.
    pub(super) id: Option<u32>,
}

impl ProtobufEncoder {
    pub(super) fn new(schema: &SchemaRef, options: &FormatOptions) -> Result<Self> {
        let descriptor = own(options)?;
        let fields: Vec<_> = descriptor.fields().map(|field| field.name().to_owned()).collect();
        if let Some(column) = schema.fields().iter().find(|column| !fields.contains(column.name())) {
            let (column, message) = (column.name(), descriptor.full_name());
            return Err(unreadable(format!(
                "{message} has no field {column:?}; it has {}",
                fields.join(", ")
            )));
        }
        let text = options.protobuf_schema.clone().unwrap_or_default();
        Ok(Self { descriptor, text, id: None })
    }

    /// The schema's text.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Appends a row.
    pub(super) fn encode(&self, object: &[u8], out: &mut Vec<u8>) -> Result<()> {
        // A column that is NULL is a field that is not there.
        let mut json = serde_json::Deserializer::from_slice(object);
        let options = DeserializeOptions::new();
        let message = DynamicMessage::deserialize_with_options(self.descriptor.clone(), &mut json, &options);
        let message = message.map_err(|error| unreadable(error.to_string()))?;
        if let Some(id) = self.id {
            out.extend_from_slice(&prefix(id));
            place(&self.descriptor, out);
        }
        message.encode(out).map_err(|error| unreadable(error.to_string()))
    }
}

/// The message type that options name.
fn own(options: &FormatOptions) -> Result<MessageDescriptor> {
    let Some(text) = &options.protobuf_schema else {
        return Err(unreadable("it needs option 'protobuf.schema', the text of a .proto file".to_owned()));
    };
    let pool = compile(text, &BTreeMap::new()).map_err(unreadable)?;
    match &options.protobuf_message {
        Some(name) => pool.get_message_by_name(name).ok_or_else(|| {
            let known: Vec<_> = pool.all_messages().map(|message| message.full_name().to_owned()).collect();
            unreadable(format!("protobuf.schema has no message {name:?}; it has {}", known.join(", ")))
        }),
        None => {
            let file = pool.get_file_by_name(FILE);
            let first = file.and_then(|file| file.messages().next());
            first.ok_or_else(|| unreadable("protobuf.schema has no message".to_owned()))
        }
    }
}

/// Compiles a `.proto` file.
fn compile(text: &str, references: &BTreeMap<String, String>) -> std::result::Result<DescriptorPool, String> {
    struct Texts(BTreeMap<String, String>);

    impl FileResolver for Texts {
        fn open_file(&self, name: &str) -> std::result::Result<File, protox::Error> {
            let text = self.0.get(name).ok_or_else(|| protox::Error::file_not_found(name))?;
            File::from_source(name, text)
        }
    }

    let mut texts = references.clone();
    texts.insert(FILE.to_owned(), text.to_owned());
    let mut resolver = ChainFileResolver::new();
    resolver.add(Texts(texts));
    resolver.add(GoogleFileResolver::new());
    let mut compiler = protox::Compiler::with_file_resolver(resolver);
    let compiled = compiler.include_imports(true).open_file(FILE);
    compiled.map(|compiled| compiled.descriptor_pool()).map_err(|error| error.to_string())
}

/// Reads which message of the file it is: how many numbers, then the numbers, from the outside in; a single zero is the first. The
/// numbers are zigzag varints.
fn find<'a>(pool: &DescriptorPool, mut bytes: &'a [u8]) -> Option<(MessageDescriptor, &'a [u8])> {
    let count = usize::try_from(varint(&mut bytes)?).ok().filter(|count| *count <= DEPTH_MAX)?;
    let mut numbers = Vec::with_capacity(count.max(1));
    for _ in 0..count {
        numbers.push(usize::try_from(varint(&mut bytes)?).ok()?);
    }
    let (outer, inner) = numbers.split_first().unwrap_or((&0, &[]));
    let mut message = pool.get_file_by_name(FILE)?.messages().nth(*outer)?;
    for number in inner {
        let child = message.child_messages().nth(*number)?;
        message = child;
    }
    Some((message, bytes))
}

/// Writes which message of its file it is.
fn place(message: &MessageDescriptor, out: &mut Vec<u8>) {
    let mut numbers = Vec::new();
    let mut inner = message.clone();
    while let Some(outer) = inner.parent_message() {
        numbers.push(outer.child_messages().position(|child| child == inner).unwrap_or_default());
        inner = outer;
    }
    numbers.push(inner.parent_file().messages().position(|one| one == inner).unwrap_or_default());
    if numbers == [0] {
        return out.put_u8(0);
    }
    put_varint(numbers.len() as u64, out);
    numbers.iter().rev().for_each(|number| put_varint(*number as u64, out));
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let (mut value, mut shift) = (0_u64, 0);
    loop {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f).checked_shl(shift)?;
        shift += 7;
        if byte & 0x80 == 0 {
            // Zigzag: even numbers are those from zero up.
            return (value & 1 == 0).then_some(value >> 1);
        }
    }
}

fn put_varint(value: u64, out: &mut Vec<u8>) {
    let mut value = value << 1;
    while value >= 0x80 {
        out.push((value as u8 & 0x7f) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn unreadable(reason: String) -> IngestError {
    IngestError::Unreadable { format: "Protobuf", reason }
}

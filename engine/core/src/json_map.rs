//! Maps whose keys are no text, as JSON: an object's keys are, so each is the text of what it would be as a value. Arrow refuses them.

use arrow::array::{Array, AsArray};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use arrow::json::writer::{Encoder, EncoderOptions, NullableEncoder, make_encoder};

/// Writes such maps; `None`: the values are no maps, or their keys are text. For [`arrow::json::writer::EncoderFactory`].
pub fn encoder_of_map<'a>(
    array: &'a dyn Array,
    options: &'a EncoderOptions,
) -> Result<Option<NullableEncoder<'a>>, ArrowError> {
    let DataType::Map(entries, _) = array.data_type() else { return Ok(None) };
    let DataType::Struct(fields) = entries.data_type() else { return Ok(None) };
    let [key, value] = &**fields else { return Ok(None) };
    if matches!(key.data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) {
        return Ok(None);
    }
    let map = array.as_map();
    let keys = make_encoder(key, map.keys().as_ref(), options)?;
    let values = make_encoder(value, map.values().as_ref(), options)?;
    let text_keys = TextKeys { offsets: map.value_offsets(), keys, values, key: Vec::new() };
    Ok(Some(NullableEncoder::new(Box::new(text_keys), array.nulls().cloned())))
}

struct TextKeys<'a> {
    offsets: &'a [i32],
    keys: NullableEncoder<'a>,
    values: NullableEncoder<'a>,
    key: Vec<u8>,
}

impl Encoder for TextKeys<'_> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        out.push(b'{');
        for entry in self.offsets[row] as usize..self.offsets[row + 1] as usize {
            if entry > self.offsets[row] as usize {
                out.push(b',');
            }
            self.key.clear();
            self.keys.encode(entry, &mut self.key);
            if self.key.starts_with(b"\"") {
                out.extend_from_slice(&self.key);
            } else {
                quote(&self.key, out);
            }
            out.push(b':');
            if self.values.is_null(entry) {
                out.extend_from_slice(b"null");
            } else {
                self.values.encode(entry, out);
            }
        }
        out.push(b'}');
    }
}

/// JSON as the text of a key. It has no control characters outside of its texts, and escapes within.
fn quote(json: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in json {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out.push(b'"');
}

//! JSON: read by serde, items kept as the text that they are.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::serializer::Parts;
use super::{Dict, Malformed, Value};

pub(super) fn split<'a>(message: &'a [u8], parts: &mut Parts<'a>) -> Result<(), Malformed> {
    let mut json = serde_json::Deserializer::from_slice(message);
    json.deserialize_seq(Items(parts)).and_then(|()| json.end()).map_err(bad)
}

pub(super) fn read(item: &[u8]) -> Result<Value, Malformed> {
    let mut json = serde_json::Deserializer::from_slice(item);
    let value = Any.deserialize(&mut json).map_err(bad)?;
    json.end().map_err(bad)?;
    Ok(value)
}

pub(super) fn write(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Int(int) => write_int(*int, out),
        Value::Float(float) => write_float(*float, out),
        Value::Text(text) => write_text(text, out),
        Value::Bytes(bytes) => {
            out.extend_from_slice(b"\"\\u0000");
            out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
            out.push(b'"');
        }
        Value::List(list) => write_list(list, out),
        Value::Dict(dict) => write_dict(dict, out),
    }
}

pub(super) fn write_list(list: &[Value], out: &mut Vec<u8>) {
    out.push(b'[');
    for (at, item) in list.iter().enumerate() {
        comma(at, out);
        write(item, out);
    }
    out.push(b']');
}

pub(super) fn write_dict(dict: &Dict, out: &mut Vec<u8>) {
    out.push(b'{');
    for (at, (key, value)) in dict.iter().enumerate() {
        comma(at, out);
        write_text(key, out);
        out.push(b':');
        write(value, out);
    }
    out.push(b'}');
}

pub(super) fn write_int(int: i128, out: &mut Vec<u8>) {
    out.extend_from_slice(int.to_string().as_bytes());
}

/// JSON has no word for what is not finite; null says so.
fn write_float(float: f64, out: &mut Vec<u8>) {
    // Writing a number to memory cannot fail.
    let _ = serde_json::to_writer(out, &float);
}

pub(super) fn write_text(text: &str, out: &mut Vec<u8>) {
    // Writing text to memory cannot fail.
    let _ = serde_json::to_writer(out, text);
}

fn comma(at: usize, out: &mut Vec<u8>) {
    if at > 0 {
        out.push(b',');
    }
}

fn bad(error: serde_json::Error) -> Malformed {
    Malformed::new(format!("no JSON message: {error}"))
}

/// Collects the items of a list as they are.
struct Items<'p, 'a>(&'p mut Parts<'a>);

impl<'de> Visitor<'de> for Items<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(item) = seq.next_element::<&'de RawValue>()? {
            self.0.push(item.get().as_bytes()).map_err(serde::de::Error::custom)?;
        }
        Ok(())
    }
}

/// Reads whatever comes.
struct Any;

impl<'de> DeserializeSeed<'de> for Any {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Any {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Value, E> {
        Ok(Value::Bool(truth))
    }

    fn visit_i64<E>(self, int: i64) -> Result<Value, E> {
        Ok(Value::Int(int.into()))
    }

    fn visit_u64<E>(self, int: u64) -> Result<Value, E> {
        Ok(Value::Int(int.into()))
    }

    fn visit_f64<E>(self, float: f64) -> Result<Value, E> {
        Ok(Value::Float(float))
    }

    /// Text that begins with U+0000 is bytes, if the rest is base64; what is not stays text.
    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        let bytes = text.strip_prefix('\0').and_then(|rest| STANDARD.decode(rest).ok());
        Ok(bytes.map_or_else(|| Value::from(text), |bytes| Value::Bytes(Bytes::from(bytes))))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = seq.next_element_seed(Any)? {
            list.push(item);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            entries.push((key, map.next_value_seed(Any)?));
        }
        Ok(Value::Dict(Dict::from_iter(entries)))
    }
}

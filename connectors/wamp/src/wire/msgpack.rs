//! MessagePack, as far as WAMP uses it: read and written by hand, for its items are wanted as bytes.
//!
//! ```text
//!  00..7f  int        80..8f  map      90..9f  list     a0..bf  text
//!  c0 nil  c2 false  c3 true   c4..c6 bytes   c7..c9 extension   ca cb float
//!  cc..cf  uint 8..64   d0..d3 int 8..64   d4..d8 extension   d9..db text   dc dd list   de df map   e0..ff  int -32..-1
//! ```
//!
//! Extension types have no meaning in WAMP: they pass through untouched, and are bytes for other serializers.

use bytes::Bytes;

use super::reader::{Reader, deeper};
use super::serializer::{DEPTH_MAX, Parts};
use super::{Dict, Malformed, Value};

pub(super) fn split<'a>(message: &'a [u8], parts: &mut Parts<'a>) -> Result<(), Malformed> {
    let mut reader = Reader::new(message);
    let Head::List(len) = head(&mut reader)? else { return Err(Malformed::new("a message is a list")) };
    for _ in 0..len {
        let start = reader.at();
        skip(&mut reader, DEPTH_MAX)?;
        parts.push(reader.since(start))?;
    }
    reader.end()
}

pub(super) fn read(item: &[u8]) -> Result<Value, Malformed> {
    let mut reader = Reader::new(item);
    let value = value(&mut reader, DEPTH_MAX)?;
    reader.end()?;
    Ok(value)
}

/// What a value begins with; text, bytes and what is in lists and maps follow.
enum Head {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(u64),
    Bytes(u64),
    Extension(u64),
    List(u64),
    Map(u64),
}

fn head(reader: &mut Reader<'_>) -> Result<Head, Malformed> {
    let first = reader.byte()?;
    let signed = |bits: u64, len: u32| i128::from((bits << (64 - 8 * len)).cast_signed() >> (64 - 8 * len));
    Ok(match first {
        0x00..=0x7f => Head::Int(first.into()),
        0x80..=0x8f => Head::Map(u64::from(first & 0x0f)),
        0x90..=0x9f => Head::List(u64::from(first & 0x0f)),
        0xa0..=0xbf => Head::Text(u64::from(first & 0x1f)),
        0xc0 => Head::Null,
        0xc1 => return Err(Malformed::new("byte c1 does not occur in MessagePack")),
        0xc2 | 0xc3 => Head::Bool(first == 0xc3),
        0xc4..=0xc6 => Head::Bytes(reader.uint(1 << (first - 0xc4))?),
        0xc7..=0xc9 => Head::Extension(reader.uint(1 << (first - 0xc7))?),
        0xca => Head::Float(f32::from_bits(reader.uint(4)? as u32).into()),
        0xcb => Head::Float(f64::from_bits(reader.uint(8)?)),
        0xcc..=0xcf => Head::Int(reader.uint(1 << (first - 0xcc))?.into()),
        0xd0..=0xd3 => {
            let len = 1 << (first - 0xd0);
            Head::Int(signed(reader.uint(len.into())?, len))
        }
        0xd4..=0xd8 => Head::Extension(1 << (first - 0xd4)),
        0xd9..=0xdb => Head::Text(reader.uint(1 << (first - 0xd9))?),
        0xdc | 0xdd => Head::List(reader.uint(2 << (first - 0xdc))?),
        0xde | 0xdf => Head::Map(reader.uint(2 << (first - 0xde))?),
        0xe0..=0xff => Head::Int(first.cast_signed().into()),
    })
}

fn skip(reader: &mut Reader<'_>, depth: usize) -> Result<(), Malformed> {
    match head(reader)? {
        Head::Null | Head::Bool(_) | Head::Int(_) | Head::Float(_) => {}
        Head::Text(len) => {
            reader.text(len)?;
        }
        Head::Bytes(len) => {
            reader.take(len)?;
        }
        Head::Extension(len) => {
            reader.take(len + 1)?;
        }
        Head::List(len) => {
            let depth = deeper(depth)?;
            for _ in 0..len {
                skip(reader, depth)?;
            }
        }
        Head::Map(len) => {
            let depth = deeper(depth)?;
            for _ in 0..len {
                key(reader)?;
                skip(reader, depth)?;
            }
        }
    }
    Ok(())
}

fn value(reader: &mut Reader<'_>, depth: usize) -> Result<Value, Malformed> {
    Ok(match head(reader)? {
        Head::Null => Value::Null,
        Head::Bool(truth) => Value::Bool(truth),
        Head::Int(int) => Value::Int(int),
        Head::Float(float) => Value::Float(float),
        Head::Text(len) => Value::from(reader.text(len)?),
        Head::Bytes(len) => Value::Bytes(Bytes::copy_from_slice(reader.take(len)?)),
        Head::Extension(len) => {
            reader.byte()?;
            Value::Bytes(Bytes::copy_from_slice(reader.take(len)?))
        }
        Head::List(len) => {
            let depth = deeper(depth)?;
            let mut list = Vec::with_capacity(reader.room(len));
            for _ in 0..len {
                list.push(value(reader, depth)?);
            }
            Value::List(list)
        }
        Head::Map(len) => {
            let depth = deeper(depth)?;
            let mut entries = Vec::with_capacity(reader.room(len));
            for _ in 0..len {
                entries.push((key(reader)?.to_owned(), value(reader, depth)?));
            }
            Value::Dict(Dict::from_iter(entries))
        }
    })
}

fn key<'a>(reader: &mut Reader<'a>) -> Result<&'a str, Malformed> {
    match head(reader)? {
        Head::Text(len) => reader.text(len),
        _ => Err(Malformed::new("the keys of a dictionary are text")),
    }
}

pub(super) fn write(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.push(0xc0),
        Value::Bool(truth) => out.push(0xc2 + u8::from(*truth)),
        Value::Int(int) => write_int(*int, out),
        Value::Float(float) => {
            out.push(0xcb);
            out.extend_from_slice(&float.to_bits().to_be_bytes());
        }
        Value::Text(text) => write_text(text, out),
        Value::Bytes(bytes) => {
            write_len(bytes.len(), [None, Some(0xc4), Some(0xc5), Some(0xc6)], out);
            out.extend_from_slice(bytes);
        }
        Value::List(list) => write_list(list, out),
        Value::Dict(dict) => write_dict(dict, out),
    }
}

pub(super) fn write_list(list: &[Value], out: &mut Vec<u8>) {
    write_list_head(list.len(), out);
    for item in list {
        write(item, out);
    }
}

pub(super) fn write_dict(dict: &Dict, out: &mut Vec<u8>) {
    write_len(dict.len(), [Some(0x80), None, Some(0xde), Some(0xdf)], out);
    for (key, value) in dict.iter() {
        write_text(key, out);
        write(value, out);
    }
}

pub(super) fn write_list_head(len: usize, out: &mut Vec<u8>) {
    write_len(len, [Some(0x90), None, Some(0xdc), Some(0xdd)], out);
}

pub(super) fn write_text(text: &str, out: &mut Vec<u8>) {
    write_len(text.len(), [Some(0xa0), Some(0xd9), Some(0xda), Some(0xdb)], out);
    out.extend_from_slice(text.as_bytes());
}

/// Writes a length by the shortest of four forms: in the first byte itself (up to 15, for text 31), or in 1, 2 or 4 bytes.
fn write_len(len: usize, [within, one, two, four]: [Option<u8>; 4], out: &mut Vec<u8>) {
    let within_max = if within == Some(0xa0) { 31 } else { 15 };
    match (within, one, two) {
        (Some(first), _, _) if len <= within_max => out.push(first | len as u8),
        (_, Some(first), _) if len <= 0xff => out.extend_from_slice(&[first, len as u8]),
        (_, _, Some(first)) if len <= 0xffff => {
            out.push(first);
            out.extend_from_slice(&(len as u16).to_be_bytes());
        }
        _ => {
            out.extend(four);
            out.extend_from_slice(&(len as u32).to_be_bytes());
        }
    }
}

pub(super) fn write_uint(int: u64, out: &mut Vec<u8>) {
    match int {
        0..=0x7f => out.push(int as u8),
        0x80..=0xff => out.extend_from_slice(&[0xcc, int as u8]),
        0x100..=0xffff => {
            out.push(0xcd);
            out.extend_from_slice(&(int as u16).to_be_bytes());
        }
        0x1_0000..=0xffff_ffff => {
            out.push(0xce);
            out.extend_from_slice(&(int as u32).to_be_bytes());
        }
        _ => {
            out.push(0xcf);
            out.extend_from_slice(&int.to_be_bytes());
        }
    }
}

fn write_int(int: i128, out: &mut Vec<u8>) {
    if let Ok(int) = u64::try_from(int) {
        return write_uint(int, out);
    }
    match i64::try_from(int) {
        Ok(int @ -32..=-1) => out.push((int as i8).cast_unsigned()),
        Ok(int) => {
            out.push(0xd3);
            out.extend_from_slice(&int.to_be_bytes());
        }
        // Beyond what MessagePack has for whole numbers.
        Err(_) => write(&Value::Float(int as f64), out),
    }
}

//! CBOR (RFC 8949), as far as WAMP uses it: read and written by hand, for its items are wanted as bytes.
//!
//! ```text
//!  first byte: major type (3 bits), then a number: 0..23 itself, 24..27 in 1, 2, 4, 8 bytes, 31 of indefinite length
//!  0 uint   1 -1 - uint   2 bytes   3 text   4 list   5 map   6 tag   7 simple, float, break
//! ```
//!
//! Tags pass through untouched, and are left out for other serializers.

use bytes::Bytes;

use super::reader::{Reader, deeper};
use super::serializer::{DEPTH_MAX, Parts};
use super::{Dict, Malformed, Value};

/// The byte that ends what has no length.
const BREAK: u8 = 0xff;

pub(super) fn split<'a>(message: &'a [u8], parts: &mut Parts<'a>) -> Result<(), Malformed> {
    let mut reader = Reader::new(message);
    let (4, len) = head(&mut reader)? else { return Err(Malformed::new("a message is a list")) };
    let mut left = Left(len);
    while left.more(&mut reader)? {
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

/// The major type and its number; `None` is the indefinite length. For floats the number is their bits in 64-bit form.
fn head(reader: &mut Reader<'_>) -> Result<(u8, Option<u64>), Malformed> {
    let first = reader.byte()?;
    let (major, low) = (first >> 5, first & 0x1f);
    let number = match low {
        0..=23 => Some(u64::from(low)),
        24..=27 => Some(reader.uint(1 << (low - 24))?),
        31 if matches!(major, 2..=5) => None,
        _ => return Err(Malformed::new(format!("byte {first:02x} cannot begin a CBOR item"))),
    };
    if major == 7 {
        return Ok((major, Some(simple(low, number.unwrap_or_default())?)));
    }
    Ok((major, number))
}

/// Marks the simple values, which are no floats: NaNs that no float is written as.
const SIMPLE: u64 = 0xfff8_c0de_0000_0000;

fn simple(low: u8, number: u64) -> Result<u64, Malformed> {
    match low {
        20..=23 => Ok(SIMPLE | number),
        25 => Ok(half(number as u16).to_bits()),
        26 => Ok(f64::from(f32::from_bits(number as u32)).to_bits()),
        27 => Ok(number),
        _ => Err(Malformed::new(format!("CBOR has no simple value {number}"))),
    }
}

/// A float of 16 bits: 1 of sign, 5 of exponent, 10 of fraction.
fn half(bits: u16) -> f64 {
    let fraction = f64::from(bits & 0x3ff);
    let size = match (bits >> 10) & 0x1f {
        0 => fraction * 2_f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        exponent => (1.0 + fraction / 1024.0) * 2_f64.powi(i32::from(exponent) - 15),
    };
    if bits & 0x8000 == 0 { size } else { -size }
}

/// How many items are to come, if that was said.
struct Left(Option<u64>);

impl Left {
    fn more(&mut self, reader: &mut Reader<'_>) -> Result<bool, Malformed> {
        match &mut self.0 {
            Some(0) => Ok(false),
            Some(left) => {
                *left -= 1;
                Ok(true)
            }
            None if reader.peek()? == BREAK => {
                reader.byte()?;
                Ok(false)
            }
            None => Ok(true),
        }
    }
}

fn skip(reader: &mut Reader<'_>, depth: usize) -> Result<(), Malformed> {
    match head(reader)? {
        (major @ (2 | 3), len) => chunks(reader, major, len, |_| {}),
        (4, len) => {
            let (mut left, depth) = (Left(len), deeper(depth)?);
            while left.more(reader)? {
                skip(reader, depth)?;
            }
            Ok(())
        }
        (5, len) => {
            let (mut left, depth) = (Left(len), deeper(depth)?);
            while left.more(reader)? {
                key(reader)?;
                skip(reader, depth)?;
            }
            Ok(())
        }
        (6, _) => skip(reader, deeper(depth)?),
        _ => Ok(()),
    }
}

fn value(reader: &mut Reader<'_>, depth: usize) -> Result<Value, Malformed> {
    Ok(match head(reader)? {
        (0, number) => Value::Int(number.unwrap_or_default().into()),
        (1, number) => Value::Int(-1 - i128::from(number.unwrap_or_default())),
        (2, len) => {
            let mut bytes = Vec::new();
            chunks(reader, 2, len, |chunk| bytes.extend_from_slice(chunk))?;
            Value::Bytes(Bytes::from(bytes))
        }
        (3, len) => Value::Text(text(reader, len)?),
        (4, len) => {
            let (mut left, depth) = (Left(len), deeper(depth)?);
            let mut list = Vec::with_capacity(reader.room(len.unwrap_or_default()));
            while left.more(reader)? {
                list.push(value(reader, depth)?);
            }
            Value::List(list)
        }
        (5, len) => {
            let (mut left, depth) = (Left(len), deeper(depth)?);
            let mut entries = Vec::with_capacity(reader.room(len.unwrap_or_default()));
            while left.more(reader)? {
                entries.push((key(reader)?, value(reader, depth)?));
            }
            Value::Dict(Dict::from_iter(entries))
        }
        (6, _) => value(reader, deeper(depth)?)?,
        (_, bits) => match bits.unwrap_or_default() {
            bits if bits == SIMPLE | 20 => Value::Bool(false),
            bits if bits == SIMPLE | 21 => Value::Bool(true),
            bits if bits == SIMPLE | 22 || bits == SIMPLE | 23 => Value::Null,
            bits => Value::Float(f64::from_bits(bits)),
        },
    })
}

fn key(reader: &mut Reader<'_>) -> Result<String, Malformed> {
    match head(reader)? {
        (3, len) => text(reader, len),
        _ => Err(Malformed::new("the keys of a dictionary are text")),
    }
}

fn text(reader: &mut Reader<'_>, len: Option<u64>) -> Result<String, Malformed> {
    if let Some(len) = len {
        return reader.text(len).map(str::to_owned);
    }
    let mut text = Vec::new();
    chunks(reader, 3, None, |chunk| text.extend_from_slice(chunk))?;
    // Each chunk was checked, and text made of texts is text.
    String::from_utf8(text).map_err(|error| Malformed::new(error.to_string()))
}

/// Takes text or bytes, in one piece or in chunks up to a break.
fn chunks(
    reader: &mut Reader<'_>,
    major: u8,
    len: Option<u64>,
    mut take: impl FnMut(&[u8]),
) -> Result<(), Malformed> {
    let mut piece = |reader: &mut Reader<'_>, len| {
        take(if major == 3 { reader.text(len)?.as_bytes() } else { reader.take(len)? });
        Ok(())
    };
    if let Some(len) = len {
        return piece(reader, len);
    }
    while reader.peek()? != BREAK {
        match head(reader)? {
            (same, Some(len)) if same == major => piece(reader, len)?,
            _ => return Err(Malformed::new("a chunk of CBOR is of another kind than the whole")),
        }
    }
    reader.byte().map(|_| ())
}

pub(super) fn write(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.push(0xf6),
        Value::Bool(truth) => out.push(0xf4 + u8::from(*truth)),
        Value::Int(int) => write_int(*int, out),
        Value::Float(float) => {
            out.push(0xfb);
            out.extend_from_slice(&float.to_bits().to_be_bytes());
        }
        Value::Text(text) => write_text(text, out),
        Value::Bytes(bytes) => {
            write_head(2, bytes.len() as u64, out);
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
    write_head(5, dict.len() as u64, out);
    for (key, value) in dict.iter() {
        write_text(key, out);
        write(value, out);
    }
}

pub(super) fn write_list_head(len: usize, out: &mut Vec<u8>) {
    write_head(4, len as u64, out);
}

pub(super) fn write_text(text: &str, out: &mut Vec<u8>) {
    write_head(3, text.len() as u64, out);
    out.extend_from_slice(text.as_bytes());
}

pub(super) fn write_uint(int: u64, out: &mut Vec<u8>) {
    write_head(0, int, out);
}

fn write_int(int: i128, out: &mut Vec<u8>) {
    match (u64::try_from(int), u64::try_from(-1 - int)) {
        (Ok(int), _) => write_uint(int, out),
        (_, Ok(int)) => write_head(1, int, out),
        // Nothing reads such a number: no serializer has it.
        _ => write(&Value::Float(int as f64), out),
    }
}

fn write_head(major: u8, number: u64, out: &mut Vec<u8>) {
    let first = major << 5;
    match number {
        0..=23 => out.push(first | number as u8),
        24..=0xff => out.extend_from_slice(&[first | 24, number as u8]),
        0x100..=0xffff => {
            out.push(first | 25);
            out.extend_from_slice(&(number as u16).to_be_bytes());
        }
        0x1_0000..=0xffff_ffff => {
            out.push(first | 26);
            out.extend_from_slice(&(number as u32).to_be_bytes());
        }
        _ => {
            out.push(first | 27);
            out.extend_from_slice(&number.to_be_bytes());
        }
    }
}

//! `ENCODE(text, charset)` and `DECODE(bytes, charset)`, as the parser hands them on, and `UNHEX(text)`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, StringArray};
use arrow::datatypes::DataType;
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::ScalarUDF;

use super::computed::Computed;

pub(super) fn functions() -> Vec<ScalarUDF> {
    let all = [
        Computed {
            name: "$encode",
            coerce: |types| match types {
                [_, _] => Ok(vec![DataType::Utf8; 2]),
                _ => plan_err!("ENCODE takes a text and a character set"),
            },
            returns: |_| DataType::Binary,
            call: |args| {
                let charset = Charset::of(&args[1])?;
                let bytes = args[0].as_string::<i32>().iter().map(|text| charset.encode(text?));
                Ok(Arc::new(bytes.collect::<BinaryArray>()))
            },
        },
        Computed {
            name: "$decode",
            coerce: |types| match types {
                [_, _] => Ok(vec![DataType::Binary, DataType::Utf8]),
                _ => plan_err!("DECODE takes bytes and a character set"),
            },
            returns: |_| DataType::Utf8,
            call: |args| {
                let charset = Charset::of(&args[1])?;
                let texts =
                    args[0].as_binary::<i32>().iter().map(|bytes| bytes.map(|bytes| charset.decode(bytes)));
                Ok(Arc::new(texts.collect::<StringArray>()))
            },
        },
        // NULL of what are no hexadecimal digits; an odd one stands by itself at the beginning.
        Computed {
            name: "unhex",
            coerce: |types| match types {
                [_] => Ok(vec![DataType::Utf8]),
                _ => plan_err!("UNHEX takes a text"),
            },
            returns: |_| DataType::Binary,
            call: |args| {
                let bytes = args[0].as_string::<i32>().iter().map(|text| unhex(text?));
                Ok(Arc::new(bytes.collect::<BinaryArray>()))
            },
        },
    ];
    all.into_iter().map(Computed::function).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.chars().map(|digit| digit.to_digit(16).map(|digit| digit as u8));
    let mut digits = digits.collect::<Option<Vec<u8>>>()?;
    if digits.len() % 2 == 1 {
        digits.insert(0, 0);
    }
    Some(digits.chunks_exact(2).map(|pair| pair[0] * 16 + pair[1]).collect())
}

/// How characters are written as bytes.
#[derive(Clone, Copy)]
enum Charset {
    Utf8,
    /// One byte each, of so many characters; what is not among them is a question mark.
    Bytes(u32),
    /// Whether the larger half comes first.
    Utf16(bool),
    /// With a mark of that before the first character.
    Marked,
}

impl Charset {
    /// The character set, which is the same in all rows.
    fn of(names: &ArrayRef) -> Result<Self> {
        let names = names.as_string::<i32>();
        let name = if names.is_empty() || names.is_null(0) { "UTF-8" } else { names.value(0) };
        Ok(match name.to_uppercase().as_str() {
            "UTF-8" => Self::Utf8,
            "US-ASCII" => Self::Bytes(128),
            "ISO-8859-1" => Self::Bytes(256),
            "UTF-16BE" => Self::Utf16(true),
            "UTF-16LE" => Self::Utf16(false),
            "UTF-16" => Self::Marked,
            _ => return exec_err!("there is no character set '{name}'"),
        })
    }

    fn encode(self, text: &str) -> Option<Vec<u8>> {
        let halves = |large_first: bool| {
            let bytes = |unit: u16| if large_first { unit.to_be_bytes() } else { unit.to_le_bytes() };
            text.encode_utf16().flat_map(bytes).collect::<Vec<u8>>()
        };
        Some(match self {
            Self::Utf8 => text.as_bytes().to_vec(),
            Self::Bytes(count) => {
                text.chars().map(|c| if u32::from(c) < count { u32::from(c) as u8 } else { b'?' }).collect()
            }
            Self::Utf16(large_first) => halves(large_first),
            Self::Marked => [vec![0xfe, 0xff], halves(true)].concat(),
        })
    }

    fn decode(self, bytes: &[u8]) -> String {
        let joined = |bytes: &[u8], large_first: bool| {
            let unit = |pair: &[u8]| match large_first {
                true => u16::from_be_bytes([pair[0], pair[1]]),
                false => u16::from_le_bytes([pair[0], pair[1]]),
            };
            String::from_utf16_lossy(&bytes.chunks_exact(2).map(unit).collect::<Vec<_>>())
        };
        match self {
            Self::Utf8 => String::from_utf8_lossy(bytes).into_owned(),
            Self::Bytes(count) => {
                bytes
                    .iter()
                    .map(|byte| {
                        if u32::from(*byte) < count { char::from(*byte) } else { char::REPLACEMENT_CHARACTER }
                    })
                    .collect()
            }
            Self::Utf16(large_first) => joined(bytes, large_first),
            Self::Marked => match bytes {
                [0xff, 0xfe, rest @ ..] => joined(rest, false),
                [0xfe, 0xff, rest @ ..] => joined(rest, true),
                _ => joined(bytes, true),
            },
        }
    }
}

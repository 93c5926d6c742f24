//! Parts and encodings of addresses, and Base64.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, StringArray};
use arrow::datatypes::DataType;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::ScalarUDF;

use super::computed::Computed;

pub(super) fn functions() -> Vec<ScalarUDF> {
    let of_text = |name, call| Computed {
        name,
        coerce: |types| match types {
            [_] => Ok(vec![DataType::Utf8]),
            _ => plan_err!("a text is expected"),
        },
        returns: |_| DataType::Utf8,
        call,
    };
    let all = [
        of_text("url_encode", |args| each(args, |text| Some(url_encode(text)))),
        of_text("url_decode", |args| each(args, url_decode)),
        of_text("to_base64", |args| each(args, |text| Some(STANDARD.encode(text)))),
        of_text("from_base64", |args| each(args, |text| String::from_utf8(STANDARD.decode(text).ok()?).ok())),
        Computed {
            name: "parse_url",
            coerce: |types| match types.len() {
                2 | 3 => Ok(vec![DataType::Utf8; types.len()]),
                _ => plan_err!("PARSE_URL takes an address, the part that is wanted, and of QUERY a key"),
            },
            returns: |_| DataType::Utf8,
            call: |args| {
                let column = |nth: usize| args[nth].as_string::<i32>().iter();
                let parts: StringArray = match args.len() {
                    2 => column(0).zip(column(1)).map(|(url, part)| part_of(url?, part?)).collect(),
                    _ => {
                        let both = column(0).zip(column(1)).zip(column(2));
                        both.map(|((url, part), key)| value_of(part_of(url?, part?)?, part?, key?)).collect()
                    }
                };
                Ok(Arc::new(parts))
            },
        },
    ];
    all.into_iter().map(Computed::function).collect()
}

fn each(args: &[ArrayRef], of: impl Fn(&str) -> Option<String>) -> Result<ArrayRef> {
    Ok(Arc::new(args[0].as_string::<i32>().iter().map(|text| of(text?)).collect::<StringArray>()))
}

/// As forms are sent: a blank is a plus.
fn url_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' ' => encoded.push('+'),
            b'-' | b'_' | b'.' | b'*' => encoded.push(byte.into()),
            _ if byte.is_ascii_alphanumeric() => encoded.push(byte.into()),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

fn url_decode(text: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                let (high, low) = (digit(bytes.next())?, digit(bytes.next())?);
                u8::try_from(high * 16 + low).ok()?
            }
            _ => byte,
        });
    }
    String::from_utf8(decoded).ok()
}

/// `PROTOCOL://AUTHORITY/path?QUERY#REF`, where AUTHORITY is `USERINFO@HOST:port`, and FILE the path with the query.
fn part_of<'u>(url: &'u str, part: &str) -> Option<&'u str> {
    let (protocol, rest) = url.split_once("://")?;
    let (rest, reference) = split(rest, '#');
    let (authority, file) = match rest.find(['/', '?']) {
        Some(end) => rest.split_at(end),
        None => (rest, ""),
    };
    let (path, query) = split(file, '?');
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, authority),
    };
    match part {
        "PROTOCOL" => Some(protocol),
        "AUTHORITY" => Some(authority),
        "USERINFO" => user,
        "HOST" => Some(host.rsplit_once(':').map_or(host, |(host, _)| host)),
        "PATH" => Some(path),
        "FILE" => Some(file),
        "QUERY" => query,
        "REF" => reference,
        _ => None,
    }
}

/// A text up to a character, and what is behind it.
fn split(text: &str, at: char) -> (&str, Option<&str>) {
    text.split_once(at).map_or((text, None), |(before, behind)| (before, Some(behind)))
}

/// The value of a key in a query.
fn value_of<'u>(query: &'u str, part: &str, key: &str) -> Option<&'u str> {
    if part != "QUERY" {
        return None;
    }
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find_map(|(of, value)| (of == key).then_some(value))
}

//! `CONVERT_TZ(text, from, to)`: a time as text, from the clock of one time zone to that of another; and the instant of a time as text
//! by the clock of a zone.
//!
//! A zone is `Europe/Berlin`, one of Java's abbreviations such as `PST`, or `GMT-08:00`. Of a time that comes twice, as clocks are
//! put back, the second is meant; one that is skipped is as much later as clocks are put forward.

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, AsArray, StringArray, TimestampMillisecondArray};
use arrow::datatypes::{DataType, TimeUnit};
use chrono::FixedOffset;
use datafusion::common::{Result, exec_datafusion_err, plan_err};
use datafusion::logical_expr::ScalarUDF;
use headwater_core::Zone;

use super::computed::Computed;
use super::parsed::{the_pattern, times};

pub(super) fn functions() -> Vec<ScalarUDF> {
    let convert = Computed {
        name: "convert_tz",
        coerce: |types| match types {
            [_, _, _] => Ok(vec![DataType::Utf8; 3]),
            _ => plan_err!("CONVERT_TZ takes a text, the time zone that it is in, and another"),
        },
        returns: |_| DataType::Utf8,
        call: convert,
    };
    vec![convert.function()]
}

fn convert(args: &[ArrayRef]) -> Result<ArrayRef> {
    let (from, to) = (args[1].as_string::<i32>(), args[2].as_string::<i32>());
    let zones = from.iter().zip(to);
    let converted = times(&args[0], "yyyy-MM-dd HH:mm:ss")?.zip(zones).map(|(time, zones)| {
        let (Some(time), (Some(from), Some(to))) = (time, zones) else { return Ok(None) };
        let (from, to) = (zone(from)?, zone(to)?);
        let there = from.to_utc(time).and_then(|utc| to.to_local(utc));
        Ok(there.map(|time| time.format("%Y-%m-%d %H:%M:%S").to_string()))
    });
    Ok(Arc::new(converted.collect::<Result<StringArray>>()?))
}

/// `TO_TIMESTAMP_LTZ(text, pattern, zone)`.
pub(super) static BY_ZONE: LazyLock<ScalarUDF> = LazyLock::new(|| {
    let instant = Computed {
        name: "$to_timestamp_ltz",
        coerce: |types| Ok(types.to_vec()),
        returns: |_| DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
        call: |args| {
            let zones = args[2].as_string::<i32>();
            let times = times(&args[0], the_pattern(&args[1]))?.zip(zones).map(|(time, name)| {
                let (Some(time), Some(name)) = (time, name) else { return Ok(None) };
                Ok(zone(name)?.to_utc(time).map(|utc| utc.and_utc().timestamp_millis()))
            });
            let instants = times.collect::<Result<TimestampMillisecondArray>>()?;
            Ok(Arc::new(instants.with_timezone("UTC")))
        },
    };
    instant.function()
});

/// What Java's abbreviations stand for, where they are no names of zones by themselves.
const ABBREVIATIONS: [(&str, &str); 25] = [
    ("ACT", "Australia/Darwin"),
    ("AET", "Australia/Sydney"),
    ("AGT", "America/Argentina/Buenos_Aires"),
    ("ART", "Africa/Cairo"),
    ("AST", "America/Anchorage"),
    ("BET", "America/Sao_Paulo"),
    ("BST", "Asia/Dhaka"),
    ("CAT", "Africa/Harare"),
    ("CNT", "America/St_Johns"),
    ("CST", "America/Chicago"),
    ("CTT", "Asia/Shanghai"),
    ("EAT", "Africa/Addis_Ababa"),
    ("ECT", "Europe/Paris"),
    ("IET", "America/Indiana/Indianapolis"),
    ("IST", "Asia/Kolkata"),
    ("JST", "Asia/Tokyo"),
    ("MIT", "Pacific/Apia"),
    ("NET", "Asia/Yerevan"),
    ("NST", "Pacific/Auckland"),
    ("PLT", "Asia/Karachi"),
    ("PNT", "America/Phoenix"),
    ("PRT", "America/Puerto_Rico"),
    ("PST", "America/Los_Angeles"),
    ("SST", "Pacific/Guadalcanal"),
    ("VST", "Asia/Ho_Chi_Minh"),
];

fn zone(name: &str) -> Result<Zone> {
    if let Some(offset) = fixed(name) {
        return Ok(Zone::Offset(offset));
    }
    let known = ABBREVIATIONS.iter().find(|(short, _)| *short == name);
    Zone::place(known.map_or(name, |(_, place)| place)).ok_or_else(|| {
        exec_datafusion_err!("there is no time zone '{name}'; give one as 'Europe/Berlin' or 'GMT-08:00'")
    })
}

/// `GMT-08:00`, also `GMT-0800` and `GMT-8`.
fn fixed(name: &str) -> Option<FixedOffset> {
    let rest = name.strip_prefix("GMT")?;
    let (sign, digits) = match rest.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let (hours, minutes) = match digits.split_once(':') {
        Some((hours, minutes)) => (hours, minutes),
        None if digits.len() > 2 => digits.split_at_checked(digits.len() - 2)?,
        None => (digits, "00"),
    };
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(hours) || hours.len() > 2 || !is_number(minutes) || minutes.len() != 2 {
        return None;
    }
    let (hours, minutes): (i32, i32) = (hours.parse().ok()?, minutes.parse().ok()?);
    if hours > 23 || minutes > 59 {
        return None;
    }
    FixedOffset::east_opt(sign * (hours * 60 + minutes) * 60)
}

//! Durations and sizes as people write them: `500ms`, `1 day`, `1h 30m`, `64 MiB`.

use std::time::Duration;

/// Reads a duration: one or more numbers with a unit, such as `250ms`, `1.5 s`, `5 minutes`, `1 day` or `1h 30m`.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let mut total = Duration::ZERO;
    for (number, unit) in parts(text)? {
        let seconds = match unit {
            "ns" | "nano" | "nanos" | "nanosecond" | "nanoseconds" => 1e-9,
            "us" | "µs" | "micro" | "micros" | "microsecond" | "microseconds" => 1e-6,
            "ms" | "milli" | "millis" | "millisecond" | "milliseconds" => 1e-3,
            "s" | "sec" | "secs" | "second" | "seconds" => 1.0,
            "m" | "min" | "mins" | "minute" | "minutes" => 60.0,
            "h" | "hour" | "hours" => 3_600.0,
            "d" | "day" | "days" => 86_400.0,
            "w" | "week" | "weeks" => 604_800.0,
            _ => return Err(format!("{unit:?} is no unit of time: use ns, us, ms, s, min, h, d or w")),
        };
        let part = Duration::try_from_secs_f64(number * seconds).map_err(|error| error.to_string())?;
        total = total.checked_add(part).ok_or("too long")?;
    }
    Ok(total)
}

/// Reads a number of bytes: `4096`, `64 KiB`, `1.5 MB`, `1g`. A unit with an `i`, or of one letter, counts in 1,024s.
pub fn parse_size(text: &str) -> Result<u64, String> {
    if let Ok(bytes) = text.trim().parse() {
        return Ok(bytes);
    }
    let mut total = 0.0;
    for (number, unit) in parts(text)? {
        let factor = match unit.to_ascii_lowercase().as_str() {
            "b" | "byte" | "bytes" => 1.0,
            "kb" => 1e3,
            "mb" => 1e6,
            "gb" => 1e9,
            "tb" => 1e12,
            "k" | "kib" => 1024.0,
            "m" | "mib" => 1024.0 * 1024.0,
            "g" | "gib" => 1024.0 * 1024.0 * 1024.0,
            "t" | "tib" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
            _ => {
                return Err(format!(
                    "{unit:?} is no unit of size: use B, KiB, MiB, GiB, TiB, KB, MB, GB or TB"
                ));
            }
        };
        total += number * factor;
    }
    if total >= u64::MAX as f64 { Err("too large".to_owned()) } else { Ok(total as u64) }
}

/// Splits `1h 30m` into `(1, "h"), (30, "m")`.
fn parts(text: &str) -> Result<Vec<(f64, &str)>, String> {
    let mut rest = text.trim();
    let mut parts = Vec::new();
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let number =
            rest[..digits].parse::<f64>().map_err(|_| format!("{text:?} has a unit without a number"))?;
        rest = rest[digits..].trim_start();
        let letters = rest.find(|c: char| !c.is_alphabetic()).unwrap_or(rest.len());
        if letters == 0 {
            return Err(format!("{text:?} has a number without a unit"));
        }
        parts.push((number, &rest[..letters]));
        rest = rest[letters..].trim_start();
    }
    if parts.is_empty() { Err("it is empty".to_owned()) } else { Ok(parts) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(parse_duration("1 day"), Ok(Duration::from_secs(86_400)));
        assert_eq!(parse_duration("1h 30m"), Ok(Duration::from_secs(5_400)));
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_duration("1.5s"), Ok(Duration::from_millis(1_500)));
        for bad in ["", "5", "day", "5 parsecs", "-1s", "1..2s"] {
            assert!(parse_duration(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn sizes() {
        assert_eq!(parse_size("4096"), Ok(4096));
        assert_eq!(parse_size("64 KiB"), Ok(65_536));
        assert_eq!(parse_size("1.5 MB"), Ok(1_500_000));
        assert_eq!(parse_size("128MiB"), Ok(134_217_728));
        for bad in ["", "MiB", "1 parsec", "-1"] {
            assert!(parse_size(bad).is_err(), "{bad:?}");
        }
    }
}

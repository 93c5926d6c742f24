//! Patterns of time, as Java writes them.

use datafusion::common::{Result, plan_err};

/// A pattern of Java's as one of strftime's.
pub(super) fn strftime(pattern: &str) -> Result<String> {
    let mut text = String::new();
    let mut rest = pattern;
    while let Some(first) = rest.chars().next() {
        if first == '\'' {
            // Text in quotes stands for itself, two quotes for one.
            let Some((quoted, after)) = rest[1..].split_once('\'') else {
                return plan_err!("a quote is open in the pattern \"{pattern}\"");
            };
            text.push_str(&if quoted.is_empty() { "'".to_owned() } else { quoted.replace('%', "%%") });
            rest = after;
            continue;
        }
        let run = rest.len() - rest.trim_start_matches(first).len();
        match (first, run / first.len_utf8()) {
            ('y', 4) | ('u', 4) => text.push_str("%Y"),
            ('y', 2) => text.push_str("%y"),
            ('M' | 'L', 4) => text.push_str("%B"),
            ('M' | 'L', 3) => text.push_str("%b"),
            ('M' | 'L', 2) => text.push_str("%m"),
            ('M' | 'L', 1) => text.push_str("%-m"),
            ('d', 2) => text.push_str("%d"),
            ('d', 1) => text.push_str("%-d"),
            ('D', 3) => text.push_str("%j"),
            ('D', 1) => text.push_str("%-j"),
            ('H', 2) => text.push_str("%H"),
            ('H', 1) => text.push_str("%-H"),
            ('h', 2) => text.push_str("%I"),
            ('h', 1) => text.push_str("%-I"),
            ('m', 2) => text.push_str("%M"),
            ('m', 1) => text.push_str("%-M"),
            ('s', 2) => text.push_str("%S"),
            ('s', 1) => text.push_str("%-S"),
            ('S', 3) => text.push_str("%3f"),
            ('S', 6) => text.push_str("%6f"),
            ('S', 9) => text.push_str("%9f"),
            ('a', 1) => text.push_str("%p"),
            ('E', 1..=3) => text.push_str("%a"),
            ('E', 4) => text.push_str("%A"),
            ('%', run) => text.push_str(&"%%".repeat(run)),
            (letter, _) if letter.is_ascii_alphabetic() => {
                return plan_err!(
                    "there is no \"{}\" in patterns of time, as in \"{pattern}\"",
                    &rest[..run]
                );
            }
            _ => text.push_str(&rest[..run]),
        }
        rest = &rest[run..];
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        assert_eq!(strftime("yyyy-MM-dd HH:mm:ss.SSS").unwrap(), "%Y-%m-%d %H:%M:%S.%3f");
        assert_eq!(strftime("d MMMM yyyy, h:mm a").unwrap(), "%-d %B %Y, %-I:%M %p");
        assert_eq!(strftime("dd'th of 100%'").unwrap(), "%dth of 100%%");
        assert!(strftime("yyyy QQ").is_err());
    }
}

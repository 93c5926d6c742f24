//! Names and filters of topics: chapters 4.7 and 4.8 of the specification.
//!
//! ```text
//!  plant/+/temp       one level, whatever it is called
//!  plant/#            plant, and all below it; only as the last level
//!  $share/group/…     each message goes to one member of the group
//! ```

/// What filters that share their messages begin with.
const SHARED: &str = "$share/";

/// How long a name or a filter may be, in bytes: its length is written in two.
const BYTES_MAX: usize = u16::MAX as usize;

/// Checks a name that is published to.
pub fn check_topic(topic: &str) -> Result<(), &'static str> {
    if topic.is_empty() {
        return Err("a topic has at least one character");
    }
    if topic.contains(['+', '#']) {
        return Err("a topic that is published to has no wildcards");
    }
    check_characters(topic)
}

/// Checks a filter, without what comes before it if it is shared.
pub fn check_filter(filter: &str) -> Result<(), &'static str> {
    if filter.is_empty() {
        return Err("a topic filter has at least one character");
    }
    let mut levels = filter.split('/').peekable();
    while let Some(level) = levels.next() {
        if level.contains('#') && (level != "#" || levels.peek().is_some()) {
            return Err("# is a level by itself, and the last one");
        }
        if level.contains('+') && level != "+" {
            return Err("+ is a level by itself");
        }
    }
    check_characters(filter)
}

fn check_characters(text: &str) -> Result<(), &'static str> {
    if text.contains('\0') {
        return Err("it must not have a NUL character");
    }
    if text.len() > BYTES_MAX { Err("it is longer than 65,535 bytes") } else { Ok(()) }
}

/// The group and the filter of a shared subscription; `None` if it is not shared.
pub fn split_shared(filter: &str) -> Option<Result<(&str, &str), &'static str>> {
    let rest = filter.strip_prefix(SHARED)?;
    Some(match rest.split_once('/') {
        Some((group, filter)) if !group.is_empty() && !group.contains(['+', '#']) => {
            check_filter(filter).map(|()| (group, filter))
        }
        _ => Err("a shared subscription is $share/GROUP/FILTER, the group without wildcards"),
    })
}

/// Whether a filter matches a topic. A wildcard at the beginning does not match what begins with `$`.
pub fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let (mut wanted, mut given) = (filter.split('/'), topic.split('/'));
    loop {
        match (wanted.next(), given.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(_)) => {}
            (Some(wanted), Some(given)) if wanted == given => {}
            _ => return false,
        }
    }
}

/// The level of a topic at a place, from 1.
pub fn segment(topic: &str, place: usize) -> Option<&str> {
    topic.split('/').nth(place.checked_sub(1)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_match_as_the_specification_has_it() {
        for (filter, topic, expected) in [
            ("sport/tennis/player1/#", "sport/tennis/player1", true),
            ("sport/tennis/player1/#", "sport/tennis/player1/ranking", true),
            ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true),
            ("sport/#", "sport", true),
            ("#", "sport", true),
            ("sport/tennis/+", "sport/tennis/player1", true),
            ("sport/tennis/+", "sport/tennis/player1/ranking", false),
            ("sport/+", "sport", false),
            ("sport/+", "sport/", true),
            ("+/+", "/finance", true),
            ("/+", "/finance", true),
            ("+", "/finance", false),
            ("#", "$SYS/x", false),
            ("+/monitor/Clients", "$SYS/monitor/Clients", false),
            ("$SYS/#", "$SYS/x", true),
            ("$SYS/monitor/+", "$SYS/monitor/Clients", true),
            ("a/b", "a/b", true),
            ("a/b", "a/B", false),
            ("a/b", "a/b/", false),
        ] {
            assert_eq!(matches(filter, topic), expected, "{filter} and {topic}");
            let mut tree = super::super::Tree::default();
            tree.entry(filter).push(7);
            let mut found = Vec::new();
            tree.matching(topic, &mut |value| found.push(*value));
            assert_eq!(found == [7], expected, "{filter} and {topic} in a tree");
        }
    }

    #[test]
    fn wrong_names_and_filters_are_told() {
        for filter in ["", "sport/tennis#", "sport/tennis/#/ranking", "sport+", "a\0b"] {
            assert!(check_filter(filter).is_err(), "{filter}");
        }
        for filter in ["#", "+", "+/tennis/#", "sport/+/player1", "/", " "] {
            assert!(check_filter(filter).is_ok(), "{filter}");
        }
        for topic in ["", "a/+", "#", "a\0"] {
            assert!(check_topic(topic).is_err(), "{topic}");
        }
        assert!(check_topic("a//b c/ü").is_ok());
        assert_eq!(split_shared("$share/g/a/+"), Some(Ok(("g", "a/+"))));
        assert_eq!(split_shared("$sharing/g"), None);
        for filter in ["$share/g", "$share//a", "$share/+/a", "$share/g/", "$share/g/a#"] {
            assert!(matches!(split_shared(filter), Some(Err(_))), "{filter}");
        }
        assert_eq!((segment("a/b", 2), segment("a/b", 3), segment("a/b", 0)), (Some("b"), None, None));
    }
}

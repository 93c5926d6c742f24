//! What stands in brackets behind a path and names elements of an array by their places, as Jayway's JsonPath (so Flink) and SQL/JSON
//! write it.
//!
//! ```text
//!  subscripts = one *( "," one )
//!  one        = place | place "to" place | [ number ] ":" [ number ]
//!  place      = number | "last" [ "-" digits ]
//!  number     = [ "-" ] digits
//! ```
//!
//! Places begin with 0, and below zero count from the end. `1 to 3` are three elements, `1:3` are two: the second number of a slice is
//! that of the first element behind it. Of places that the array does not have nothing is found.

use super::path::Step;

/// Neighbouring elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stretch {
    /// The first, from 0; below zero from the end.
    first: i64,
    /// The last, counted in the same way; without one there is no element.
    last: Option<i64>,
}

impl Stretch {
    /// Its places in an array of so many elements.
    pub(super) fn places(self, elements: usize) -> std::ops::Range<usize> {
        let elements = i64::try_from(elements).unwrap_or(i64::MAX);
        let from_start = |place: i64| if place < 0 { place.saturating_add(elements) } else { place };
        let first = from_start(self.first).clamp(0, elements);
        let behind = self.last.map_or(first, |last| from_start(last).saturating_add(1).min(elements));
        first as usize..behind.max(first) as usize
    }

    fn one(place: i64) -> Self {
        Self { first: place, last: Some(place) }
    }
}

/// Reads subscripts, and what is behind them.
pub(super) fn subscripts(text: &str) -> Result<(Step, &str), &'static str> {
    let (first, mut rest, is_place) = one(text)?;
    if is_place && !rest.trim_start().starts_with(',') {
        return Ok((Step::Element(first.first), rest));
    }
    let mut stretches = vec![first];
    while let Some(next) = rest.trim_start().strip_prefix(',') {
        let (stretch, after, _) = one(next)?;
        stretches.push(stretch);
        rest = after;
    }
    Ok((Step::Elements(stretches), rest))
}

/// A subscript, what is behind it, and whether it is a place alone.
fn one(text: &str) -> Result<(Stretch, &str, bool), &'static str> {
    let text = text.trim_start();
    let (first, rest) = match text.starts_with(':') {
        true => (0, text),
        false => place(text)?,
    };
    let behind = rest.trim_start();
    if let Some(end) = behind.strip_prefix(':') {
        let end = end.trim_start();
        if !end.starts_with(|c: char| c.is_ascii_digit() || c == '-') {
            return Ok((Stretch { first, last: Some(-1) }, end, false));
        }
        let (end, rest) = number(end)?;
        // Behind which there is nothing before the first.
        let last = (end != 0).then(|| end - 1);
        return Ok((Stretch { first, last }, rest, false));
    }
    if let Some(last) = behind.strip_prefix("to").filter(|last| !last.starts_with(char::is_alphanumeric)) {
        let (last, rest) = place(last.trim_start())?;
        return Ok((Stretch { first, last: Some(last) }, rest, false));
    }
    Ok((Stretch::one(first), rest, true))
}

fn place(text: &str) -> Result<(i64, &str), &'static str> {
    let Some(rest) = text.strip_prefix("last") else { return number(text) };
    match rest.trim_start().strip_prefix('-') {
        Some(back) => {
            let (back, rest) = number(back.trim_start())?;
            Ok((-1 - back, rest))
        }
        None => Ok((-1, rest)),
    }
}

fn number(text: &str) -> Result<(i64, &str), &'static str> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '-').unwrap_or(text.len());
    let number: i32 = text[..end]
        .parse()
        .map_err(|_| "needs a number, 'last', a slice, '*' or a quoted name in brackets")?;
    Ok((number.into(), &text[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read() {
        fn read(text: &str) -> (Step, &str) {
            subscripts(text).unwrap()
        }
        assert_eq!(read("3]"), (Step::Element(3), "]"));
        assert_eq!(read(" -1 ]"), (Step::Element(-1), " ]"));
        assert_eq!(read("last]"), (Step::Element(-1), "]"));
        assert_eq!(read("last - 2]"), (Step::Element(-3), "]"));
        let stretch = |first, last| Stretch { first, last };
        assert_eq!(read("1 to 3]"), (Step::Elements(vec![stretch(1, Some(3))]), "]"));
        assert_eq!(read("last-1 to last]"), (Step::Elements(vec![stretch(-2, Some(-1))]), "]"));
        assert_eq!(read("1:3]"), (Step::Elements(vec![stretch(1, Some(2))]), "]"));
        assert_eq!(read(":-1]"), (Step::Elements(vec![stretch(0, Some(-2))]), "]"));
        assert_eq!(read("2:]"), (Step::Elements(vec![stretch(2, Some(-1))]), "]"));
        assert_eq!(read(":0]"), (Step::Elements(vec![stretch(0, None)]), "]"));
        let several = vec![stretch(0, Some(0)), stretch(2, Some(4))];
        assert_eq!(read("0, 2 to 4]"), (Step::Elements(several), "]"));
        for text in ["", "x", "1 to", "1, ", "last - x", "--1", "99999999999"] {
            assert!(subscripts(text).is_err(), "{text}");
        }
    }

    #[test]
    fn places_are_those_of_the_array() {
        let places = |first, last, elements| Stretch { first, last }.places(elements);
        assert_eq!(places(1, Some(3), 10), 1..4);
        assert_eq!(places(1, Some(3), 2), 1..2);
        assert_eq!(places(-2, Some(-1), 5), 3..5);
        assert_eq!(places(-9, Some(-1), 5), 0..5);
        assert_eq!(places(0, Some(-9), 5), 0..0);
        assert_eq!(places(3, Some(1), 5), 3..3);
        assert_eq!(places(7, Some(9), 5), 5..5);
        assert_eq!(places(2, None, 5), 2..2);
        assert_eq!(places(0, Some(-1), 0), 0..0);
    }
}

//! A place in a JSON text, and the small steps from there: white space, strings, numbers, values to be passed over.
//!
//! The grammar is that of RFC 8259, strictly. Strings are scanned eight bytes at a time.

use super::fault::{Fault, Parsed};
use crate::bad::RecordFault;

/// A place in a JSON text.
pub(super) struct Cursor<'a> {
    text: &'a str,
    pub(super) at: usize,
    /// Where strings with escapes are put together.
    scratch: &'a mut String,
    /// How much deeper values may be nested.
    pub(super) depth_left: u32,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str, scratch: &'a mut String, depth_max: u32) -> Self {
        Self { text, at: 0, scratch, depth_left: depth_max }
    }

    #[inline]
    fn bytes(&self) -> &'a [u8] {
        self.text.as_bytes()
    }

    /// The byte here, 0 at the end. A zero byte means nothing in JSON, so no confusion comes of it.
    #[inline]
    pub(super) fn peek(&self) -> u8 {
        self.bytes().get(self.at).copied().unwrap_or(0)
    }

    /// The text from `start` to here. Both are places between characters, where a step began or ended.
    #[inline]
    pub(super) fn since(&self, start: usize) -> &'a str {
        &self.text[start..self.at]
    }

    #[inline]
    pub(super) fn skip_space(&mut self) {
        while matches!(self.peek(), b' ' | b'\t' | b'\r' | b'\n') {
            self.at += 1;
        }
    }

    /// Takes `byte` if it is here.
    #[inline]
    pub(super) fn take(&mut self, byte: u8) -> bool {
        let here = self.peek() == byte;
        self.at += usize::from(here);
        here
    }

    /// Takes all of `expected` if it is here.
    #[inline]
    pub(super) fn take_all(&mut self, expected: &[u8]) -> bool {
        let here = self.bytes()[self.at..].starts_with(expected);
        self.at += if here { expected.len() } else { 0 };
        here
    }

    /// A fault of syntax here.
    #[cold]
    pub(super) fn expected(&self, what: &str) -> Box<Fault> {
        let found = match self.text[self.at..].chars().next() {
            Some(found) => format!("{found:?}"),
            None => "the end".to_owned(),
        };
        Fault::new(RecordFault::Syntax, format!("expected {what} at byte {}, found {found}", self.at + 1))
    }

    /// Goes a level deeper. Whoever does must give the level back.
    pub(super) fn enter(&mut self) -> Parsed {
        if self.depth_left == 0 {
            return Err(Fault::new(RecordFault::TooLarge, "nested too deeply"));
        }
        self.depth_left -= 1;
        Ok(())
    }

    /// What kind of value begins here, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self.peek() {
            b'"' => "text",
            b'{' => "an object",
            b'[' => "an array",
            b't' | b'f' => "a boolean",
            b'n' => "null",
            b'-' | b'0'..=b'9' => "a number",
            _ => "no value",
        }
    }

    /// Takes a string: its content, escapes resolved.
    #[inline]
    pub(super) fn string(&mut self) -> Parsed<&str> {
        if !self.take(b'"') {
            return Err(self.expected("'\"'"));
        }
        let start = self.at;
        self.at = plain_end(self.bytes(), start);
        if self.peek() == b'"' {
            self.at += 1;
            return Ok(&self.text[start..self.at - 1]);
        }
        self.string_with_escapes(start)
    }

    /// Takes the rest of a string that began at `start` and is plain up to here.
    fn string_with_escapes(&mut self, start: usize) -> Parsed<&str> {
        self.scratch.clear();
        let mut copied = start;
        loop {
            self.scratch.push_str(&self.text[copied..self.at]);
            match self.peek() {
                b'"' => {
                    self.at += 1;
                    return Ok(self.scratch);
                }
                b'\\' => {
                    self.at += 1;
                    let character = self.escape()?;
                    self.scratch.push(character);
                }
                0 if self.at >= self.text.len() => return Err(self.expected("'\"'")),
                _ => return Err(self.expected("no control character in a string")),
            }
            copied = self.at;
            self.at = plain_end(self.bytes(), copied);
        }
    }

    /// Takes what follows a backslash.
    fn escape(&mut self) -> Parsed<char> {
        let escape = self.peek();
        let character = match escape {
            b'"' | b'\\' | b'/' => char::from(escape),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode_escape(),
            _ => return Err(self.expected("an escape")),
        };
        self.at += 1;
        Ok(character)
    }

    /// Takes `uXXXX`, or two of them that are a surrogate pair.
    fn unicode_escape(&mut self) -> Parsed<char> {
        let high = self.hex4()?;
        let code = if (0xD800..0xDC00).contains(&high) {
            if !self.take(b'\\') {
                return Err(self.expected("the second half of a surrogate pair"));
            }
            let low = self.hex4()?;
            if !(0xDC00..0xE000).contains(&low) {
                return Err(self.expected("the second half of a surrogate pair before"));
            }
            0x1_0000 + ((high - 0xD800) << 10) + (low - 0xDC00)
        } else {
            high
        };
        char::from_u32(code).ok_or_else(|| self.expected("the first half of a surrogate pair before"))
    }

    fn hex4(&mut self) -> Parsed<u32> {
        if !self.take(b'u') {
            return Err(self.expected("'u'"));
        }
        let mut code = 0;
        for _ in 0..4 {
            let digit =
                char::from(self.peek()).to_digit(16).ok_or_else(|| self.expected("a hexadecimal digit"))?;
            code = code * 16 + digit;
            self.at += 1;
        }
        Ok(code)
    }

    /// Takes a whole number of at most 18 digits that is not followed by a fraction or an exponent; otherwise stays.
    #[inline]
    pub(super) fn short_integer(&mut self) -> Option<i64> {
        let rest = &self.bytes()[self.at..];
        let negative = rest.first() == Some(&b'-');
        let first = usize::from(negative);
        let mut value = 0_i64;
        let mut end = first;
        while let Some(digit) = rest.get(end).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit < 10)
        {
            if end - first == 18 {
                return None;
            }
            value = value * 10 + i64::from(digit);
            end += 1;
        }
        let leading_zero = end - first > 1 && rest[first] == b'0';
        if end == first || leading_zero || matches!(rest.get(end), Some(b'.' | b'e' | b'E')) {
            return None;
        }
        self.at += end;
        Some(if negative { -value } else { value })
    }

    /// Takes a number of at most 15 digits without an exponent; otherwise stays. A double holds such digits exactly, and the
    /// power of ten to divide them by, so that the quotient is rounded once: it is the nearest double.
    #[inline]
    pub(super) fn short_float(&mut self) -> Option<f64> {
        const POWERS: [f64; 16] =
            [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];
        let start = self.at;
        let rest = &self.bytes()[start..];
        let negative = rest.first() == Some(&b'-');
        let first = usize::from(negative);
        let mut digits = 0_u64;
        let mut end = first;
        let mut point = None;
        loop {
            match rest.get(end) {
                Some(byte @ b'0'..=b'9') => digits = digits.wrapping_mul(10) + u64::from(byte - b'0'),
                Some(b'.') if point.is_none() && end > first => point = Some(end),
                Some(b'.' | b'e' | b'E') => return None,
                _ => break,
            }
            end += 1;
        }
        let count = end - first - usize::from(point.is_some());
        let fraction = point.map_or(0, |point| end - point - 1);
        let whole = count - fraction;
        let well_formed =
            whole > 0 && (point.is_none() || fraction > 0) && (whole == 1 || rest[first] != b'0');
        if !well_formed || count > 15 {
            return None;
        }
        self.at = start + end;
        let value = digits as f64 / POWERS[fraction];
        Some(if negative { -value } else { value })
    }

    /// Takes a number of any size, as its text.
    pub(super) fn number(&mut self) -> Parsed<&'a str> {
        let start = self.at;
        self.take(b'-');
        let first = self.peek();
        let whole = self.digits();
        if whole == 0 || (whole > 1 && first == b'0') {
            self.at = start;
            return Err(self.expected("a number without leading zeros"));
        }
        if self.take(b'.') && self.digits() == 0 {
            return Err(self.expected("a digit"));
        }
        if matches!(self.peek(), b'e' | b'E') {
            self.at += 1;
            if matches!(self.peek(), b'+' | b'-') {
                self.at += 1;
            }
            if self.digits() == 0 {
                return Err(self.expected("a digit"));
            }
        }
        Ok(self.since(start))
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while self.peek().is_ascii_digit() {
            self.at += 1;
        }
        self.at - start
    }

    /// Takes `true`, `false` or `null`.
    pub(super) fn literal(&mut self, word: &'static str) -> Parsed {
        if self.take_all(word.as_bytes()) { Ok(()) } else { Err(self.expected(word)) }
    }

    /// Takes any value.
    pub(super) fn skip_value(&mut self) -> Parsed {
        match self.peek() {
            b'"' => self.string().map(|_| ()),
            b't' => self.literal("true"),
            b'f' => self.literal("false"),
            b'n' => self.literal("null"),
            b'-' | b'0'..=b'9' => self.number().map(|_| ()),
            b'{' => self.sequence(b'}', |cursor| {
                cursor.string()?;
                cursor.colon()?;
                cursor.skip_value()
            }),
            b'[' => self.sequence(b']', Self::skip_value),
            _ => Err(self.expected("a value")),
        }
    }

    /// Takes `:` with space around.
    pub(super) fn colon(&mut self) -> Parsed {
        self.skip_space();
        if !self.take(b':') {
            return Err(self.expected("':'"));
        }
        self.skip_space();
        Ok(())
    }

    /// Takes a bracket, items with commas between, and the bracket `close`.
    pub(super) fn sequence(&mut self, close: u8, mut item: impl FnMut(&mut Self) -> Parsed) -> Parsed {
        self.enter()?;
        self.at += 1;
        self.skip_space();
        if !self.take(close) {
            loop {
                item(self)?;
                self.skip_space();
                if self.take(close) {
                    break;
                }
                if !self.take(b',') {
                    return Err(self.expected(if close == b'}' { "',' or '}'" } else { "',' or ']'" }));
                }
                self.skip_space();
            }
        }
        self.depth_left += 1;
        Ok(())
    }
}

/// From how many plain bytes on a string is taken for a long one.
const LONG: usize = 32;

/// The first place from `start` on with a quote, a backslash or a control character, or the end.
#[inline]
fn plain_end(bytes: &[u8], start: usize) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    // The high bit of each byte that is less than `n`; the lowest one set is right, those above it may not be.
    let below = |word: u64, n: u64| word.wrapping_sub(ONES * n) & !word & HIGHS;
    let mut at = start;
    while let Some(chunk) = bytes[at..].first_chunk::<8>() {
        let word = u64::from_le_bytes(*chunk);
        let quote = below(word ^ (ONES * u64::from(b'"')), 1);
        let backslash = below(word ^ (ONES * u64::from(b'\\')), 1);
        let found = quote | backslash | below(word, 0x20);
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
        if at - start == LONG {
            at = plain_stretch(bytes, at);
        }
    }
    let special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
    bytes[at..].iter().position(special).map_or(bytes.len(), |more| at + more)
}

/// A place up to which all is plain from `start` on, in steps that the compiler makes vectors of.
fn plain_stretch(bytes: &[u8], start: usize) -> usize {
    let special = |byte: u8| u8::from(byte == b'"') | u8::from(byte == b'\\') | u8::from(byte < 0x20);
    let (chunks, _) = bytes[start..].as_chunks::<LONG>();
    let plain = chunks.iter().take_while(|chunk| chunk.iter().fold(0, |any, byte| any | special(*byte)) == 0);
    start + plain.count() * LONG
}

/// The end of the array element that begins at `start`: the place of the `,` or `]` after it. Looks at brackets and quotes
/// only, so that it also finds the end of an element that is no valid JSON. `None` if the input ends before.
pub(super) fn element_end(bytes: &[u8], start: usize) -> Option<usize> {
    let mut depth = 0_u32;
    let mut at = start;
    loop {
        match bytes.get(at)? {
            b'"' => {
                at += 1;
                loop {
                    // A backslash may have been the last byte.
                    at = plain_end(bytes, at.min(bytes.len()));
                    match bytes.get(at)? {
                        b'"' => break,
                        b'\\' => at += 2,
                        _ => at += 1,
                    }
                }
            }
            b'{' | b'[' => depth += 1,
            b',' if depth == 0 => return Some(at),
            b'}' | b']' if depth == 0 => return Some(at),
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with<T>(text: &str, run: impl FnOnce(&mut Cursor<'_>) -> T) -> T {
        run(&mut Cursor::new(text, &mut String::new(), 8))
    }

    #[test]
    fn strings_end_where_they_end() {
        for len in 0..40 {
            let plain = "ä".repeat(len / 2) + &"x".repeat(len % 2);
            let text = format!("\"{plain}\" rest");
            assert_eq!(with(&text, |c| c.string().map(str::to_owned)).unwrap(), plain);
            let escaped = format!("\"{plain}\\n{plain}\\u00e4\\ud83d\\ude00\"");
            assert_eq!(
                with(&escaped, |c| c.string().map(str::to_owned)).unwrap(),
                format!("{plain}\n{plain}ä😀")
            );
        }
        for bad in [
            "\"",
            "\"abc",
            "\"\\",
            "\"\\x\"",
            "\"\\ud800\"",
            "\"\\ud800\\u0041\"",
            "\"\\udc00\"",
            "\"a\nb\"",
            "\"\\u12",
        ] {
            assert!(with(bad, |c| c.string().map(str::to_owned)).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn strings_of_any_length_end_at_the_first_byte_that_is_not_plain() {
        for special in [b'"', b'\\', b'\n', 0x1f, 0] {
            for start in [0, 1, 7] {
                for end in (start..140).chain([1_000, 1_001]) {
                    let mut bytes = [b'x', 0x20, 0x7f, 0x80, 0xff].repeat(250);
                    (bytes[end], bytes[end + 1]) = (special, b'"');
                    assert_eq!(plain_end(&bytes, start), end, "{special} from {start}");
                    bytes.truncate(end);
                    assert_eq!(plain_end(&bytes, start), end);
                }
            }
        }
    }

    #[test]
    fn numbers_follow_the_grammar() {
        for good in ["0", "-0", "10", "1.5", "-1.5e10", "1E-3", "123456789012345678901234567890"] {
            assert_eq!(with(good, |c| c.number().map(str::to_owned)).unwrap(), good);
        }
        for bad in ["", "-", "01", "1.", ".5", "1e", "1e+", "+1", "NaN"] {
            assert!(with(bad, |c| c.number().map(|_| ())).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn short_numbers_agree_with_the_standard_library() {
        for text in
            ["0", "7", "-42", "0.1", "0.3", "123456.789", "-0.000001", "999999999999999", "1.7976931348623"]
        {
            assert_eq!(with(text, |c| c.short_float()), text.parse().ok(), "{text}");
        }
        for text in ["1e5", "1.", ".5", "01", "-", "", "1234567890123456", "1.2.3"] {
            assert_eq!(with(text, |c| (c.short_float(), c.at)), (None, 0), "{text}");
        }
        for text in ["0", "-7", "123456789012345678"] {
            assert_eq!(with(text, |c| c.short_integer()), text.parse().ok());
        }
        for text in ["1.5", "1e3", "01", "-", "", "1234567890123456789"] {
            assert_eq!(with(text, |c| (c.short_integer(), c.at)), (None, 0), "{text}");
        }
    }

    #[test]
    fn values_are_passed_over_whole_or_not_at_all() {
        for good in ["{}", "[]", "{\"a\": [1, {\"b\":null}], \"c\":\"}\"}", "true", "[[[[[[[[]]]]]]]]"] {
            assert_eq!(with(good, |c| c.skip_value().map(|()| c.at)).unwrap(), good.len(), "{good}");
        }
        for bad in ["{", "[1,]", "{\"a\"}", "{a:1}", "tru", "[[[[[[[[[]]]]]]]]]", "[1 2]"] {
            assert!(with(bad, |c| c.skip_value()).is_err(), "{bad}");
        }
    }

    #[test]
    fn elements_end_even_if_they_are_nonsense() {
        assert_eq!(element_end(b"{\"a\":\"],\\\"\"},2]", 0), Some(12));
        assert_eq!(element_end(b"nonsense, 2]", 0), Some(8));
        assert_eq!(element_end(b"{\"a\":1", 0), None);
        assert_eq!(element_end(b"\"a\\", 0), None);
    }
}

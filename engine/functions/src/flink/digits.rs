//! Numbers with a point, to so many digits: rounded half up from the shortest digits that say them, as Java's Formatter does.

/// The digits of a number without its sign: `0.d1 d2 d3 ... * 10^exponent`.
pub(super) struct Digits {
    digits: Vec<u8>,
    exponent: i32,
}

impl Digits {
    /// Of a number that is finite.
    pub(super) fn of(x: f64) -> Self {
        let text = format!("{:e}", x.abs());
        let (mantissa, power) = text.split_once('e').unwrap_or((&text, "0"));
        let digits = mantissa.bytes().filter(u8::is_ascii_digit).map(|digit| digit - b'0').collect();
        Self { digits, exponent: power.parse::<i32>().unwrap_or(0) + 1 }
    }

    fn is_zero(&self) -> bool {
        self.digits.iter().all(|digit| *digit == 0)
    }

    /// The first `count` digits, rounded; below zero there are none.
    fn rounded(&self, count: i32) -> Self {
        let Ok(count) = usize::try_from(count) else { return Self { digits: vec![0], exponent: 1 } };
        let mut digits = self.digits.clone();
        let mut exponent = self.exponent;
        let is_up = digits.get(count).is_some_and(|digit| *digit >= 5);
        digits.truncate(count);
        if is_up {
            while digits.last() == Some(&9) {
                digits.pop();
            }
            match digits.last_mut() {
                Some(last) => *last += 1,
                None => {
                    digits.push(1);
                    exponent += 1;
                }
            }
        }
        if digits.is_empty() {
            return Self { digits: vec![0], exponent: 1 };
        }
        Self { digits, exponent }
    }

    /// The digit at a place, from 0; behind the last there are zeros, and before the first, too.
    fn at(&self, place: i32) -> char {
        let digit = usize::try_from(place).ok().and_then(|place| self.digits.get(place));
        char::from(b'0' + digit.copied().unwrap_or(0))
    }

    /// `1234.50`, with so many digits behind the point.
    pub(super) fn plain(&self, precision: usize, groups: bool) -> String {
        let behind = precision as i32;
        let rounded = self.rounded(self.exponent + behind);
        let whole: String = (0..rounded.exponent.max(0)).map(|place| rounded.at(place)).collect();
        let whole = if whole.is_empty() { "0".to_owned() } else { whole };
        let whole = if groups { grouped(&whole) } else { whole };
        let rest: String = (0..behind).map(|place| rounded.at(rounded.exponent + place)).collect();
        if rest.is_empty() { whole } else { format!("{whole}.{rest}") }
    }

    /// `1.2345e+03`, with so many digits behind the point.
    pub(super) fn scientific(&self, precision: usize) -> String {
        let rounded = self.rounded(precision as i32 + 1);
        let power = if rounded.is_zero() { 0 } else { rounded.exponent - 1 };
        let sign = if power < 0 { '-' } else { '+' };
        let rest: String = (1..=precision as i32).map(|place| rounded.at(place)).collect();
        let point = if rest.is_empty() { "" } else { "." };
        format!("{}{point}{rest}e{sign}{:02}", rounded.at(0), power.abs())
    }

    /// With so many digits in all, in whichever of the two shapes is shorter.
    pub(super) fn general(&self, precision: usize, groups: bool) -> String {
        let rounded = self.rounded(precision as i32);
        if rounded.is_zero() {
            return self.plain(precision - 1, groups);
        }
        let power = rounded.exponent - 1;
        match usize::try_from(precision as i32 - 1 - power) {
            Ok(behind) if power >= -4 => self.plain(behind, groups),
            _ => self.scientific(precision - 1),
        }
    }
}

/// `1,234,567`.
pub(super) fn grouped(digits: &str) -> String {
    let mut groups = String::with_capacity(digits.len() * 4 / 3);
    for (nth, digit) in digits.chars().enumerate() {
        if nth > 0 && (digits.len() - nth).is_multiple_of(3) {
            groups.push(',');
        }
        groups.push(digit);
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_rounded_as_java_does() {
        for (x, precision, plain, scientific) in [
            (0.0, 2, "0.00", "0.00e+00"),
            (0.125, 2, "0.13", "1.25e-01"),
            (1.005, 2, "1.01", "1.01e+00"),
            (999.96, 1, "1000.0", "1.0e+03"),
            (0.04, 1, "0.0", "4.0e-02"),
            (0.06, 1, "0.1", "6.0e-02"),
            (0.96, 1, "1.0", "9.6e-01"),
            (9.6, 0, "10", "1e+01"),
            (0.5, 0, "1", "5e-01"),
            (0.4, 0, "0", "4e-01"),
            (0.005, 1, "0.0", "5.0e-03"),
            (1e21, 0, "1000000000000000000000", "1e+21"),
            (1234567.891, 2, "1234567.89", "1.23e+06"),
        ] {
            assert_eq!(Digits::of(x).plain(precision, false), plain, "{x}");
            assert_eq!(Digits::of(x).scientific(precision), scientific, "{x}");
        }
        assert_eq!(Digits::of(1234567.891).plain(1, true), "1,234,567.9");
    }

    #[test]
    fn the_general_shape_has_so_many_digits() {
        for (x, precision, text) in [
            (0.0, 6, "0.00000"),
            (1.5, 6, "1.50000"),
            (0.0001, 3, "0.000100"),
            (0.00001, 3, "1.00e-05"),
            (999_999.5, 6, "1.00000e+06"),
            (123_456.0, 6, "123456"),
        ] {
            assert_eq!(Digits::of(x).general(precision, false), text, "{x}");
        }
    }
}

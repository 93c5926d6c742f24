//! How many attempts a trigger's deliveries may make: a bucket of tokens that fills at a steady rate.

use std::time::Duration;

/// So many in such a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rate {
    pub(super) count: u32,
    pub(super) per: Duration,
}

impl Rate {
    /// `10 per minute`, `100 per 5 minutes`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let wrong = || "write it as '10 per minute'".to_owned();
        let (count, per) = text.split_once(" per ").ok_or_else(wrong)?;
        let count = count.trim().parse().ok().filter(|count| *count > 0).ok_or_else(wrong)?;
        let per = per.trim();
        let per =
            if per.starts_with(|c: char| c.is_ascii_digit()) { per.to_owned() } else { format!("1 {per}") };
        let per = headwater_ingest::parse_duration(&per)?;
        if per.is_zero() { Err(wrong()) } else { Ok(Self { count, per }) }
    }
}

/// Tokens, as of some moment. Times are those of the monotonic clock.
#[derive(Debug)]
pub(super) struct Bucket {
    rate: Rate,
    tokens: f64,
    at: Duration,
}

impl Bucket {
    pub(super) fn new(rate: Rate, now: Duration) -> Self {
        Self { rate, tokens: f64::from(rate.count), at: now }
    }

    /// Takes a token, or says how long until there is one.
    pub(super) fn take(&mut self, now: Duration) -> Result<(), Duration> {
        let full = f64::from(self.rate.count);
        let each = self.rate.per.as_secs_f64() / full;
        let gained = now.saturating_sub(self.at).as_secs_f64() / each;
        (self.tokens, self.at) = ((self.tokens + gained).min(full), now);
        // What rounding has lost must not cost another round.
        if self.tokens >= 1.0 - 1e-6 {
            self.tokens = (self.tokens - 1.0).max(0.0);
            return Ok(());
        }
        Err(Duration::from_secs_f64((1.0 - self.tokens) * each))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_lets_pass_what_the_rate_says() {
        let rate = Rate::parse("3 per minute").unwrap();
        let mut bucket = Bucket::new(rate, Duration::from_secs(5));
        let take = |bucket: &mut Bucket, seconds: u64| bucket.take(Duration::from_secs(seconds));
        assert!((0..3).all(|_| take(&mut bucket, 5).is_ok()));
        assert_eq!(take(&mut bucket, 5), Err(Duration::from_secs(20)));
        assert_eq!(take(&mut bucket, 25), Ok(()));
        assert!(take(&mut bucket, 26).is_err());
        // It never holds more than it was made with.
        assert_eq!((0..9).filter(|_| take(&mut bucket, 10_000).is_ok()).count(), 3);
    }

    #[test]
    fn a_rate_is_a_number_and_a_time() {
        assert_eq!(
            Rate::parse("100 per 5 minutes").unwrap(),
            Rate { count: 100, per: Duration::from_secs(300) }
        );
        for bad in ["10", "0 per minute", "ten per minute", "10 per moon"] {
            assert!(Rate::parse(bad).is_err(), "{bad}");
        }
    }
}

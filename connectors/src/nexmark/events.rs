//! Who sells, bids and buys: each event from its number.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringBuilder, TimestampMillisecondArray, new_null_array};
use arrow::datatypes::Field;

use crate::datagen::mix;

/// Of so many events ..
const PROPORTIONS: u64 = 50;
/// .. so many are auctions, after one person; the rest are bids.
const AUCTIONS: u64 = 3;

const FIRST_PERSON: u64 = 1_000;
const FIRST_AUCTION: u64 = 1_000;
const FIRST_CATEGORY: u64 = 10;
const CATEGORIES: u64 = 5;

/// How many of the newest persons are active, and how many auctions are open.
const ACTIVE_PEOPLE: u64 = 1_000;
const OPEN_AUCTIONS: u64 = 100;

/// One in so many bids goes elsewhere than to the auction of the hour, and so on.
const HOT_AUCTION: u64 = 2;
const HOT_BIDDER: u64 = 4;
const HOT_SELLER: u64 = 4;

const STATES: [&str; 6] = ["AZ", "CA", "ID", "OR", "WA", "WY"];
const CITIES: [&str; 10] = [
    "Phoenix",
    "Los Angeles",
    "San Francisco",
    "Boise",
    "Portland",
    "Bend",
    "Redmond",
    "Seattle",
    "Kent",
    "Cheyenne",
];
const FIRST_NAMES: [&str; 11] =
    ["Peter", "Paul", "Luke", "John", "Saul", "Vicky", "Kate", "Julie", "Sarah", "Deiter", "Walter"];
const LAST_NAMES: [&str; 9] =
    ["Shultz", "Abrams", "Spencer", "White", "Bartels", "Walton", "Smith", "Jones", "Noris"];
const HOT_CHANNELS: [&str; 4] = ["Google", "Facebook", "Baidu", "Apple"];
const CHANNELS: u64 = 10_000;

/// One kind of event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Table {
    Person,
    Auction,
    Bid,
}

impl Table {
    pub(super) fn named(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "person" => Some(Self::Person),
            "auction" => Some(Self::Auction),
            "bid" => Some(Self::Bid),
            _ => None,
        }
    }

    /// How many of [`PROPORTIONS`] events are of this kind, and which is the first.
    fn share(self) -> (u64, u64) {
        match self {
            Self::Person => (1, 0),
            Self::Auction => (AUCTIONS, 1),
            Self::Bid => (PROPORTIONS - 1 - AUCTIONS, 1 + AUCTIONS),
        }
    }

    /// The number among all events of a row of this table.
    pub(super) fn event_of(self, row: u64) -> u64 {
        let (share, first) = self.share();
        row / share * PROPORTIONS + first + row % share
    }

    /// How many rows of this table are among the first events.
    pub(super) fn rows_among(self, events: u64) -> u64 {
        let (share, first) = self.share();
        events / PROPORTIONS * share + (events % PROPORTIONS).saturating_sub(first).min(share)
    }

    /// The SQL type of a column, if the table has it.
    pub(super) fn kind_of(self, column: &str) -> Option<&'static str> {
        let column = column.to_ascii_lowercase();
        let kind = match (self, column.as_str()) {
            (_, "datetime") | (Self::Auction, "expires") => "TIMESTAMP(3)",
            (_, "extra") => "STRING",
            (Self::Person | Self::Auction, "id") => "BIGINT",
            (Self::Person, "name" | "emailaddress" | "creditcard" | "city" | "state") => "STRING",
            (Self::Auction, "initialbid" | "reserve" | "seller" | "category") => "BIGINT",
            (Self::Auction, "itemname" | "description") => "STRING",
            (Self::Bid, "auction" | "bidder" | "price") => "BIGINT",
            (Self::Bid, "channel" | "url") => "STRING",
            _ => return None,
        };
        Some(kind)
    }
}

/// What all events follow from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Auction {
    pub(super) seed: u64,
    pub(super) nanos_per_event: f64,
}

impl Auction {
    /// A random number for a purpose of an event.
    fn random(&self, event: u64, purpose: u64) -> u64 {
        mix(self.seed ^ mix(event.wrapping_mul(64).wrapping_add(purpose)))
    }

    fn below(&self, event: u64, purpose: u64, limit: u64) -> u64 {
        self.random(event, purpose) % limit.max(1)
    }

    /// Milliseconds from event 0 to an event.
    fn millis(&self, event: u64) -> i64 {
        (event as f64 * self.nanos_per_event / 1e6) as i64
    }

    /// A column of rows of a table.
    pub(super) fn column(&self, table: Table, field: &Field, rows: Range<u64>, start: i64) -> ArrayRef {
        let events = rows.clone().map(|row| table.event_of(row));
        let numbers = |of: &dyn Fn(u64) -> u64| -> ArrayRef {
            Arc::new(Int64Array::from_iter_values(events.clone().map(|event| of(event) as i64)))
        };
        let times = |of: &dyn Fn(u64) -> i64| -> ArrayRef {
            Arc::new(TimestampMillisecondArray::from_iter_values(
                events.clone().map(|event| start + of(event)),
            ))
        };
        let texts = |of: &dyn Fn(u64, &mut StringBuilder)| -> ArrayRef {
            let mut builder = StringBuilder::new();
            events.clone().for_each(|event| of(event, &mut builder));
            Arc::new(builder.finish())
        };
        let one_of = |choices: &'static [&'static str], purpose: u64| {
            texts(&|event, into| {
                into.append_value(choices[self.below(event, purpose, choices.len() as u64) as usize]);
            })
        };
        match (table, field.name().to_ascii_lowercase().as_str()) {
            (_, "datetime") => times(&|event| self.millis(event)),
            (_, "extra") => texts(&|event, into| write_hex(into, self.random(event, 20))),
            (Table::Person, "id") => numbers(&person_of),
            (Table::Person, "name") => texts(&|event, into| self.write_name(event, " ", into)),
            (Table::Person, "emailaddress") => texts(&|event, into| self.write_name(event, "@", into)),
            (Table::Person, "creditcard") => texts(&|event, into| self.write_card(event, into)),
            (Table::Person, "city") => one_of(&CITIES, 3),
            (Table::Person, "state") => one_of(&STATES, 4),
            (Table::Auction, "id") => numbers(&last_auction),
            (Table::Auction, "itemname") => texts(&|event, into| write_hex(into, self.random(event, 5))),
            (Table::Auction, "description") => texts(&|event, into| write_hex(into, self.random(event, 6))),
            (Table::Auction, "initialbid") => numbers(&|event| self.price(event, 7)),
            (Table::Auction, "reserve") => numbers(&|event| self.price(event, 7) + self.price(event, 8)),
            (Table::Auction, "expires") => times(&|event| self.expires(event)),
            (Table::Auction, "seller") => numbers(&|event| self.person(event, 9, HOT_SELLER, 0)),
            (Table::Auction, "category") => {
                numbers(&|event| FIRST_CATEGORY + self.below(event, 11, CATEGORIES))
            }
            (Table::Bid, "auction") => numbers(&|event| self.auction(event)),
            (Table::Bid, "bidder") => numbers(&|event| self.person(event, 12, HOT_BIDDER, 1)),
            (Table::Bid, "price") => numbers(&|event| self.price(event, 14)),
            (Table::Bid, "channel") => texts(&|event, into| self.write_channel(event, into)),
            (Table::Bid, "url") => texts(&|event, into| self.write_url(event, into)),
            _ => new_null_array(field.data_type(), (rows.end - rows.start) as usize),
        }
    }

    /// From 100 to 100,000,000, small ones as often as large ones.
    fn price(&self, event: u64, purpose: u64) -> u64 {
        let unit = (self.random(event, purpose) >> 11) as f64 / (1_u64 << 53) as f64;
        (10_f64.powf(unit * 6.0) * 100.0).round() as u64
    }

    /// A person who is active at an event: most often one of the few that everybody deals with.
    fn person(&self, event: u64, purpose: u64, hot: u64, offset: u64) -> u64 {
        let newest = person_of(event) - FIRST_PERSON;
        if self.below(event, purpose, hot) > 0 {
            return FIRST_PERSON + newest / 100 * 100 + offset;
        }
        let active = newest.min(ACTIVE_PEOPLE);
        FIRST_PERSON + newest - active + self.below(event, purpose + 1, active + 1)
    }

    /// An auction that is open at an event: every other time the one that everybody bids at.
    fn auction(&self, event: u64) -> u64 {
        let newest = last_auction(event) - FIRST_AUCTION;
        if self.below(event, 15, HOT_AUCTION) > 0 {
            return FIRST_AUCTION + newest / 100 * 100;
        }
        let oldest = newest.saturating_sub(OPEN_AUCTIONS);
        FIRST_AUCTION + oldest + self.below(event, 16, newest - oldest + 1)
    }

    /// When an auction ends: so that about [`OPEN_AUCTIONS`] are open at a time.
    fn expires(&self, event: u64) -> i64 {
        let horizon = self.millis(event + OPEN_AUCTIONS * PROPORTIONS / AUCTIONS) - self.millis(event);
        let length = 1 + self.below(event, 10, (2 * horizon.max(1)).unsigned_abs());
        self.millis(event) + length as i64
    }

    fn write_name(&self, event: u64, between: &str, into: &mut StringBuilder) {
        use std::fmt::Write as _;
        let first = FIRST_NAMES[self.below(event, 0, FIRST_NAMES.len() as u64) as usize];
        let last = LAST_NAMES[self.below(event, 1, LAST_NAMES.len() as u64) as usize];
        let end = if between == "@" { ".com" } else { "" };
        let _ = write!(into, "{first}{between}{last}{end}");
        into.append_value("");
    }

    fn write_card(&self, event: u64, into: &mut StringBuilder) {
        use std::fmt::Write as _;
        let digits = self.random(event, 2) % 10_000_000_000_000_000;
        let part = |nth: u32| digits / 10_000_u64.pow(nth) % 10_000;
        let _ = write!(into, "{:04} {:04} {:04} {:04}", part(3), part(2), part(1), part(0));
        into.append_value("");
    }

    fn write_channel(&self, event: u64, into: &mut StringBuilder) {
        use std::fmt::Write as _;
        if self.below(event, 17, 2) > 0 {
            into.append_value(HOT_CHANNELS[self.below(event, 18, HOT_CHANNELS.len() as u64) as usize]);
            return;
        }
        let _ = write!(into, "channel-{}", self.below(event, 18, CHANNELS));
        into.append_value("");
    }

    fn write_url(&self, event: u64, into: &mut StringBuilder) {
        use std::fmt::Write as _;
        let (hot, which) = (self.below(event, 17, 2) > 0, self.below(event, 18, CHANNELS));
        let place = mix(if hot { which % HOT_CHANNELS.len() as u64 } else { which + 4 });
        let part = |nth: u32| place >> (nth * 20) & 0xf_ffff;
        let _ = write!(
            into,
            "https://www.nexmark.com/{:05x}/{:05x}/{:05x}/item.htm?query=1",
            part(0),
            part(1),
            part(2)
        );
        // Nine in ten of the others say by which channel they came.
        if !hot && which % 10 > 0 {
            let _ = write!(into, "&channel_id={}", mix(which) % (1 << 31));
        }
        into.append_value("");
    }
}

fn write_hex(into: &mut StringBuilder, number: u64) {
    use std::fmt::Write as _;
    let _ = write!(into, "{number:016x}");
    into.append_value("");
}

/// The newest person at an event.
fn person_of(event: u64) -> u64 {
    FIRST_PERSON + event / PROPORTIONS
}

/// The newest auction at an event.
fn last_auction(event: u64) -> u64 {
    let (epoch, offset) = (event / PROPORTIONS, event % PROPORTIONS);
    match offset {
        0 if epoch == 0 => FIRST_AUCTION,
        0 => FIRST_AUCTION + epoch * AUCTIONS - 1,
        offset => FIRST_AUCTION + epoch * AUCTIONS + (offset - 1).min(AUCTIONS - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_fifty_events_one_is_a_person_three_are_auctions_and_the_rest_bids() {
        let tables = [Table::Person, Table::Auction, Table::Bid];
        let mut events: Vec<u64> = Vec::new();
        for table in tables {
            events.extend((0..table.rows_among(10_007)).map(|row| table.event_of(row)));
        }
        events.sort_unstable();
        assert_eq!(events, (0..10_007).collect::<Vec<_>>());
        assert_eq!(tables.map(|table| table.rows_among(5_000)), [100, 300, 4_600]);
    }

    #[test]
    fn a_bid_names_an_auction_and_a_person_who_are_there() {
        let auction = Auction { seed: 7, nanos_per_event: 1e5 };
        let mut hot = 0;
        for event in (4..40_000).filter(|event| event % PROPORTIONS >= 4) {
            let (at, by) = (auction.auction(event), auction.person(event, 12, HOT_BIDDER, 1));
            assert!(at >= FIRST_AUCTION && at <= last_auction(event), "{event}: {at}");
            assert!(by >= FIRST_PERSON && by <= person_of(event) + 1, "{event}: {by}");
            hot += usize::from((at - FIRST_AUCTION).is_multiple_of(100));
        }
        assert!((0.45..0.6).contains(&(hot as f64 / (40_000.0 * 0.92))), "{hot}");
        assert_eq!(
            (last_auction(1), last_auction(3), last_auction(49), last_auction(50)),
            (1_000, 1_002, 1_002, 1_002)
        );
        assert_eq!(last_auction(51), 1_003);
    }

    #[test]
    fn an_auction_ends_after_it_began() {
        let auction = Auction { seed: 1, nanos_per_event: 1e5 };
        let ends = (1..4).map(|event| auction.expires(event) - auction.millis(event));
        assert!(ends.into_iter().all(|length| length > 0 && length <= 2 * 167));
    }
}

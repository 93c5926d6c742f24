//! Who sells, bids and buys: each event from its number.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, Int32Array, Int64Array, StringBuilder, StructArray, TimestampMillisecondArray,
    UInt64Array, new_null_array,
};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, FieldRef};
use arrow::error::ArrowError;

use crate::datagen::mix;

/// The column of a table of all events that says which kind an event is of.
pub(super) const EVENT_TYPE: &str = "event_type";

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

/// How many events of each kind come one after the other, again and again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Shares {
    pub(super) people: u64,
    pub(super) auctions: u64,
    pub(super) bids: u64,
}

impl Shares {
    /// As the benchmark has them.
    pub(super) const USUAL: Self = Self { people: 1, auctions: 3, bids: 46 };

    fn all(self) -> u64 {
        self.people + self.auctions + self.bids
    }

    /// How many events of a kind there are in a round, and how many others come before them.
    fn of(self, table: Table) -> (u64, u64) {
        match table {
            Table::Person => (self.people, 0),
            Table::Auction => (self.auctions, self.people),
            Table::Bid => (self.bids, self.people + self.auctions),
        }
    }

    /// The number among all events of a row of a table that has rows.
    fn event_of(self, table: Table, row: u64) -> u64 {
        let (share, first) = self.of(table);
        row / share * self.all() + first + row % share
    }

    /// How many rows of a table are among the first events.
    pub(super) fn rows_among(self, table: Table, events: u64) -> u64 {
        let (share, first) = self.of(table);
        events / self.all() * share + (events % self.all()).saturating_sub(first).min(share)
    }

    /// The kind of an event.
    fn table_of(self, event: u64) -> Table {
        match event % self.all() {
            place if place < self.people => Table::Person,
            place if place < self.people + self.auctions => Table::Auction,
            _ => Table::Bid,
        }
    }

    /// The newest of a kind at an event; the first one before there is any.
    fn newest(self, table: Table, event: u64) -> u64 {
        self.rows_among(table, event + 1).saturating_sub(1)
    }
}

/// One kind of event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Table {
    Person = 0,
    Auction = 1,
    Bid = 2,
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
    pub(super) shares: Shares,
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
        let events = rows.clone().map(|row| self.shares.event_of(table, row));
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
            (Table::Person, "id") => numbers(&|event| self.newest_person(event)),
            (Table::Person, "name") => texts(&|event, into| self.write_name(event, " ", into)),
            (Table::Person, "emailaddress") => texts(&|event, into| self.write_name(event, "@", into)),
            (Table::Person, "creditcard") => texts(&|event, into| self.write_card(event, into)),
            (Table::Person, "city") => one_of(&CITIES, 3),
            (Table::Person, "state") => one_of(&STATES, 4),
            (Table::Auction, "id") => numbers(&|event| self.newest_auction(event)),
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

    /// A column of a table of all events: which kind an event is of, or what there is of one kind, and NULL for the others.
    pub(super) fn column_of_all(
        &self,
        field: &Field,
        events: Range<u64>,
        start: i64,
    ) -> Result<ArrayRef, ArrowError> {
        let kinds = || events.clone().map(|event| self.shares.table_of(event));
        if field.name().eq_ignore_ascii_case(EVENT_TYPE) {
            return Ok(Arc::new(Int32Array::from_iter_values(kinds().map(|table| table as i32))));
        }
        let (Some(table), DataType::Struct(parts)) = (Table::named(field.name()), field.data_type()) else {
            return Ok(new_null_array(field.data_type(), (events.end - events.start) as usize));
        };
        let rows = self.shares.rows_among(table, events.start)..self.shares.rows_among(table, events.end);
        let mut next = 0..;
        let places: UInt64Array =
            kinds().map(|kind| if kind == table { next.next() } else { None }).collect();
        let spread = |part: &FieldRef| take(&self.column(table, part, rows.clone(), start), &places, None);
        let columns = parts.iter().map(spread).collect::<Result<Vec<_>, ArrowError>>()?;
        Ok(Arc::new(StructArray::try_new(parts.clone(), columns, places.nulls().cloned())?))
    }

    /// From 100 to 100,000,000, small ones as often as large ones.
    fn price(&self, event: u64, purpose: u64) -> u64 {
        let unit = (self.random(event, purpose) >> 11) as f64 / (1_u64 << 53) as f64;
        (10_f64.powf(unit * 6.0) * 100.0).round() as u64
    }

    /// A person who is active at an event: most often one of the few that everybody deals with.
    fn person(&self, event: u64, purpose: u64, hot: u64, offset: u64) -> u64 {
        let newest = self.shares.newest(Table::Person, event);
        if self.below(event, purpose, hot) > 0 {
            return FIRST_PERSON + newest / 100 * 100 + offset;
        }
        let active = newest.min(ACTIVE_PEOPLE);
        FIRST_PERSON + newest - active + self.below(event, purpose + 1, active + 1)
    }

    /// An auction that is open at an event: every other time the one that everybody bids at.
    fn auction(&self, event: u64) -> u64 {
        let newest = self.shares.newest(Table::Auction, event);
        if self.below(event, 15, HOT_AUCTION) > 0 {
            return FIRST_AUCTION + newest / 100 * 100;
        }
        let oldest = newest.saturating_sub(OPEN_AUCTIONS);
        FIRST_AUCTION + oldest + self.below(event, 16, newest - oldest + 1)
    }

    /// When an auction ends: so that about [`OPEN_AUCTIONS`] are open at a time.
    fn expires(&self, event: u64) -> i64 {
        let horizon = self.millis(event + OPEN_AUCTIONS * self.shares.all() / self.shares.auctions)
            - self.millis(event);
        let length = 1 + self.below(event, 10, (2 * horizon.max(1)).unsigned_abs());
        self.millis(event) + length as i64
    }

    /// The number of the newest person at an event.
    fn newest_person(&self, event: u64) -> u64 {
        FIRST_PERSON + self.shares.newest(Table::Person, event)
    }

    /// The number of the newest auction at an event.
    fn newest_auction(&self, event: u64) -> u64 {
        FIRST_AUCTION + self.shares.newest(Table::Auction, event)
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

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use arrow::datatypes::{Int32Type, Int64Type};

    use super::*;

    const USUAL: Auction = Auction { seed: 7, shares: Shares::USUAL, nanos_per_event: 1e5 };

    #[test]
    fn of_fifty_events_one_is_a_person_three_are_auctions_and_the_rest_bids() {
        let tables = [Table::Person, Table::Auction, Table::Bid];
        for shares in [Shares::USUAL, Shares { people: 2, auctions: 0, bids: 3 }] {
            let mut events: Vec<u64> = Vec::new();
            for table in tables {
                let of_table = (0..shares.rows_among(table, 10_007)).map(|row| shares.event_of(table, row));
                events.extend(of_table.inspect(|event| assert_eq!(shares.table_of(*event), table)));
            }
            events.sort_unstable();
            assert_eq!(events, (0..10_007).collect::<Vec<_>>());
        }
        assert_eq!(tables.map(|table| Shares::USUAL.rows_among(table, 5_000)), [100, 300, 4_600]);
    }

    #[test]
    fn a_bid_names_an_auction_and_a_person_who_are_there() {
        let mut hot = 0;
        for event in (4..40_000).filter(|event| event % 50 >= 4) {
            let (at, by) = (USUAL.auction(event), USUAL.person(event, 12, HOT_BIDDER, 1));
            assert!(at >= FIRST_AUCTION && at <= USUAL.newest_auction(event), "{event}: {at}");
            assert!(by >= FIRST_PERSON && by <= USUAL.newest_person(event) + 1, "{event}: {by}");
            hot += usize::from((at - FIRST_AUCTION).is_multiple_of(100));
        }
        assert!((0.45..0.6).contains(&(hot as f64 / (40_000.0 * 0.92))), "{hot}");
        let newest = [0, 1, 3, 49, 50, 51].map(|event| USUAL.newest_auction(event));
        assert_eq!(newest, [1_000, 1_000, 1_002, 1_002, 1_002, 1_003]);
    }

    #[test]
    fn an_auction_ends_after_it_began() {
        let auction = Auction { seed: 1, ..USUAL };
        let ends = (1..4).map(|event| auction.expires(event) - auction.millis(event));
        assert!(ends.into_iter().all(|length| length > 0 && length <= 2 * 167));
    }

    #[test]
    fn a_table_of_all_events_has_the_rows_of_each_kind_in_their_turn() {
        let part = |name: &str| Field::new(name, DataType::Int64, true);
        let all = |name: &str| {
            let field = Field::new(name, DataType::Struct(vec![part("id"), part("bidder")].into()), true);
            USUAL.column_of_all(&field, 48..153, 0).unwrap()
        };
        let kinds =
            USUAL.column_of_all(&Field::new("event_type", DataType::Int32, true), 48..153, 0).unwrap();
        let kinds = kinds.as_primitive::<Int32Type>();
        assert_eq!(kinds.values()[..8], [2, 2, 0, 1, 1, 1, 2, 2]);
        for (nth, (name, table)) in
            [("person", Table::Person), ("auction", Table::Auction), ("bid", Table::Bid)]
                .into_iter()
                .enumerate()
        {
            let (rows, of) = (all(name), Shares::USUAL);
            let there: Vec<usize> = (0..rows.len()).filter(|row| rows.is_valid(*row)).collect();
            let own: Vec<usize> = (0..rows.len()).filter(|row| kinds.value(*row) == nth as i32).collect();
            assert_eq!(there, own, "{name}");
            let range = of.rows_among(table, 48)..of.rows_among(table, 153);
            let column = if table == Table::Bid { 1 } else { 0 };
            let alone = USUAL.column(table, &part(["id", "bidder"][column]), range, 0);
            let rows = rows.as_struct().column(column);
            let found: Vec<i64> =
                own.iter().map(|row| rows.as_primitive::<Int64Type>().value(*row)).collect();
            assert_eq!(found, alone.as_primitive::<Int64Type>().values().to_vec(), "{name}");
        }
    }
}

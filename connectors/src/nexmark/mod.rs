//! The events of an online auction, as the Nexmark benchmark has them: of 50 events 1 is a new person, 3 are new auctions and 46 are bids.
//!
//! A table is filled with one kind of them, or with all, by the names of its columns; columns of other names are NULL. Event `n` is a
//! pure function of the seed, `n`, and the time of event 0, and so are the persons and auctions that a bid names: tables with the same
//! options belong together, and a source that is resumed goes on with the very rows that would have come.
//!
//! | table | columns |
//! |---|---|
//! | `person` | `id`, `name`, `emailAddress`, `creditCard`, `city`, `state`, `dateTime`, `extra` |
//! | `auction` | `id`, `itemName`, `description`, `initialBid`, `reserve`, `dateTime`, `expires`, `seller`, `category`, `extra` |
//! | `bid` | `auction`, `bidder`, `price`, `channel`, `url`, `dateTime`, `extra` |
//!
//! Names are compared without regard to case. Numbers are BIGINT, times TIMESTAMP(3), the others STRING. A table without the option
//! `table` has all events in their order, as the benchmark's own script for Flink declares it: `event_type` (INT: 0 for a person, 1 for an
//! auction, 2 for a bid), and `person`, `auction` and `bid`, each a ROW of the columns above, of which all but one are NULL.
//!
//! | option | meaning |
//! |---|---|
//! | `table` | `person`, `auction` or `bid`; all of them unless set |
//! | `events.num` | how many events there are, of all kinds, and then the end; without end unless set |
//! | `first-event.rate` | events for each second of event time; 10,000 unless set |
//! | `next-event.rate` | the same number, if it is there: the rate does not change |
//! | `person.proportion`, `auction.proportion`, `bid.proportion` | how many of each kind come in turn; 1, 3 and 46 unless set |
//! | `rows-per-second` | how fast rows of this table come; as fast as can be unless set |
//! | `start-time` | the time of event 0, such as `2026-01-01T00:00:00Z`; unless set, when the source started first |
//! | `seed` | another seed gives other events; 0 unless set |

mod config;
mod events;
mod source;

pub(crate) use config::CONNECTOR;

//! A source that makes rows up, under Flink's names of options.
//!
//! Row `n` is a pure function of the seed, `n`, and the time at which the source first started; that time and the number of
//! the next row are the mark. So a source that is resumed goes on with the very rows that would have come.
//!
//! | option | meaning |
//! |---|---|
//! | `rows-per-second` | the rate; 10,000 unless set, or as fast as can be if `number-of-rows` is set |
//! | `number-of-rows` | how many, and then the end |
//! | `seed` | another seed gives other rows; 0 unless set |
//! | `fields.NAME.kind` | `random` (unless set) or `sequence` |
//! | `fields.NAME.min`, `.max` | the range of random numbers; 0 to 1,000,000 unless set |
//! | `fields.NAME.start`, `.end` | the range of a sequence; its end is the end of the input |
//! | `fields.NAME.length` | how long random text and bytes are; 16 unless set |
//! | `fields.NAME.null-rate` | the share of NULLs, 0 unless set |
//! | `fields.NAME.start-time` | for times: the time of row 0; the start of the source unless set |
//! | `fields.NAME.interval` | for times: from row to row; `1 / rows-per-second` unless set |
//! | `fields.NAME.max-past` | for times: each is set back by up to this at random, so that they come out of order |

mod config;
mod field;
mod source;

pub(crate) use config::CONNECTOR;
pub(crate) use field::mix;

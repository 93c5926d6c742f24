//! Windows over event time.

use headwater_core::world::sim::SimRandom;

/// No window is longer, in milliseconds; a row is late for all windows if time has passed it by so much.
pub const LONGEST: i64 = 40_000;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Window {
    /// Its size in seconds.
    Tumble(u32),
    /// Slide and size.
    Hop(u32, u32),
    /// Step and size.
    Cumulate(u32, u32),
    /// Its gap, for each key.
    Session(u32),
}

impl Window {
    pub fn any(random: &SimRandom) -> Self {
        match random.below(5) {
            0 | 1 => Self::Tumble([5, 10, 30][random.index(3)]),
            2 => [Self::Hop(5, 10), Self::Hop(10, 30), Self::Hop(10, 5), Self::Hop(4, 10)][random.index(4)],
            3 => [Self::Cumulate(5, 20), Self::Cumulate(10, 30)][random.index(2)],
            _ => Self::Session([1, 3, 7][random.index(3)]),
        }
    }

    pub fn is_session(self) -> bool {
        matches!(self, Self::Session(_))
    }

    /// The windows of a stream, as a relation. Of sessions each key has its own.
    pub fn relation(self, stream: &str, key: &str) -> String {
        let seconds = |seconds: u32| format!("INTERVAL '{seconds}' SECOND");
        match self {
            Self::Tumble(size) => format!("TUMBLE(TABLE {stream}, DESCRIPTOR(ts), {})", seconds(size)),
            Self::Hop(slide, size) => {
                format!("HOP(TABLE {stream}, DESCRIPTOR(ts), {}, {})", seconds(slide), seconds(size))
            }
            Self::Cumulate(step, size) => {
                format!("CUMULATE(TABLE {stream}, DESCRIPTOR(ts), {}, {})", seconds(step), seconds(size))
            }
            Self::Session(gap) => {
                format!("SESSION(TABLE {stream} PARTITION BY {key}, DESCRIPTOR(ts), {})", seconds(gap))
            }
        }
    }
}

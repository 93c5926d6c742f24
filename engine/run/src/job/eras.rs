//! The eras of a job: each replacement of its definition begins one, in a step of its own that takes no rows.
//!
//! ```text
//!  journal:   1 ── 2 ── … ── 40 │ 41 ── 42 ── …          41 is the replacement: the cut of 40, counted by the new sources
//!  sources:   a, b              │ b
//! ```
//!
//! All definitions of a job have one journal, so that the newest can be built from its beginning: the steps of former eras are done
//! by the definition of now. They are cut where they were cut then, and time in them is where it was then, whatever this
//! definition would have made of it: so what it has closed by the end of an era is what had been said by then.

use serde::{Deserialize, Serialize};

use super::pipeline::ShardCut;

/// The beginning of an era.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Era {
    /// The step of the replacement.
    pub step: u64,
    /// The streams that the journal's sources are before it, in order.
    pub before: Vec<String>,
    /// And from it on.
    pub sources: Vec<String>,
}

/// All eras of a job, the first one aside, which needs no words.
#[derive(Clone, Debug, Default)]
pub(crate) struct Eras(Vec<Era>);

impl Eras {
    /// With one more.
    #[must_use]
    pub fn with(&self, era: Era) -> Self {
        Self(self.0.iter().cloned().chain([era]).collect())
    }

    /// The step with which the newest began; 0: there was no replacement.
    pub fn began(&self) -> u64 {
        self.0.last().map_or(0, |era| era.step)
    }

    /// The streams that the journal's sources are since the newest began; `None`: there was no replacement.
    pub fn sources(&self) -> Option<&[String]> {
        self.0.last().map(|era| era.sources.as_slice())
    }

    /// Whether a step was not taken by the definition of now: time in it is where the journal says.
    pub fn is_former(&self, step: u64) -> bool {
        step <= self.began()
    }

    /// Whether sources are counted anew from this step on, so that it names all of their shards.
    pub fn begins_at(&self, step: u64) -> bool {
        self.0.iter().any(|era| era.step == step)
    }

    /// The cut of a step, counted by the sources of now; `None`: one of these was not read then.
    pub fn translate(&self, step: u64, cut: &[Vec<ShardCut>]) -> Option<Vec<Vec<ShardCut>>> {
        let Some(newest) = self.0.last() else { return Some(cut.to_vec()) };
        let Some(next) = self.0.iter().find(|era| step < era.step) else { return Some(cut.to_vec()) };
        let mut seen: Vec<&String> = Vec::new();
        let places = newest.sources.iter().map(|stream| {
            let nth = seen.iter().filter(|other| **other == stream).count();
            seen.push(stream);
            place_of(&next.before, stream, nth)
        });
        // A journal that is new has no shards yet.
        places.map(|place| Some(cut.get(place?).cloned().unwrap_or_default())).collect()
    }
}

/// Where a stream is read for the nth time; one that is read less often now lags behind nothing, so the last place stands for more.
pub(crate) fn place_of(sources: &[String], stream: &str, nth: usize) -> Option<usize> {
    let places = sources.iter().enumerate().filter(|(_, name)| *name == stream);
    places.map(|(place, _)| place).take(nth + 1).last()
}

#[cfg(test)]
mod tests {
    use headwater_core::Sequence;

    use super::*;

    fn cut(next: &[u64]) -> Vec<Vec<ShardCut>> {
        let shard = |next: &u64| vec![ShardCut { next: Sequence(*next), idle: false, ended: false }];
        next.iter().map(shard).collect()
    }

    fn era(step: u64, before: &[&str], sources: &[&str]) -> Era {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Era { step, before: names(before), sources: names(sources) }
    }

    #[test]
    fn cuts_of_former_eras_are_counted_by_the_sources_of_now() {
        let eras = Eras::default();
        assert_eq!(eras.translate(7, &cut(&[1, 2])), Some(cut(&[1, 2])));
        assert!(!eras.is_former(1));
        let eras = eras.with(era(10, &["a", "b"], &["b", "b", "a"])).with(era(20, &["b", "b", "a"], &["b"]));
        assert_eq!(eras.translate(9, &cut(&[1, 2])), Some(cut(&[2])));
        assert_eq!(eras.translate(10, &cut(&[2, 3, 1])), Some(cut(&[2])));
        assert_eq!(eras.translate(20, &cut(&[5])), Some(cut(&[5])));
        assert_eq!((eras.began(), eras.is_former(20), eras.is_former(21)), (20, true, false));
        let twice = Eras::default().with(era(10, &["b"], &["b", "b"]));
        assert_eq!(twice.translate(3, &cut(&[4])), Some(cut(&[4, 4])));
        let more = Eras::default().with(era(10, &["a"], &["a", "c"]));
        assert_eq!(more.translate(3, &cut(&[1])), None);
    }
}

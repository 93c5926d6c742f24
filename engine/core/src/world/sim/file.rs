//! What a file holds, in memory and on the platter.
//!
//! ```text
//!   volatile   what a reader sees: the page cache
//!   unsynced   per page, the images it had since it was last synced; any of them may be on the platter
//!   lengths    the lengths it had since then
//!   durable    what was on the platter at the last successful sync
//! ```
//!
//! Pages reach the platter independently, each as any of its images since the last sync. One that is being written
//! when the power goes may be torn: its sectors are then of different images. A sector is whole.
//!
//! A sync that fails leaves pages *clean but not durable*, as Linux does: a later sync succeeds and does nothing
//! for them. Such a page may at any time be dropped from memory, and is then read back as the platter has it.

use std::collections::BTreeMap;

use super::SimRandom;

/// The unit in which the page cache writes.
const PAGE: usize = 4096;
/// The unit that a disk writes whole.
const SECTOR: usize = 512;

/// The bytes of one file.
#[derive(Default)]
pub(super) struct FileImage {
    volatile: Vec<u8>,
    durable: Vec<u8>,
    unsynced: BTreeMap<usize, Unsynced>,
    lengths: Vec<usize>,
}

/// The images that a page had since its last successful sync. Bytes that an image lacks are zeros.
struct Unsynced {
    images: Vec<Vec<u8>>,
    /// Whether the next sync will write it; not so after a sync that failed.
    dirty: bool,
}

impl FileImage {
    /// A file whose bytes are durable.
    pub(super) fn durable(bytes: Vec<u8>) -> Self {
        Self { durable: bytes.clone(), volatile: bytes, ..Self::default() }
    }

    /// What a reader sees.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.volatile
    }

    /// What survives for certain.
    pub(super) fn durable_bytes(&self) -> &[u8] {
        &self.durable
    }

    pub(super) fn write(&mut self, bytes: &[u8], at: usize) {
        if bytes.is_empty() {
            return;
        }
        let end = at + bytes.len();
        if end > self.volatile.len() {
            self.volatile.resize(end, 0);
            self.lengths.push(end);
        }
        self.volatile[at..end].copy_from_slice(bytes);
        self.note_pages(at / PAGE, (end - 1) / PAGE);
    }

    pub(super) fn set_len(&mut self, len: usize) {
        let old = self.volatile.len();
        if len == old {
            return;
        }
        self.volatile.resize(len, 0);
        self.lengths.push(len);
        if len < old {
            self.note_pages(len / PAGE, (old - 1) / PAGE);
        }
    }

    /// Keeps an image of each page from `first` to `last`.
    fn note_pages(&mut self, first: usize, last: usize) {
        for page in first..=last {
            let image = page_of(&self.volatile, page).to_vec();
            let unsynced =
                self.unsynced.entry(page).or_insert_with(|| Unsynced { images: Vec::new(), dirty: true });
            unsynced.images.push(image);
            unsynced.dirty = true;
        }
    }

    /// Makes dirty pages and the length durable.
    pub(super) fn sync(&mut self) {
        self.durable.resize(self.volatile.len(), 0);
        for (&page, _) in self.unsynced.iter().filter(|(_, unsynced)| unsynced.dirty) {
            put_page(&mut self.durable, page, page_of(&self.volatile, page));
        }
        self.unsynced.retain(|_, unsynced| !unsynced.dirty);
        self.lengths.clear();
    }

    /// A sync that fails: nothing becomes durable, and the pages are marked clean.
    pub(super) fn fail_sync(&mut self) {
        self.unsynced.values_mut().for_each(|unsynced| unsynced.dirty = false);
    }

    /// Makes everything durable that a reader sees.
    pub(super) fn settle(&mut self) {
        *self = Self::durable(std::mem::take(&mut self.volatile));
    }

    /// The end of the process: pages that a failed sync left behind may be dropped from memory.
    pub(super) fn drop_lost_pages(&mut self, random: &SimRandom) {
        let Self { volatile, durable, unsynced, .. } = self;
        unsynced.retain(|&page, unsynced| {
            let dropped = !unsynced.dirty && random.chance(1, 2);
            if dropped {
                put_page(volatile, page, page_of(durable, page));
            }
            !dropped
        });
    }

    /// The end of power: decides what was on the platter.
    pub(super) fn lose_power(&mut self, random: &SimRandom) {
        // Everything written, nothing, and anything between are all likely enough to be met often.
        let odds = [0, 1, 4, 7, 8][random.index(5)];
        let len = self.surviving_len(random, odds);
        let mut bytes = std::mem::take(&mut self.durable);
        let longest = self.unsynced.last_key_value().map_or(0, |(&page, _)| (page + 1) * PAGE);
        bytes.resize(len.max(longest), 0);
        for (&page, unsynced) in &self.unsynced {
            if random.chance(odds, 8) {
                unsynced.survive(&mut bytes, page, random);
            }
        }
        bytes.truncate(len);
        *self = Self::durable(bytes);
    }

    fn surviving_len(&self, random: &SimRandom, odds: u64) -> usize {
        let newest = self.volatile.len();
        if self.lengths.is_empty() || !random.chance(odds, 8) {
            return self.durable.len();
        }
        if random.chance(1, 2) {
            return newest;
        }
        let chosen = random.index(self.lengths.len());
        let before = if chosen == 0 { self.durable.len() } else { self.lengths[chosen - 1] };
        let (low, high) = (before.min(self.lengths[chosen]), before.max(self.lengths[chosen]));
        low + random.index(high - low + 1)
    }
}

impl Unsynced {
    /// Puts one of the images, or sectors of several, on the platter.
    fn survive(&self, durable: &mut [u8], page: usize, random: &SimRandom) {
        let draw =
            || if random.chance(1, 2) { self.images.len() - 1 } else { random.index(self.images.len()) };
        let whole = draw();
        let torn = random.chance(1, 4);
        for sector in 0..PAGE / SECTOR {
            if torn && random.chance(1, 2) {
                continue;
            }
            let image = &self.images[if torn { draw() } else { whole }];
            for at in sector * SECTOR..(sector + 1) * SECTOR {
                durable[page * PAGE + at] = image.get(at).copied().unwrap_or(0);
            }
        }
    }
}

/// The part of a page that lies within the file.
fn page_of(bytes: &[u8], page: usize) -> &[u8] {
    let start = (page * PAGE).min(bytes.len());
    &bytes[start..(start + PAGE).min(bytes.len())]
}

/// Writes an image, zeros after it, into the part of a page that lies within the file.
fn put_page(bytes: &mut [u8], page: usize, image: &[u8]) {
    let start = (page * PAGE).min(bytes.len());
    let end = (start + PAGE).min(bytes.len());
    let target = &mut bytes[start..end];
    let kept = image.len().min(target.len());
    target[..kept].copy_from_slice(&image[..kept]);
    target[kept..].fill(0);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The images after a loss of power, over many seeds.
    fn outcomes(make: impl Fn() -> FileImage) -> BTreeSet<Vec<u8>> {
        let outcome = |seed| {
            let mut file = make();
            file.lose_power(&SimRandom::new(seed));
            assert_eq!(file.bytes(), file.durable_bytes());
            file.bytes().to_vec()
        };
        (0..400).map(outcome).collect()
    }

    #[test]
    fn what_was_synced_survives_always() {
        let outcomes = outcomes(|| {
            let mut file = FileImage::default();
            file.write(&[1; 10_000], 0);
            file.sync();
            file
        });
        assert_eq!(outcomes, BTreeSet::from([vec![1; 10_000]]));
    }

    #[test]
    fn unsynced_pages_survive_in_any_combination_and_sectors_are_whole() {
        let outcomes = outcomes(|| {
            let mut file = FileImage::durable(vec![1; 2 * PAGE]);
            file.write(&[2; 2 * PAGE], 0);
            file
        });
        let pages = |a: u8, b: u8| [vec![a; PAGE], vec![b; PAGE]].concat();
        for expected in [pages(1, 1), pages(1, 2), pages(2, 1), pages(2, 2)] {
            assert!(outcomes.contains(&expected));
        }
        assert!(outcomes.len() > 4, "some pages are torn");
        for bytes in &outcomes {
            assert_eq!(bytes.len(), 2 * PAGE);
            assert!(bytes.chunks(SECTOR).all(|sector| sector.iter().all(|&b| b == sector[0])));
        }
    }

    #[test]
    fn an_append_survives_at_any_length_with_zeros_where_pages_were_lost() {
        let outcomes = outcomes(|| {
            let mut file = FileImage::durable(vec![1; 100]);
            file.write(&[2; 9_000], 100);
            file
        });
        let lengths: BTreeSet<usize> = outcomes.iter().map(Vec::len).collect();
        assert!(lengths.contains(&100) && lengths.contains(&9_100) && lengths.len() > 10);
        assert!(outcomes.iter().any(|bytes| bytes.len() == 9_100 && bytes[100..].iter().all(|&b| b == 0)));
        assert!(outcomes.iter().all(|bytes| bytes[..100] == [1; 100]));
    }

    #[test]
    fn of_many_images_of_a_page_any_may_survive() {
        let outcomes = outcomes(|| {
            let mut file = FileImage::durable(vec![0; 10]);
            (1..=3).for_each(|value| file.write(&[value; 10], 0));
            file
        });
        assert_eq!(outcomes, (0..=3).map(|value| vec![value; 10]).collect());
    }

    #[test]
    fn a_cut_may_survive_or_not_and_what_was_cut_is_zero_when_the_file_grows_again() {
        let cut = || {
            let mut file = FileImage::durable(vec![1; 5_000]);
            file.set_len(1_000);
            file
        };
        let lengths: BTreeSet<usize> = outcomes(cut).iter().map(Vec::len).collect();
        assert!(lengths.contains(&1_000) && lengths.contains(&5_000));
        let mut file = cut();
        file.set_len(5_000);
        file.sync();
        assert_eq!(file.durable_bytes(), [vec![1; 1_000], vec![0; 4_000]].concat());
    }

    #[test]
    fn a_sync_after_a_failed_one_succeeds_and_makes_nothing_durable() {
        let make = || {
            let mut file = FileImage::durable(vec![1; 100]);
            file.write(&[2; 100], 0);
            file.fail_sync();
            file.sync();
            file
        };
        assert_eq!(make().bytes(), [2; 100]);
        assert_eq!(make().durable_bytes(), [1; 100]);
        assert!(outcomes(make).contains(&vec![1; 100]));
        // Written once more, the page is dirty again and the next sync is honest.
        let mut file = make();
        file.write(&[3; 1], 0);
        file.sync();
        assert_eq!(file.durable_bytes(), [vec![3], vec![2; 99]].concat());
    }

    #[test]
    fn pages_that_a_failed_sync_left_may_vanish_from_memory() {
        let seen = (0..50).map(|seed| {
            let mut file = FileImage::durable(vec![1; 100]);
            file.write(&[2; 100], 0);
            file.fail_sync();
            file.drop_lost_pages(&SimRandom::new(seed));
            file.bytes()[0]
        });
        assert_eq!(seen.collect::<BTreeSet<_>>(), BTreeSet::from([1, 2]));
    }
}

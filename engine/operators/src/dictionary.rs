//! The texts of a column that come again and again, each kept once.
//!
//! A text is taken in when it first comes, and has its number from then on for as long as the dictionary lives: so whether a text is
//! written as its number or as it is, it is always written alike. When the texts of a column hardly repeat, or there are many of them, no
//! more are taken in.

use std::ops::RangeInclusive;

use hashbrown::HashTable;

use crate::groups::hash_bytes;

/// How long texts are that are taken in: a shorter one is as short as a number, and long ones seldom repeat.
const LENGTHS: RangeInclusive<usize> = 4..=512;

/// No more texts are taken in behind so many bytes of them: they stay when no row has them any more.
const BYTES_MAX: usize = 1 << 20;

/// With so many texts, and whenever there are twice as many, it is judged whether they repeat. Not before: a fleet whose devices report in
/// turn repeats no name until all have reported.
const JUDGED_FROM: usize = 1 << 14;

/// To so many texts, one must have come again.
const TEXTS_PER_REPEAT: usize = 32;

/// Texts by dense numbers.
#[derive(Default)]
pub(crate) struct Dictionary {
    numbers: HashTable<u32>,
    texts: Texts,
    /// How often a text came that was there already.
    repeats: usize,
    /// No more texts are taken in.
    is_closed: bool,
}

/// One behind the other, each up to its end.
#[derive(Default)]
struct Texts {
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

impl Texts {
    #[inline]
    fn get(&self, number: u32) -> &[u8] {
        let number = number as usize;
        let start = if number == 0 { 0 } else { self.ends[number - 1] };
        &self.bytes[start as usize..self.ends[number] as usize]
    }
}

impl Dictionary {
    /// The number of a text, which may be given it now; `None`: it is written as it is, now and ever after.
    pub(crate) fn number(&mut self, text: &[u8]) -> Option<u32> {
        if !LENGTHS.contains(&text.len()) {
            return None;
        }
        let hash = hash_bytes(text);
        if let Some(number) = self.numbers.find(hash, |number| self.texts.get(*number) == text) {
            self.repeats += 1;
            return Some(*number);
        }
        if self.is_closed {
            return None;
        }
        let number = self.texts.ends.len() as u32;
        self.texts.bytes.extend_from_slice(text);
        self.texts.ends.push(self.texts.bytes.len() as u32);
        let texts = &self.texts;
        self.numbers.insert_unique(hash, number, |number| hash_bytes(texts.get(*number)));
        let count = self.texts.ends.len();
        let hardly_repeat = count >= JUDGED_FROM
            && count.is_power_of_two()
            && self.repeats.saturating_mul(TEXTS_PER_REPEAT) < count;
        self.is_closed = hardly_repeat || self.texts.bytes.len() >= BYTES_MAX;
        Some(number)
    }

    /// The text of a number.
    #[inline]
    pub(crate) fn text(&self, number: u32) -> &[u8] {
        self.texts.get(number)
    }

    /// Bytes of memory.
    pub(crate) fn size(&self) -> usize {
        self.numbers.allocation_size() + self.texts.bytes.capacity() + self.texts.ends.capacity() * 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers some texts, and says how many of them have one.
    fn number(dictionary: &mut Dictionary, texts: impl Iterator<Item = String>) -> usize {
        let mut numbered = 0;
        for text in texts {
            if let Some(number) = dictionary.number(text.as_bytes()) {
                assert_eq!(dictionary.text(number), text.as_bytes());
                numbered += 1;
            }
        }
        numbered
    }

    #[test]
    fn what_repeats_is_kept_once() {
        let mut dictionary = Dictionary::default();
        let texts = || (0..10_000).map(|nth| format!("https://example.com/{}", nth % 3_000));
        assert_eq!(number(&mut dictionary, texts()), 10_000);
        let size = dictionary.size();
        assert_eq!(number(&mut dictionary, texts()), 10_000);
        assert_eq!(dictionary.size(), size);
    }

    #[test]
    fn what_does_not_repeat_is_soon_written_as_it_is() {
        let mut dictionary = Dictionary::default();
        let texts = || (0..100_000).map(|nth| format!("{nth:016x}"));
        assert_eq!(number(&mut dictionary, texts()), JUDGED_FROM);
        // Those that had a number have it for ever.
        assert_eq!(number(&mut dictionary, texts()), JUDGED_FROM);
        assert!(dictionary.size() < 1 << 20, "{} bytes", dictionary.size());
    }

    #[test]
    fn it_does_not_grow_for_ever() {
        let mut dictionary = Dictionary::default();
        // Each comes twice.
        let texts = || (0..100_000).map(|nth| format!("{:0100}", nth / 2));
        let numbered = number(&mut dictionary, texts());
        assert!((BYTES_MAX / 50..BYTES_MAX / 50 + 2).contains(&numbered), "{numbered} have a number");
        assert_eq!(number(&mut dictionary, texts()), numbered);
        assert!(dictionary.size() < 3 * BYTES_MAX);
    }

    #[test]
    fn short_and_long_texts_are_written_as_they_are() {
        let mut dictionary = Dictionary::default();
        for length in [0, 1, 3, 513, 100_000] {
            assert_eq!(dictionary.number(&vec![b'x'; length]), None);
        }
        assert_eq!([4, 512].map(|length| dictionary.number(&vec![b'x'; length])), [Some(0), Some(1)]);
        assert_eq!(dictionary.text(0), b"xxxx");
    }
}

//! Memory that grows by pages. What is in it stays where it is: growing copies nothing, and no more than a page is held without use,
//! where a vector that doubles holds up to twice of what it needs, and three times while it is copied.

use std::ops::{Index, IndexMut};

/// How large a page is; the first one grows up to that.
const PAGE_BYTES: usize = 1 << 18;

/// Values by dense numbers.
pub(crate) struct PagedVec<T> {
    pages: Vec<Vec<T>>,
}

impl<T> PagedVec<T> {
    /// How many values a page has: a power of two, so that a number tells page and place by its bits.
    const PER_PAGE: usize = {
        let size = if size_of::<T>() == 0 { 1 } else { size_of::<T>() };
        assert!(size <= PAGE_BYTES, "a page holds at least one value");
        1 << (PAGE_BYTES / size).ilog2()
    };

    pub(crate) const fn new() -> Self {
        Self { pages: Vec::new() }
    }

    pub(crate) fn len(&self) -> usize {
        match self.pages.split_last() {
            Some((last, full)) => full.len() * Self::PER_PAGE + last.len(),
            None => 0,
        }
    }

    pub(crate) fn push(&mut self, value: T) {
        match self.pages.last_mut() {
            Some(last) if last.len() < Self::PER_PAGE => last.push(value),
            Some(_) => {
                let mut page = Vec::with_capacity(Self::PER_PAGE);
                page.push(value);
                self.pages.push(page);
            }
            None => self.pages.push(vec![value]),
        }
    }

    /// Makes it as long as `len` by so many of a value; no shorter.
    pub(crate) fn resize(&mut self, len: usize, value: T)
    where
        T: Clone,
    {
        let mut missing = len.saturating_sub(self.len());
        while missing > 0 {
            if self.pages.last().is_none_or(|last| last.len() == Self::PER_PAGE) {
                let capacity = if self.pages.is_empty() { 0 } else { Self::PER_PAGE };
                self.pages.push(Vec::with_capacity(capacity));
            }
            let Some(last) = self.pages.last_mut() else { break };
            let added = missing.min(Self::PER_PAGE - last.len());
            last.resize(last.len() + added, value.clone());
            missing -= added;
        }
    }

    /// All values, if they are on one page: to look at many of few without asking each time on which.
    #[inline]
    pub(crate) fn one_page_mut(&mut self) -> Option<&mut [T]> {
        match self.pages.as_mut_slice() {
            [page] => Some(page),
            _ => None,
        }
    }

    /// The values of some numbers.
    pub(crate) fn pick(&self, numbers: &[u32]) -> Vec<T>
    where
        T: Copy,
    {
        match self.pages.as_slice() {
            [page] => numbers.iter().map(|number| page[*number as usize]).collect(),
            _ => numbers.iter().map(|number| self[*number]).collect(),
        }
    }

    /// Forgets all, keeps a page of memory.
    pub(crate) fn clear(&mut self) {
        self.pages.truncate(1);
        self.pages.iter_mut().for_each(Vec::clear);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.pages.iter().flatten()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.pages.iter_mut().flatten()
    }

    /// Bytes of memory.
    pub(crate) fn size(&self) -> usize {
        let pages =
            self.pages.first().map_or(0, Vec::capacity) + self.pages.len().saturating_sub(1) * Self::PER_PAGE;
        pages * size_of::<T>()
    }
}

impl<T> Default for PagedVec<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> FromIterator<T> for PagedVec<T> {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        let mut paged = Self::new();
        values.into_iter().for_each(|value| paged.push(value));
        paged
    }
}

impl<T> Index<u32> for PagedVec<T> {
    type Output = T;

    #[inline]
    fn index(&self, number: u32) -> &T {
        let number = number as usize;
        &self.pages[number / Self::PER_PAGE][number % Self::PER_PAGE]
    }
}

impl<T> IndexMut<u32> for PagedVec<T> {
    #[inline]
    fn index_mut(&mut self, number: u32) -> &mut T {
        let number = number as usize;
        &mut self.pages[number / Self::PER_PAGE][number % Self::PER_PAGE]
    }
}

/// Where bytes lie in an [`Arena`].
#[derive(Clone, Copy)]
pub(crate) struct Span {
    page: u32,
    start: u32,
    len: u32,
}

impl Span {
    /// How many bytes there are.
    pub(crate) const fn len(self) -> usize {
        self.len as usize
    }

    /// The first of the bytes, and the others.
    pub(crate) fn split_at(self, at: u32) -> (Self, Self) {
        debug_assert!(at <= self.len, "a span is split within");
        (Self { len: at, ..self }, Self { start: self.start + at, len: self.len - at, ..self })
    }
}

/// With fewer bytes let go of, nothing is put together.
const GARBAGE_MIN: usize = 1 << 16;

/// Byte strings, one behind the other. One that is longer than a page has a page of its own.
#[derive(Default)]
pub(crate) struct Arena {
    pages: Vec<Vec<u8>>,
    len: usize,
    /// Bytes of strings that were let go of.
    garbage: usize,
    capacity: usize,
}

impl Arena {
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Span {
        self.push_two(bytes, &[])
    }

    /// Two strings as one.
    pub(crate) fn push_two(&mut self, head: &[u8], rest: &[u8]) -> Span {
        let bytes = head.len() + rest.len();
        let len = u32::try_from(bytes).expect("a row is shorter than four gigabytes");
        let fits = |page: &Vec<u8>| page.len() + bytes <= PAGE_BYTES;
        if !self.pages.last().is_some_and(fits) {
            let capacity = if self.pages.is_empty() { bytes } else { PAGE_BYTES.max(bytes) };
            self.pages.push(Vec::with_capacity(capacity));
            self.capacity += capacity;
        }
        let page = self.pages.len() - 1;
        let last = &mut self.pages[page];
        let (start, before) = (last.len(), last.capacity());
        last.extend_from_slice(head);
        last.extend_from_slice(rest);
        self.capacity += last.capacity() - before;
        self.len += bytes;
        let number = |number: usize| u32::try_from(number).expect("there are less than four billion pages");
        Span { page: number(page), start: number(start), len }
    }

    #[inline]
    pub(crate) fn get(&self, span: Span) -> &[u8] {
        &self.pages[span.page as usize][span.start as usize..][..span.len as usize]
    }

    /// Lets go of a string. Its bytes stay until the others are put together.
    pub(crate) fn release(&mut self, span: Span) {
        self.garbage += span.len();
    }

    /// Whether most of it was let go of.
    pub(crate) fn is_mostly_garbage(&self) -> bool {
        self.garbage >= GARBAGE_MIN && self.garbage * 2 >= self.len
    }

    /// Puts the strings of these spans together, and forgets the others. Each page is given back when its strings have moved, so that there
    /// are never two of all.
    pub(crate) fn compact<'a>(&mut self, spans: impl Iterator<Item = &'a mut Span>) {
        let mut spans: Vec<&mut Span> = spans.collect();
        // Mostly in order already.
        spans.sort_by_key(|span| span.page);
        let mut together = Self::default();
        let mut given_back = 0;
        for span in spans {
            let page = span.page as usize;
            self.pages[given_back..page].fill(Vec::new());
            given_back = page;
            *span = together.push(self.get(*span));
        }
        *self = together;
    }

    /// Bytes of all strings.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.len
    }

    /// Bytes of memory.
    pub(crate) fn size(&self) -> usize {
        self.capacity
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_their_numbers_over_pages() {
        let mut paged = PagedVec::new();
        let many = 3 * PagedVec::<u64>::PER_PAGE as u64 + 1;
        for number in 0..many {
            assert_eq!(paged.len() as u64, number);
            paged.push(number * 3);
        }
        paged[7] = 8;
        assert!(
            paged.iter().enumerate().all(|(nth, value)| *value == if nth == 7 { 8 } else { nth as u64 * 3 })
        );
        assert_eq!(paged[many as u32 - 1], (many - 1) * 3);
        paged.iter_mut().for_each(|value| *value += 1);
        assert_eq!((paged[0], paged[7]), (1, 9));
        assert!(paged.size() < (many as usize + PagedVec::<u64>::PER_PAGE) * 8);
    }

    #[test]
    fn values_are_added_by_the_number_and_picked() {
        let per_page = PagedVec::<u64>::PER_PAGE;
        let mut paged = PagedVec::new();
        for len in [0, 5, 3, per_page, per_page + 1, 3 * per_page, 3 * per_page + 7] {
            let before = paged.len();
            paged.resize(len, len as u64);
            assert_eq!(paged.len(), before.max(len));
            assert_eq!(paged.one_page_mut().is_some(), (1..=per_page).contains(&paged.len()));
        }
        let picked = paged.pick(&[0, 4, 5, per_page as u32, per_page as u32 + 1, 3 * per_page as u32 + 6]);
        assert_eq!(
            picked,
            [5, 5, per_page, per_page + 1, 3 * per_page, 3 * per_page + 7].map(|len| len as u64)
        );
        paged.clear();
        assert_eq!((paged.len(), paged.size()), (0, per_page * 8));
        paged.resize(2, 9);
        assert_eq!(paged.pick(&[1, 0]), [9, 9]);
        let two: PagedVec<u64> = (0..per_page as u64 + 1).collect();
        assert!(two.iter().copied().eq(0..per_page as u64 + 1));
    }

    #[test]
    fn strings_of_any_length_lie_where_they_were_put() {
        let mut arena = Arena::default();
        let string = |nth: usize| vec![nth as u8; [0, 1, 100, 5_000, PAGE_BYTES, PAGE_BYTES + 1][nth % 6]];
        let spans: Vec<Span> = (0..200).map(|nth| arena.push(&string(nth))).collect();
        for (nth, span) in spans.iter().enumerate() {
            assert_eq!(arena.get(*span), string(nth), "string {nth}");
        }
        assert_eq!(arena.len(), (0..200).map(|nth| string(nth).len()).sum::<usize>());
        assert!(arena.size() >= arena.len() && arena.size() < arena.len() * 3 / 2);
        let (head, rest) = spans[2].split_at(40);
        assert_eq!((arena.get(head), arena.get(rest)), (&string(2)[..40], &string(2)[40..]));
        // Those that are kept, in any order.
        let mut kept: Vec<(usize, Span)> =
            spans.into_iter().enumerate().filter(|(nth, _)| nth % 7 < 2).collect();
        kept.reverse();
        let size = arena.size();
        arena.compact(kept.iter_mut().map(|(_, span)| span));
        assert!(kept.iter().all(|(nth, span)| arena.get(*span) == string(*nth)));
        assert_eq!(arena.len(), kept.iter().map(|(nth, _)| string(*nth).len()).sum::<usize>());
        assert!(arena.size() < size / 2);
        assert!(!arena.is_mostly_garbage());
        kept.iter().for_each(|(_, span)| arena.release(*span));
        assert!(arena.is_mostly_garbage());
        arena.compact(std::iter::empty());
        assert!(!arena.is_mostly_garbage());
        assert_eq!((arena.len(), arena.size()), (0, 0));
    }
}

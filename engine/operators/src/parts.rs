//! Rows of a state in parts that are each one batch.
//!
//! A column of texts or lists of a batch counts its bytes with 31 bits. A state may have more: so what a snapshot writes, and what is
//! copied together in memory, is cut before a part comes to that.

use std::ops::Range;

/// A part has at most so many bytes, unless a single row has more.
pub(crate) const PART_BYTES: usize = 1 << 30;

/// Cuts items in order into parts of at most so many items, whose sizes add up to at most `bytes_max`; one that is larger is by itself.
pub(crate) fn parts<T>(
    items: &[T],
    items_max: usize,
    bytes_max: usize,
    bytes_of: impl Fn(&T) -> usize,
) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    let (mut start, mut bytes) = (0, 0_usize);
    for (nth, item) in items.iter().enumerate() {
        let own = bytes_of(item);
        if nth > start && (nth - start == items_max || bytes.saturating_add(own) > bytes_max) {
            parts.push(start..nth);
            (start, bytes) = (nth, 0);
        }
        bytes = bytes.saturating_add(own);
    }
    if start < items.len() {
        parts.push(start..items.len());
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_end_before_they_are_too_large() {
        let cut = |sizes: &[usize], items: usize| parts(sizes, items, 10, |size| *size);
        assert_eq!(cut(&[3, 3, 4, 1, 9, 30, 2, 2], 100), [0..3, 3..5, 5..6, 6..8]);
        assert_eq!(cut(&[1, 1, 1, 1, 1], 2), [0..2, 2..4, 4..5]);
        assert!(cut(&[], 2).is_empty());
        assert_eq!(cut(&[usize::MAX, usize::MAX], 2), [0..1, 1..2]);
    }
}

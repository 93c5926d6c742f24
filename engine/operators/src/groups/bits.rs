//! A set of dense numbers, a bit each.

/// Numbers that are marked.
#[derive(Default)]
pub(crate) struct Bits {
    words: Vec<u64>,
}

impl Bits {
    /// A set of these.
    pub(crate) fn of(numbers: impl Iterator<Item = u32>) -> Self {
        let mut bits = Self::default();
        numbers.for_each(|number| bits.insert(number));
        bits
    }

    /// Makes room for numbers below `numbers`.
    pub(crate) fn reserve(&mut self, numbers: usize) {
        if numbers > self.words.len() * 64 {
            self.words.resize(numbers.div_ceil(64), 0);
        }
    }

    #[inline]
    pub(crate) fn insert(&mut self, number: u32) {
        self.reserve(number as usize + 1);
        self.words[number as usize / 64] |= 1 << (number % 64);
    }

    pub(crate) fn remove(&mut self, number: u32) {
        if let Some(word) = self.words.get_mut(number as usize / 64) {
            *word &= !(1 << (number % 64));
        }
    }

    #[inline]
    pub(crate) fn has(&self, number: u32) -> bool {
        self.words.get(number as usize / 64).is_some_and(|word| word >> (number % 64) & 1 == 1)
    }

    /// Those that are there, ascending.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = u32> {
        (0..).zip(&self.words).flat_map(|(nth, word)| {
            let mut left = *word;
            std::iter::from_fn(move || {
                let bit = (left != 0).then(|| left.trailing_zeros())?;
                left &= left - 1;
                Some(nth * 64 + bit)
            })
        })
    }

    /// Forgets all, keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.words.clear();
    }

    pub(crate) fn size(&self) -> usize {
        self.words.capacity() * size_of::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_inserted_is_there_until_it_is_removed() {
        let numbers = [0, 1, 63, 64, 130, 4_095, 70_000];
        let mut bits = Bits::of(numbers.into_iter().rev());
        assert!(bits.numbers().eq(numbers));
        assert!((0..80_000).all(|number| bits.has(number) == numbers.contains(&number)));
        assert!(!bits.has(u32::MAX));
        [63, 70_000, 70_001, u32::MAX].into_iter().for_each(|number| bits.remove(number));
        assert!(bits.numbers().eq([0, 1, 64, 130, 4_095]));
        bits.clear();
        assert!(bits.numbers().next().is_none() && !bits.has(1));
        bits.insert(3);
        assert!(bits.numbers().eq([3]), "what was there before comes back");
    }
}

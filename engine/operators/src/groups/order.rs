//! Keys in their order, a part at a time.
//!
//! Keys that are looked up in an array lie there in their order: a part is found by a look at some of it, and none are noted. All others
//! are sorted together.

use super::bits::Bits;
use super::keys::KeyTable;

/// Keys of a table, in the order of [`KeyTable::compare`].
pub(crate) struct InOrder(Order);

enum Order {
    /// Up to which entry the array has been looked at, and which keys are wanted, if not all are.
    Array { next: usize, wanted: Option<Bits> },
    /// Their numbers, and how many of them have been given.
    Sorted { ids: Vec<u32>, next: usize },
}

impl InOrder {
    /// So many keys of a table, each of which is there once.
    pub(crate) fn new(keys: &KeyTable, ids: impl Iterator<Item = u32>, count: usize) -> Self {
        Self(match keys.array_of(count) {
            Some(_) if count == keys.len() => Order::Array { next: 0, wanted: None },
            Some(_) => Order::Array { next: 0, wanted: Some(Bits::of(ids)) },
            None => {
                let mut ids: Vec<u32> = ids.collect();
                keys.sort(&mut ids);
                Order::Sorted { ids, next: 0 }
            }
        })
    }

    /// Replaces what is in `part` by the next keys, at most so many; if there is none, that was all. `keys` are those it was made of.
    pub(crate) fn next(&mut self, keys: &KeyTable, count: usize, part: &mut Vec<u32>) {
        part.clear();
        match &mut self.0 {
            Order::Array { next, wanted } => {
                let array = keys.array_of(usize::MAX).expect("the keys are those of before");
                *next = array.scan(*next, count, wanted.as_ref(), part);
            }
            Order::Sorted { ids, next } => {
                let end = ids.len().min(*next + count);
                part.extend_from_slice(&ids[*next..end]);
                *next = end;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray};

    use super::*;

    /// Some keys, in parts of so many, are what sorting them gives.
    fn check(column: ArrayRef, is_array: bool) {
        let mut table = KeyTable::new(vec![column.data_type().clone()]).unwrap();
        table.intern(&[Arc::clone(&column)], column.len(), &mut Vec::new()).unwrap();
        let all: Vec<u32> = (0..table.len() as u32).collect();
        let some: Vec<u32> = all.iter().copied().filter(|id| id % 3 != 1).collect();
        for ids in [all, some, vec![7], vec![]] {
            let mut expected = ids.clone();
            table.sort(&mut expected);
            for count in [1, 1_000, 1_000_000] {
                let mut order = InOrder::new(&table, ids.iter().copied(), ids.len());
                assert_eq!(matches!(order.0, Order::Array { .. }), is_array && ids.len() > 1);
                let (mut found, mut part) = (Vec::new(), vec![9]);
                loop {
                    order.next(&table, count, &mut part);
                    assert!(part.len() <= count);
                    if part.is_empty() {
                        break;
                    }
                    found.extend_from_slice(&part);
                }
                assert_eq!(found, expected, "in parts of {count}");
            }
        }
    }

    #[test]
    fn parts_together_are_all_keys_in_order() {
        let keys = || (0..9_000_i64).map(|n| n * 7_919 % 10_007);
        check(Arc::new(keys().collect::<Int64Array>()), true);
        check(Arc::new(keys().map(|n| n - 5_000).collect::<Int64Array>()), false);
        check(Arc::new(keys().map(|n| (n != 3).then_some(n)).collect::<Int64Array>()), false);
        check(Arc::new(StringArray::from_iter_values(keys().map(|n| n.to_string()))), false);
    }
}

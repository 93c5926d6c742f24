//! Sorting by integers in linear time.

/// For fewer pairs, comparing is as fast as counting.
const RADIX_MIN: usize = 4_096;

/// Sorts pairs by their first part. Pairs whose first parts are equal stay in their order.
pub(super) fn sort_pairs(pairs: &mut Vec<(u64, u32)>) {
    if pairs.len() < RADIX_MIN {
        pairs.sort_by_key(|(key, _)| *key);
        return;
    }
    let first = pairs[0].0;
    let differing = pairs.iter().fold(0, |bits, (key, _)| bits | (key ^ first));
    let mut spare = vec![(0, 0); pairs.len()];
    for shift in (0..u64::BITS).step_by(8).filter(|shift| (differing >> shift) & 0xff != 0) {
        let digit = |key: u64| (key >> shift) as usize & 0xff;
        let mut places = [0_usize; 256];
        pairs.iter().for_each(|(key, _)| places[digit(*key)] += 1);
        let mut before = 0;
        for place in &mut places {
            before += std::mem::replace(place, before);
        }
        for pair in pairs.iter() {
            let place = &mut places[digit(pair.0)];
            spare[*place] = *pair;
            *place += 1;
        }
        std::mem::swap(pairs, &mut spare);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(keys: impl Iterator<Item = u64>) {
        let mut pairs: Vec<(u64, u32)> = keys.zip(0..).collect();
        let mut expected = pairs.clone();
        expected.sort();
        sort_pairs(&mut pairs);
        assert!(pairs == expected, "{} pairs", pairs.len());
    }

    #[test]
    fn pairs_are_in_order_and_equal_ones_stay() {
        let mixed = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for count in [0, 1, RADIX_MIN as u64 - 1, RADIX_MIN as u64, 3 * RADIX_MIN as u64] {
            check((0..count).map(mixed));
            check((0..count).map(|n| mixed(n) % 97));
            check((0..count).map(|n| ((mixed(n) % 5) << 40) + 7));
            check((0..count).map(|_| 3));
        }
    }
}

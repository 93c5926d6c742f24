//! Lines that are being sorted: by partition, then by key, then by what follows the key, as bytes.

use xxhash_rust::xxh3::xxh3_64;

/// Lines behind one another, and where each is.
pub(crate) struct Sorter {
    partitions: usize,
    bytes: Vec<u8>,
    lines: Vec<Line>,
}

#[derive(Clone, Copy)]
struct Line {
    partition: u32,
    /// How long the key is; the rest begins with the tab behind it, if there is one.
    key: u32,
    /// The first bytes of the key, so that most comparisons need no more.
    prefix: u64,
    at: u32,
    len: u32,
}

impl Sorter {
    pub(crate) fn new(partitions: usize) -> Self {
        Self { partitions, bytes: Vec::new(), lines: Vec::new() }
    }

    /// Adds a line without its line feed.
    pub(crate) fn add(&mut self, line: &[u8]) {
        let key = key_of(line);
        let partition = if self.partitions <= 1 { 0 } else { xxh3_64(key) % self.partitions as u64 };
        self.lines.push(Line {
            partition: partition as u32,
            key: key.len() as u32,
            prefix: prefix_of(key),
            at: self.bytes.len() as u32,
            len: line.len() as u32,
        });
        self.bytes.extend_from_slice(line);
    }

    /// Bytes of memory.
    pub(crate) fn size(&self) -> usize {
        self.bytes.len() + self.lines.len() * size_of::<Line>()
    }

    /// Whether another line of this length has a place.
    pub(crate) fn has_room(&self, line: usize, limit: usize) -> bool {
        let most = limit.min(u32::MAX as usize);
        self.lines.is_empty() || self.size() + line + size_of::<Line>() <= most
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Sorts, and gives each line with its partition.
    pub(crate) fn sorted(&mut self) -> impl Iterator<Item = (usize, &[u8])> {
        let bytes = &self.bytes;
        self.lines.sort_unstable_by(|a, b| {
            let by_prefix = (a.partition, a.prefix).cmp(&(b.partition, b.prefix));
            by_prefix.then_with(|| {
                let (x, y) = (a.of(bytes), b.of(bytes));
                compare(x, a.key as usize, y, b.key as usize)
            })
        });
        self.lines.iter().map(|line| (line.partition as usize, line.of(bytes)))
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.lines.clear();
    }
}

impl Line {
    fn of<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        &bytes[self.at as usize..][..self.len as usize]
    }
}

/// What is before the first tab; the whole line if there is none.
pub(crate) fn key_of(line: &[u8]) -> &[u8] {
    memchr::memchr(b'\t', line).map_or(line, |tab| &line[..tab])
}

/// The first eight bytes, as a number in their order.
pub(crate) fn prefix_of(key: &[u8]) -> u64 {
    let mut first = [0; 8];
    let some = key.len().min(8);
    first[..some].copy_from_slice(&key[..some]);
    u64::from_be_bytes(first)
}

/// The order of two lines whose keys are so long.
pub(crate) fn compare(a: &[u8], a_key: usize, b: &[u8], b_key: usize) -> std::cmp::Ordering {
    a[..a_key].cmp(&b[..b_key]).then_with(|| a[a_key..].cmp(&b[b_key..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_key_then_by_the_rest() {
        let mut sorter = Sorter::new(1);
        let lines: [&[u8]; 7] = [b"b\t1", b"a\x01\t1", b"a\t2", b"a\t10", b"a", b"", b"abcdefghij\t1"];
        lines.iter().for_each(|line| sorter.add(line));
        let sorted: Vec<_> =
            sorter.sorted().map(|(_, line)| String::from_utf8_lossy(line).into_owned()).collect();
        assert_eq!(sorted, ["", "a", "a\t10", "a\t2", "a\x01\t1", "abcdefghij\t1", "b\t1"]);
    }

    #[test]
    fn a_key_is_in_one_partition() {
        let mut sorter = Sorter::new(7);
        (0..1000).for_each(|n| sorter.add(format!("k{}\t{n}", n % 50).as_bytes()));
        let mut partitions = std::collections::BTreeMap::new();
        for (partition, line) in sorter.sorted() {
            assert_eq!(*partitions.entry(key_of(line).to_vec()).or_insert(partition), partition);
        }
        assert_eq!(partitions.len(), 50);
    }
}

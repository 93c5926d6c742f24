//! Rows as bytes that are kept: as short as they can be read and written fast.
//!
//! ```text
//!  | a bit per column: NULL | values of fixed width, in the order of the columns | mark, text | mark | mark, text | ..
//! ```
//!
//! A mark is in LEB128: twice the length of the text that follows, or, of a text that repeats, twice its number in the column's dictionary
//! ([`crate::dictionary`]) and one. Where a column is NULL its value is zeros, or of no length: so rows are equal if their bytes are, as
//! long as they are of one format. Their order is that of the columns one after the other, ascending, NULL first, as `arrow-row` has it;
//! [`RowFormat::compare`] tells it. Rows with columns of other types (nested ones, dictionaries) are in `arrow-row` encoding.

mod marks;
mod order;
mod read;
mod write;

use std::cmp::Ordering;

use arrow::array::{Array, ArrayRef, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use arrow_row::{RowConverter, SortField};

use self::marks::{is_number, put_varint, varint, varint_len};
use self::order::Order;
use self::read::Builder;
use self::write::{each_text, put_fixed};
use crate::dictionary::Dictionary;
use crate::error::Result;

/// So many rows are read column by column before the next: as many as stay in a core's cache meanwhile.
const CHUNK: usize = 128;

/// How rows of some types are written.
pub(crate) struct RowFormat {
    types: Vec<DataType>,
    layout: Layout,
}

enum Layout {
    Packed(Packed),
    Encoded(RowConverter),
}

/// Rows that were written.
pub(crate) enum RowBytes {
    /// One behind the other, each up to its end.
    Packed { bytes: Vec<u8>, ends: Vec<usize> },
    /// In `arrow-row` encoding.
    Encoded(arrow_row::Rows),
}

impl RowBytes {
    /// The bytes of a row.
    #[inline]
    pub(crate) fn get(&self, row: usize) -> &[u8] {
        match self {
            Self::Packed { bytes, ends } => {
                let start = if row == 0 { 0 } else { ends[row - 1] };
                &bytes[start..ends[row]]
            }
            Self::Encoded(rows) => rows.row(row).data(),
        }
    }
}

impl RowFormat {
    pub(crate) fn new(types: Vec<DataType>) -> Result<Self> {
        let layout = match Packed::of(&types) {
            Some(packed) => Layout::Packed(packed),
            None => {
                let fields = types.iter().map(|kind| SortField::new(kind.clone())).collect();
                Layout::Encoded(RowConverter::new(fields)?)
            }
        };
        Ok(Self { types, layout })
    }

    /// The rows of some columns as bytes, which this format alone can read.
    pub(crate) fn encode(&mut self, columns: &[ArrayRef], rows: usize) -> Result<RowBytes> {
        debug_assert_eq!(columns.len(), self.types.len());
        Ok(match &mut self.layout {
            Layout::Packed(packed) => packed.encode(columns, rows),
            Layout::Encoded(converter) => RowBytes::Encoded(converter.convert_columns(columns)?),
        })
    }

    /// A row of nulls.
    pub(crate) fn nulls(&mut self) -> Result<Box<[u8]>> {
        let nulls: Vec<ArrayRef> = self.types.iter().map(|kind| new_null_array(kind, 1)).collect();
        Ok(self.encode(&nulls, 1)?.get(0).into())
    }

    /// All columns of rows.
    pub(crate) fn columns<'a>(&self, rows: impl Iterator<Item = &'a [u8]>) -> Result<Vec<ArrayRef>> {
        let all: Vec<usize> = (0..self.types.len()).collect();
        self.some(&all, rows)
    }

    /// Some columns of rows.
    pub(crate) fn some<'a>(
        &self,
        wanted: &[usize],
        rows: impl Iterator<Item = &'a [u8]>,
    ) -> Result<Vec<ArrayRef>> {
        match &self.layout {
            Layout::Packed(packed) => {
                let rows: Vec<&[u8]> = rows.collect();
                Ok(packed.decode(wanted, &self.types, &rows)?)
            }
            Layout::Encoded(converter) => {
                let parser = converter.parser();
                let columns = converter.convert_rows(rows.map(|row| parser.parse(row)))?;
                // Dictionaries come back as their values.
                let typed = |column: &usize| Ok(cast(&columns[*column], &self.types[*column])?);
                wanted.iter().map(typed).collect()
            }
        }
    }

    /// Bytes of memory, of what is kept beside the rows.
    pub(crate) fn size(&self) -> usize {
        match &self.layout {
            Layout::Packed(packed) => packed.dictionaries.iter().map(Dictionary::size).sum(),
            Layout::Encoded(_) => 0,
        }
    }

    /// How two rows are ordered.
    pub(crate) fn compare(&self, a: &[u8], b: &[u8]) -> Ordering {
        match &self.layout {
            Layout::Packed(packed) => packed.compare(a, b),
            Layout::Encoded(_) => a.cmp(b),
        }
    }
}

/// Where a column's values lie in a row.
#[derive(Clone, Copy)]
enum Place {
    Fixed { at: usize, width: usize, order: Order },
    Text,
}

struct Packed {
    places: Vec<Place>,
    /// One for each column; those of fixed width have nothing in it.
    dictionaries: Vec<Dictionary>,
    /// How many bytes there are before the texts.
    head: usize,
}

impl Packed {
    /// `None`: there is a type that this is not for.
    fn of(types: &[DataType]) -> Option<Self> {
        let mut head = types.len().div_ceil(8);
        let place = |kind: &DataType| {
            let (width, order) = match kind {
                DataType::Utf8
                | DataType::LargeUtf8
                | DataType::Utf8View
                | DataType::Binary
                | DataType::LargeBinary
                | DataType::BinaryView => return Some(Place::Text),
                DataType::Boolean => (1, Order::Unsigned),
                DataType::Float32 | DataType::Float64 => (kind.primitive_width()?, Order::Float),
                DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64 => {
                    (kind.primitive_width()?, Order::Unsigned)
                }
                DataType::Int8
                | DataType::Int16
                | DataType::Int32
                | DataType::Int64
                | DataType::Date32
                | DataType::Date64
                | DataType::Time32(_)
                | DataType::Time64(_)
                | DataType::Timestamp(..)
                | DataType::Duration(_)
                | DataType::Decimal128(..) => (kind.primitive_width()?, Order::Signed),
                _ => return None,
            };
            let at = head;
            head += width;
            Some(Place::Fixed { at, width, order })
        };
        let places = types.iter().map(place).collect::<Option<Vec<_>>>()?;
        let dictionaries = places.iter().map(|_| Dictionary::default()).collect();
        Some(Self { places, dictionaries, head })
    }

    fn encode(&mut self, columns: &[ArrayRef], rows: usize) -> RowBytes {
        let mut lens = vec![self.head; rows];
        let mut marks: Vec<Vec<usize>> = Vec::new();
        let mut dictionaries = std::mem::take(&mut self.dictionaries);
        for (nth, column) in self.texts(columns) {
            let dictionary = &mut dictionaries[nth];
            let mut of_column = Vec::with_capacity(rows);
            each_text(column, |row, text| {
                let (mark, bytes) = match dictionary.number(text) {
                    Some(number) => ((number as usize) << 1 | 1, 0),
                    None => (text.len() << 1, text.len()),
                };
                lens[row] += varint_len(mark) + bytes;
                of_column.push(mark);
            });
            marks.push(of_column);
        }
        self.dictionaries = dictionaries;
        let mut end = 0;
        let mut starts = Vec::with_capacity(rows);
        let ends: Vec<usize> = lens
            .iter()
            .map(|len| {
                starts.push(end);
                end += len;
                end
            })
            .collect();
        let mut bytes = vec![0_u8; end];
        for (nth, (place, column)) in self.places.iter().zip(columns).enumerate() {
            let nulls = column.logical_nulls();
            if let Some(nulls) = nulls.as_ref().filter(|nulls| nulls.null_count() > 0) {
                let is_null = (0..rows).filter(|row| nulls.is_null(*row));
                is_null.for_each(|row| bytes[starts[row] + nth / 8] |= 1 << (nth % 8));
            }
            if let Place::Fixed { at, width, .. } = place {
                put_fixed(column, nulls.as_ref(), *width, &starts, *at, &mut bytes);
            }
        }
        // From here on where the next text goes.
        starts.iter_mut().for_each(|start| *start += self.head);
        for ((_, column), marks) in self.texts(columns).zip(&marks) {
            each_text(column, |row, text| {
                let at = &mut starts[row];
                *at += put_varint(&mut bytes[*at..], marks[row]);
                if !is_number(marks[row]) {
                    bytes[*at..*at + text.len()].copy_from_slice(text);
                    *at += text.len();
                }
            });
        }
        RowBytes::Packed { bytes, ends }
    }

    /// The columns of texts, with their places.
    fn texts<'a>(&self, columns: &'a [ArrayRef]) -> impl Iterator<Item = (usize, &'a ArrayRef)> {
        let texts = self.places.iter().zip(columns).enumerate();
        texts.filter(|(_, (place, _))| matches!(place, Place::Text)).map(|(nth, (_, column))| (nth, column))
    }

    /// The text of a column that begins at a place of a row, and where the next one does.
    #[inline]
    fn text_at<'a>(&'a self, nth: usize, row: &'a [u8], at: usize) -> (&'a [u8], usize) {
        let (mark, bytes) = varint(&row[at..]);
        let (start, value) = (at + bytes, mark >> 1);
        if is_number(mark) {
            return (self.dictionaries[nth].text(value as u32), start);
        }
        (&row[start..start + value], start + value)
    }

    fn decode(
        &self,
        wanted: &[usize],
        types: &[DataType],
        rows: &[&[u8]],
    ) -> std::result::Result<Vec<ArrayRef>, ArrowError> {
        let mut builders: Vec<Option<Builder>> = self.places.iter().map(|_| None).collect();
        for column in wanted {
            builders[*column] = Some(Builder::new(self.places[*column], rows.len()));
        }
        let last = self
            .places
            .iter()
            .zip(&builders)
            .rposition(|(place, builder)| matches!(place, Place::Text) && builder.is_some());
        for rows in rows.chunks(CHUNK) {
            let mut texts = [self.head; CHUNK];
            for (nth, (place, builder)) in self.places.iter().zip(&mut builders).enumerate() {
                match (place, builder) {
                    (Place::Fixed { at, .. }, Some(builder)) => builder.add_fixed(rows, *at, nth),
                    (Place::Text, builder) if last.is_some_and(|last| nth <= last) => {
                        for (row, at) in rows.iter().zip(&mut texts) {
                            let text;
                            (text, *at) = self.text_at(nth, row, *at);
                            if let Some(builder) = builder {
                                builder.add_text(text, is_null(row, nth));
                            }
                        }
                    }
                    _ => {}
                }
            }
        }
        let finished = wanted.iter().map(|column| match builders[*column].take() {
            Some(builder) => builder.finish(&types[*column]),
            // Asked for twice.
            None => self.decode(&[*column], types, rows).map(|mut one| one.swap_remove(0)),
        });
        finished.collect()
    }

    fn compare(&self, a: &[u8], b: &[u8]) -> Ordering {
        let (mut at_a, mut at_b) = (self.head, self.head);
        for (nth, place) in self.places.iter().enumerate() {
            // NULL comes first, and all that are NULL have the same bytes.
            let nulls = is_null(b, nth).cmp(&is_null(a, nth));
            let order = match place {
                Place::Fixed { at, width, order } => {
                    order.compare(&a[*at..*at + width], &b[*at..*at + width])
                }
                Place::Text => {
                    let (one, next_a) = self.text_at(nth, a, at_a);
                    let (other, next_b) = self.text_at(nth, b, at_b);
                    (at_a, at_b) = (next_a, next_b);
                    one.cmp(other)
                }
            };
            let order = nulls.then(order);
            if order.is_ne() {
                return order;
            }
        }
        Ordering::Equal
    }
}

#[inline]
fn is_null(row: &[u8], column: usize) -> bool {
    row[column / 8] >> (column % 8) & 1 == 1
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int8Array,
        Int64Array, ListArray, StringArray, StringViewArray, TimestampMillisecondArray, UInt16Array,
        UInt32Array,
    };
    use arrow::datatypes::Int64Type;

    use super::*;

    /// Columns of five rows, of every kind of layout, with nulls in different places.
    fn columns() -> Vec<ArrayRef> {
        let long = "a text that is longer than one hundred and twenty-seven bytes, so that its length takes two bytes of its row, \
                    and that no view holds in itself";
        let times = vec![Some(7), Some(-8), None, Some(i64::MAX), Some(i64::MIN)];
        let texts = [Some("b"), None, Some(""), Some(long), Some("ä€")];
        vec![
            Arc::new(Int64Array::from(vec![Some(1), Some(-1), None, Some(1), Some(i64::MIN)])),
            Arc::new(StringArray::from(texts.to_vec())),
            Arc::new(BooleanArray::from(vec![Some(true), None, Some(false), Some(true), None])),
            Arc::new(TimestampMillisecondArray::from(times).with_timezone("UTC")),
            Arc::new(Float64Array::from(vec![Some(-0.0), Some(0.0), None, Some(f64::NAN), Some(-1.5)])),
            Arc::new(Float32Array::from(vec![None, Some(2.5), Some(f32::NEG_INFINITY), None, Some(-2.5)])),
            Arc::new(StringViewArray::from(texts.to_vec())),
            Arc::new(BinaryArray::from(vec![Some(&[0xff, 0][..]), None, Some(&[0xff][..]), Some(b""), None])),
            Arc::new(Int8Array::from(vec![Some(-1), Some(1), None, Some(-128), Some(127)])),
            Arc::new(UInt16Array::from(vec![Some(256), Some(1), None, Some(u16::MAX), Some(0)])),
            Arc::new(UInt32Array::from(vec![Some(256), Some(1), None, Some(u32::MAX), Some(0)])),
            Arc::new(Date32Array::from(vec![Some(-256), Some(1), None, Some(i32::MAX), Some(0)])),
            Arc::new(
                Decimal128Array::from(vec![Some(-256), Some(1 << 70), None, Some(3), Some(0)])
                    .with_precision_and_scale(30, 4)
                    .unwrap(),
            ),
        ]
    }

    fn format(columns: &[ArrayRef]) -> RowFormat {
        RowFormat::new(columns.iter().map(|column| column.data_type().clone()).collect()).unwrap()
    }

    fn check(columns: &[ArrayRef]) {
        let rows = columns[0].len();
        let mut format = format(columns);
        let written = format.encode(columns, rows).unwrap();
        let bytes = || (0..rows).map(|row| written.get(row));
        assert_eq!(format.columns(bytes()).unwrap(), columns);
        for wanted in [vec![columns.len() - 1, 0], (0..columns.len()).rev().collect(), vec![0, 0], vec![]] {
            let expected: Vec<ArrayRef> = wanted.iter().map(|column| Arc::clone(&columns[*column])).collect();
            assert_eq!(format.some(&wanted, bytes()).unwrap(), expected, "{wanted:?}");
        }
        // The order of arrow-row, and equality with it.
        let fields = columns.iter().map(|column| SortField::new(column.data_type().clone()));
        let encoded = RowConverter::new(fields.collect()).unwrap().convert_columns(columns).unwrap();
        for (a, b) in (0..rows).flat_map(|a| (0..rows).map(move |b| (a, b))) {
            let expected = encoded.row(a).cmp(&encoded.row(b));
            assert_eq!(format.compare(written.get(a), written.get(b)), expected, "rows {a} and {b}");
            assert_eq!(written.get(a) == written.get(b), expected.is_eq(), "rows {a} and {b}");
        }
        let nulls = format.nulls().unwrap();
        let nulls = format.columns(std::iter::once(&*nulls)).unwrap();
        assert!(nulls.iter().all(|column| column.is_null(0)));
        // A part of a batch is as good as a whole one.
        let part: Vec<ArrayRef> = columns.iter().map(|column| column.slice(1, rows - 2)).collect();
        let sliced = format.encode(&part, rows - 2).unwrap();
        assert!((0..rows - 2).all(|row| sliced.get(row) == written.get(row + 1)));
    }

    #[test]
    fn rows_of_every_type_come_back_and_are_ordered() {
        let all = columns();
        check(&all);
        for column in all {
            check(&[Arc::clone(&column)]);
            // Ties are broken by what follows.
            check(&[Arc::new(Int64Array::from(vec![4; 5])), column]);
        }
    }

    #[test]
    fn nested_columns_are_kept_as_well() {
        let lists = vec![Some(vec![Some(1), None]), None, Some(vec![]), Some(vec![Some(1)]), None];
        let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(lists));
        check(&[Arc::new(Int64Array::from(vec![1, 2, 3, 4, 5])), lists]);
    }

    #[test]
    fn many_rows_come_back_in_their_order() {
        let many = 3 * CHUNK + 7;
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..many as i64));
        let texts: ArrayRef = Arc::new(StringArray::from_iter_values((0..many).map(|n| "x".repeat(n % 300))));
        check(&[texts, numbers]);
    }

    #[test]
    fn texts_that_repeat_take_no_room_and_are_ordered_as_texts() {
        let many = 20_000;
        let url = |nth: usize| format!("https://example.com/{:04}/item.htm?query=1", (nth * 7_919) % 600);
        let text = |nth: usize| (!nth.is_multiple_of(9)).then(|| format!("{:08x}", nth * 0x9e37));
        let repeating: ArrayRef = Arc::new(StringArray::from_iter_values((0..many).map(url)));
        let unique: ArrayRef = Arc::new(StringViewArray::from_iter((0..many).map(text)));
        let columns = [repeating, unique];
        let mut format = format(&columns);
        let first = format.encode(&columns, many).unwrap();
        // The same rows are the same bytes, whatever has come meanwhile.
        let again = format.encode(&columns, many).unwrap();
        assert!((0..many).all(|row| first.get(row) == again.get(row)));
        let bytes: usize = (0..many).map(|row| first.get(row).len()).sum();
        assert!(bytes < many * 13, "{bytes} bytes");
        assert_eq!(format.columns((0..many).map(|row| again.get(row))).unwrap(), columns);
        for a in 0..many {
            // Some of the same URL, and some of another.
            for b in [a + 1_200, a + 1_234].map(|b| b % many) {
                let expected = (url(a), text(a)).cmp(&(url(b), text(b)));
                assert_eq!(format.compare(first.get(a), again.get(b)), expected, "rows {a} and {b}");
            }
        }
        assert!((600 * 40..1 << 20).contains(&format.size()), "{} bytes", format.size());
    }

    #[test]
    fn rows_without_columns_are_the_same() {
        let mut format = RowFormat::new(Vec::new()).unwrap();
        let written = format.encode(&[], 3).unwrap();
        assert!((0..3).all(|row| written.get(row).is_empty()));
        assert!(format.columns(std::iter::once(&[][..])).unwrap().is_empty());
    }
}

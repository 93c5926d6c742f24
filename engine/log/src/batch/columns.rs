//! Which nodes and buffers belong to which column, and the arrays that they make.
//!
//! Lengths are checked to the byte before arrow sees a buffer, since some of its accessors panic on odd ones.

use arrow::array::ArrayData;
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer};
use arrow::datatypes::DataType;

use super::error::{BatchError, Result};
use super::header::{FIXED_BYTES, Header, Node};

/// A place in the lists of the header.
#[derive(Clone, Copy, Default)]
pub(super) struct Cursor {
    node: usize,
    pub(super) buffer: usize,
    variadic: usize,
}

impl Cursor {
    fn node(&mut self, header: &Header) -> Result<Node> {
        let node = header.nodes.get(self.node).copied();
        self.node += 1;
        node.ok_or_else(|| {
            self.missing(format!("the schema has more arrays than the header's {}", header.nodes.len()))
        })
    }

    fn variadic(&mut self, header: &Header) -> Result<usize> {
        let count = header.variadic.get(self.variadic).copied();
        self.variadic += 1;
        let count = count.ok_or_else(|| self.missing("the schema has more view columns than the header"))?;
        Ok(count as usize)
    }

    fn missing(&self, reason: impl Into<String>) -> BatchError {
        BatchError::damaged(FIXED_BYTES as u64, reason)
    }

    /// Steps over an array.
    pub(super) fn skip(&mut self, header: &Header, data_type: &DataType) -> Result<()> {
        self.node += 1;
        if data_type == &DataType::Null {
            return Ok(());
        }
        self.buffer += 1 + match data_type {
            DataType::Struct(_) | DataType::FixedSizeList(..) => 0,
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Binary | DataType::LargeBinary => 2,
            DataType::Utf8View | DataType::BinaryView => 1 + self.variadic(header)?,
            _ => 1,
        };
        children(data_type).into_iter().try_for_each(|child| self.skip(header, child))
    }

    /// Whether everything in the header was stepped over.
    pub(super) fn is_at_end(&self, header: &Header) -> bool {
        self.node == header.nodes.len()
            && self.buffer == header.buffers.len()
            && self.variadic == header.variadic.len()
    }
}

fn children(data_type: &DataType) -> Vec<&DataType> {
    match data_type {
        DataType::List(field) | DataType::LargeList(field) | DataType::FixedSizeList(field, _) => {
            vec![field.data_type()]
        }
        DataType::Map(field, _) => vec![field.data_type()],
        DataType::Struct(fields) => fields.iter().map(|field| field.data_type()).collect(),
        _ => Vec::new(),
    }
}

/// Makes arrays of buffers that were fetched, verified and decompressed.
pub(super) struct Builder<'a> {
    pub(super) header: &'a Header,
    /// By number; what was not fetched is not there.
    pub(super) buffers: Vec<Option<Buffer>>,
    pub(super) at: Cursor,
}

impl Builder<'_> {
    /// Makes the array at the cursor, of `len` values.
    pub(super) fn array(&mut self, data_type: &DataType, len: usize) -> Result<ArrayData> {
        let node = self.at.node(self.header)?;
        if node.len != len as u64 {
            return Err(self.damaged(format!("an array has {} values, expected {len}", node.len)));
        }
        let mut array = ArrayData::builder(data_type.clone()).len(len).align_buffers(true);
        if data_type != &DataType::Null {
            array = array.nulls(self.validity(node)?);
            for width in widths(data_type) {
                let buffer = match width {
                    Width::Bits => self.buffer_of(len.div_ceil(8))?,
                    Width::Values(bytes) => self.buffer_of(len * bytes)?,
                    Width::Offsets(bytes) => self.buffer_of((len + 1) * bytes)?,
                    Width::Any => self.buffer()?,
                };
                array = array.add_buffer(buffer);
            }
            if matches!(data_type, DataType::Utf8View | DataType::BinaryView) {
                for _ in 0..self.at.variadic(self.header)? {
                    array = array.add_buffer(self.buffer()?);
                }
            }
        }
        for child in children(data_type) {
            let child_len = self.child_len(data_type, len)?;
            array = array.add_child_data(self.array(child, child_len)?);
        }
        array.build().map_err(|error| self.damaged(error.to_string()))
    }

    /// How many values the next child has: as many as its parent, or what its node says, which is checked against the
    /// parent's offsets when the parent is built.
    fn child_len(&self, parent: &DataType, len: usize) -> Result<usize> {
        match parent {
            DataType::Struct(_) => Ok(len),
            DataType::FixedSizeList(_, size) => len
                .checked_mul(*size as usize)
                .ok_or_else(|| self.damaged(format!("{len} lists of {size} values are too many"))),
            _ => match self.header.nodes.get(self.at.node) {
                Some(node) => Ok(node.len as usize),
                None => Err(self.damaged("the schema has more arrays than the header")),
            },
        }
    }

    fn validity(&mut self, node: Node) -> Result<Option<NullBuffer>> {
        if node.nulls == 0 {
            return self.buffer_of(0).map(|_| None);
        }
        let len = node.len as usize;
        let bitmap = self.buffer_of(len.div_ceil(8))?;
        let nulls = NullBuffer::new(BooleanBuffer::new(bitmap, 0, len));
        if nulls.null_count() as u64 != node.nulls {
            return Err(self.damaged(format!(
                "{} values are NULL, expected {}",
                nulls.null_count(),
                node.nulls
            )));
        }
        Ok(Some(nulls))
    }

    fn buffer_of(&mut self, len: usize) -> Result<Buffer> {
        let buffer = self.buffer()?;
        if buffer.len() == len {
            Ok(buffer)
        } else {
            Err(self.damaged(format!("a buffer is {} bytes long, expected {len}", buffer.len())))
        }
    }

    fn buffer(&mut self) -> Result<Buffer> {
        let buffer = self.buffers.get_mut(self.at.buffer).and_then(Option::take);
        self.at.buffer += 1;
        buffer.ok_or_else(|| self.damaged("the schema has more buffers than the header"))
    }

    /// Damage in the buffer that was looked at last.
    fn damaged(&self, reason: impl Into<String>) -> BatchError {
        let entry = self.at.buffer.checked_sub(1).and_then(|index| self.header.buffers.get(index));
        BatchError::damaged(self.header.in_body(entry.map_or(0, |entry| entry.offset)), reason)
    }
}

/// How long a buffer of an array is.
enum Width {
    /// A bit for each value.
    Bits,
    /// So many bytes for each value.
    Values(usize),
    /// So many bytes for each value, and once more.
    Offsets(usize),
    /// As long as it is; the offsets or views say which part is used.
    Any,
}

/// The buffers of an array after its validity, data buffers of views not counted.
fn widths(data_type: &DataType) -> Vec<Width> {
    match data_type {
        DataType::Boolean => vec![Width::Bits],
        DataType::Utf8 | DataType::Binary => vec![Width::Offsets(4), Width::Any],
        DataType::LargeUtf8 | DataType::LargeBinary => vec![Width::Offsets(8), Width::Any],
        DataType::Utf8View | DataType::BinaryView => vec![Width::Values(16)],
        DataType::List(_) | DataType::Map(..) => vec![Width::Offsets(4)],
        DataType::LargeList(_) => vec![Width::Offsets(8)],
        DataType::FixedSizeBinary(width) => vec![Width::Values(*width as usize)],
        other => other.primitive_width().map(Width::Values).into_iter().collect(),
    }
}

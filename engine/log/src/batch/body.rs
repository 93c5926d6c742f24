//! Arrays to nodes and buffers, in the order of an Arrow IPC record batch.
//!
//! Nothing is copied that can be written as it lies in memory. Copied are: bitmaps that do not start at a byte, offsets
//! that do not start at 0, and views that use less than half of what they point into.

use std::sync::LazyLock;

use arrow::array::{Array, ArrayRef, AsArray, GenericByteViewArray, OffsetSizeTrait};
use arrow::buffer::{Buffer, OffsetBuffer};
use arrow::datatypes::{
    BinaryViewType, ByteArrayType, ByteViewType, DataType, GenericBinaryType, GenericStringType,
    StringViewType,
};

use super::compress::compress;
use super::header::{BufferEntry, Node};
use super::wire::padded_64;
use crate::api::Compression;
use crate::error::{LogError, Result};

static ZEROS: LazyLock<Buffer> = LazyLock::new(|| Buffer::from_vec(vec![0_u8; 64]));

/// A body that is being put together.
pub(super) struct Body {
    pub(super) nodes: Vec<Node>,
    pub(super) buffers: Vec<BufferEntry>,
    pub(super) variadic: Vec<u64>,
    /// The bytes in order, padding included.
    pub(super) bytes: Vec<Buffer>,
    /// How many bytes that is.
    pub(super) len: u64,
    /// Bytes of the buffers before compression.
    pub(super) decoded: u64,
    compression: Compression,
}

impl Body {
    pub(super) fn new(compression: Compression) -> Self {
        Self {
            nodes: Vec::new(),
            buffers: Vec::new(),
            variadic: Vec::new(),
            bytes: Vec::new(),
            len: 0,
            decoded: 0,
            compression,
        }
    }

    /// Appends an array and the arrays within it, depth first.
    pub(super) fn push(&mut self, array: &ArrayRef) -> Result<()> {
        let null = array.data_type() == &DataType::Null;
        let nulls = if null { array.len() } else { array.null_count() };
        self.nodes.push(Node { len: array.len() as u64, nulls: nulls as u64 });
        if null {
            return Ok(());
        }
        self.push_validity(array.as_ref())?;
        match array.data_type() {
            DataType::Boolean => self.push_buffer(array.as_boolean().values().sliced()),
            DataType::Utf8 => self.push_bytes::<GenericStringType<i32>>(array),
            DataType::LargeUtf8 => self.push_bytes::<GenericStringType<i64>>(array),
            DataType::Binary => self.push_bytes::<GenericBinaryType<i32>>(array),
            DataType::LargeBinary => self.push_bytes::<GenericBinaryType<i64>>(array),
            DataType::Utf8View => self.push_views::<StringViewType>(array),
            DataType::BinaryView => self.push_views::<BinaryViewType>(array),
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                self.push_list(list.offsets(), list.values())
            }
            DataType::LargeList(_) => {
                let list = array.as_list::<i64>();
                self.push_list(list.offsets(), list.values())
            }
            DataType::Map(..) => {
                let map = array.as_map();
                let entries: ArrayRef = std::sync::Arc::new(map.entries().clone());
                self.push_list(map.offsets(), &entries)
            }
            DataType::FixedSizeList(..) => self.push(array.as_fixed_size_list().values()),
            DataType::Struct(_) => {
                array.as_struct().columns().iter().try_for_each(|column| self.push(column))
            }
            DataType::FixedSizeBinary(width) => self.push_fixed(array.as_ref(), *width as usize),
            other => match other.primitive_width() {
                Some(width) => self.push_fixed(array.as_ref(), width),
                None => Err(LogError::from(arrow::error::ArrowError::NotYetImplemented(format!(
                    "a column of type {other} cannot be stored"
                )))),
            },
        }
    }

    /// Appends the bitmap of what is not NULL, which is empty if nothing is NULL.
    fn push_validity(&mut self, array: &dyn Array) -> Result<()> {
        let bitmap = array.nulls().filter(|nulls| nulls.null_count() > 0).map(|nulls| nulls.inner().sliced());
        self.push_buffer(bitmap.unwrap_or_default())
    }

    fn push_fixed(&mut self, array: &dyn Array, width: usize) -> Result<()> {
        let data = array.to_data();
        self.push_buffer(data.buffers()[0].slice_with_length(data.offset() * width, data.len() * width))
    }

    fn push_bytes<T: ByteArrayType>(&mut self, array: &ArrayRef) -> Result<()> {
        let array = array.as_bytes::<T>();
        let (first, last) = self.push_offsets(array.offsets())?;
        self.push_buffer(array.values().slice_with_length(first, last - first))
    }

    fn push_list<O: OffsetSizeTrait>(&mut self, offsets: &OffsetBuffer<O>, values: &ArrayRef) -> Result<()> {
        let (first, last) = self.push_offsets(offsets)?;
        self.push(&values.slice(first, last - first))
    }

    /// Appends offsets that start at 0, and returns from where to where the given ones go.
    fn push_offsets<O: OffsetSizeTrait>(&mut self, offsets: &OffsetBuffer<O>) -> Result<(usize, usize)> {
        let (first, last) = (offsets[0], offsets[offsets.len() - 1]);
        if first == O::zero() {
            self.push_buffer(offsets.inner().inner().clone())?;
        } else {
            self.push_buffer(offsets.iter().map(|offset| *offset - first).collect::<Vec<O>>().into())?;
        }
        Ok((first.as_usize(), last.as_usize()))
    }

    fn push_views<T: ByteViewType>(&mut self, array: &ArrayRef) -> Result<()> {
        let array = array.as_byte_view::<T>();
        let held: usize = array.data_buffers().iter().map(Buffer::len).sum();
        if array.total_buffer_bytes_used() * 2 < held {
            self.push_views_as_they_are(&array.gc())
        } else {
            self.push_views_as_they_are(array)
        }
    }

    fn push_views_as_they_are<T: ByteViewType>(&mut self, array: &GenericByteViewArray<T>) -> Result<()> {
        self.variadic.push(array.data_buffers().len() as u64);
        self.push_buffer(array.views().inner().clone())?;
        array.data_buffers().iter().try_for_each(|buffer| self.push_buffer(buffer.clone()))
    }

    fn push_buffer(&mut self, buffer: Buffer) -> Result<()> {
        self.decoded += buffer.len() as u64;
        let stored =
            compress(self.compression, buffer).map_err(|error| LogError::io("compress", "a batch", error))?;
        let (offset, len) = (self.len, stored.len() as u64);
        self.buffers.push(BufferEntry { offset, len, crc: crc_fast::crc32_iscsi(&stored) });
        self.len += padded_64(len);
        let padding = (padded_64(len) - len) as usize;
        if len > 0 {
            self.bytes.push(stored);
        }
        if padding > 0 {
            self.bytes.push(ZEROS.slice_with_length(0, padding));
        }
        Ok(())
    }
}

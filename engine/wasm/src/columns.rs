//! Calls by batch: columns are copied into the module's memory, and what it gives is copied out. Nothing that stands in its memory is
//! believed: addresses, lengths, offsets and UTF-8 are checked.

use arrow::array::{Array, ArrayData, ArrayRef, AsArray, make_array};
use arrow::buffer::{BooleanBuffer, Buffer, MutableBuffer, NullBuffer};
use arrow::datatypes::{BinaryType, ByteArrayType, DataType, Utf8Type};

use crate::error::{Result, WasmError};
use crate::instance::Instance;

/// Bytes of a batch before its columns, and of each column.
const BATCH: usize = 8;
const COLUMN: usize = 16;

/// Everything is aligned to this.
const ALIGNMENT: usize = 8;

/// Whether columns of a type have a form in memory.
pub(crate) fn check(kind: &DataType) -> Result<()> {
    match kind {
        DataType::Boolean | DataType::Utf8 | DataType::Binary => Ok(()),
        other if other.primitive_width().is_some() => Ok(()),
        other => Err(WasmError::Type { kind: other.to_string(), how: "by batch" }),
    }
}

/// Gives a function the rows.
pub(crate) fn call(
    instance: &mut Instance,
    export: &str,
    columns: &[ArrayRef],
    rows: usize,
    returns: &DataType,
) -> Result<ArrayRef> {
    let parts = columns.iter().map(Part::of).collect::<Vec<_>>();
    let bytes = BATCH + COLUMN * parts.len() + parts.iter().map(Part::bytes).sum::<usize>();
    let size = u32::try_from(bytes).map_err(|_| WasmError::Memory(u32::MAX as usize))?;
    let at = instance.call("alloc", Some(size))?;
    if !at.is_multiple_of(ALIGNMENT as u32) {
        return Err(WasmError::Trap(format!(
            "alloc gave the address {at}, which is not aligned to {ALIGNMENT}"
        )));
    }
    let image = image(&parts, rows, at, bytes)?;
    instance.write(at, &image).ok_or_else(|| {
        WasmError::Trap(format!(
            "alloc gave the address {at} for {bytes} bytes, which are not all in its memory"
        ))
    })?;
    let given = instance.call(export, Some(at))?;
    if given == 0 {
        return Err(WasmError::Refused(reason(instance)?));
    }
    read(instance, given, rows, returns)
}

/// A column's buffers.
struct Part {
    validity: Option<Buffer>,
    values: Buffer,
    offsets: Option<Buffer>,
}

impl Part {
    fn of(column: &ArrayRef) -> Self {
        let nulls = column.nulls().filter(|nulls| nulls.null_count() > 0);
        let validity = nulls.map(|nulls| nulls.inner().sliced());
        let (values, offsets) = match column.data_type() {
            DataType::Boolean => (column.as_boolean().values().sliced(), None),
            DataType::Utf8 => texts::<Utf8Type>(column),
            DataType::Binary => texts::<BinaryType>(column),
            kind => {
                let (data, width) = (column.to_data(), kind.primitive_width().unwrap_or_default());
                let values = data.buffers().first().cloned().unwrap_or_default();
                (values.slice_with_length(data.offset() * width, data.len() * width), None)
            }
        };
        Self { validity, values, offsets }
    }

    fn buffers(&self) -> impl Iterator<Item = &Buffer> {
        self.validity.iter().chain([&self.values]).chain(&self.offsets)
    }

    fn bytes(&self) -> usize {
        self.buffers().map(|buffer| buffer.len().next_multiple_of(ALIGNMENT)).sum()
    }
}

/// The bytes of texts and their offsets, from 0.
fn texts<T: ByteArrayType<Offset = i32>>(column: &ArrayRef) -> (Buffer, Option<Buffer>) {
    let column = column.as_bytes::<T>();
    let offsets = column.value_offsets();
    let (first, last) = (offsets[0], offsets[offsets.len() - 1]);
    let rebased: Vec<i32> = offsets.iter().map(|offset| offset - first).collect();
    let length = usize::try_from(last - first).unwrap_or_default();
    let values = column.values().slice_with_length(usize::try_from(first).unwrap_or_default(), length);
    (values, Some(Buffer::from_vec(rebased)))
}

/// A batch as it stands in memory from `at` on.
fn image(parts: &[Part], rows: usize, at: u32, bytes: usize) -> Result<Vec<u8>> {
    let number = |value: usize| u32::try_from(value).map_err(|_| WasmError::Memory(u32::MAX as usize));
    let mut image = Vec::with_capacity(bytes);
    image.extend(number(rows)?.to_le_bytes());
    image.extend(number(parts.len())?.to_le_bytes());
    let mut next = number(BATCH + COLUMN * parts.len())?.saturating_add(at);
    let mut place = |buffer: Option<&Buffer>| -> Result<u32> {
        let Some(buffer) = buffer else { return Ok(0) };
        let place = next;
        next = next.saturating_add(number(buffer.len().next_multiple_of(ALIGNMENT))?);
        Ok(place)
    };
    for part in parts {
        let validity = place(part.validity.as_ref())?;
        let values = place(Some(&part.values))?;
        let offsets = place(part.offsets.as_ref())?;
        for field in [validity, values, offsets, number(part.values.len())?] {
            image.extend(field.to_le_bytes());
        }
    }
    for buffer in parts.iter().flat_map(Part::buffers) {
        image.extend_from_slice(buffer);
        image.resize(image.len().next_multiple_of(ALIGNMENT), 0);
    }
    Ok(image)
}

/// Reads a column that stands at an address.
fn read(instance: &Instance, at: u32, rows: usize, kind: &DataType) -> Result<ArrayRef> {
    let copied = |what: &str, at: u32, bytes: usize| {
        let bytes = instance.read(at, bytes).ok_or_else(|| {
            WasmError::Result(format!("its {what} ({bytes} bytes at {at}) are not all in its memory"))
        })?;
        let mut buffer = MutableBuffer::with_capacity(bytes.len());
        buffer.extend_from_slice(bytes);
        Ok(Buffer::from(buffer))
    };
    let header = copied("16 bytes", at, COLUMN)?;
    let field = |nth: usize| u32::from_le_bytes([0, 1, 2, 3].map(|byte| header[4 * nth + byte]));
    let [validity, values, offsets, bytes] = [0, 1, 2, 3].map(field);
    let mut data = ArrayData::builder(kind.clone()).len(rows);
    if validity != 0 {
        let bitmap = copied("bits of validity", validity, rows.div_ceil(8))?;
        data = data.nulls(Some(NullBuffer::new(BooleanBuffer::new(bitmap, 0, rows))));
    }
    data = match kind {
        DataType::Boolean => data.add_buffer(copied("values", values, rows.div_ceil(8))?),
        DataType::Utf8 | DataType::Binary => {
            let places = copied("offsets", offsets, (rows + 1) * size_of::<i32>())?;
            data.add_buffer(places).add_buffer(copied("values", values, bytes as usize)?)
        }
        kind => data.add_buffer(copied("values", values, rows * kind.primitive_width().unwrap_or_default())?),
    };
    let data = data.build().map_err(|error| WasmError::Result(error.to_string()))?;
    Ok(make_array(data))
}

/// Why a module refused, if it says so.
fn reason(instance: &mut Instance) -> Result<String> {
    let unknown = || "it gave 0 and no reason".to_owned();
    let Ok(at) = instance.call("error", None) else { return Ok(unknown()) };
    let Some(&[a, b, c, d, e, f, g, h]) = instance.read(at, 8) else { return Ok(unknown()) };
    let (text, bytes) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
    let text = instance.read(text, bytes.min(1_000) as usize);
    Ok(text.map_or_else(unknown, |text| String::from_utf8_lossy(text).into_owned()))
}

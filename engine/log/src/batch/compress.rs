//! Buffers compressed as Arrow IPC has it: eight bytes with the length before compression, then the data; the length -1
//! says that the data is as it was, because compressing did not make it smaller.

use std::cell::RefCell;
use std::io::{self, Read, Write};

use arrow::buffer::Buffer;

use crate::api::Compression;

const PREFIX_BYTES: usize = 8;
const RAW: i64 = -1;
const ZSTD_LEVEL: i32 = 3;

thread_local! {
    // Setting one up costs more than compressing a small buffer.
    static ZSTD: RefCell<Option<zstd::bulk::Compressor<'static>>> = const { RefCell::new(None) };
    static UNZSTD: RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { RefCell::new(None) };
}

/// A buffer as it is stored. An empty one stays empty.
pub(super) fn compress(compression: Compression, buffer: Buffer) -> io::Result<Buffer> {
    if compression == Compression::None || buffer.is_empty() {
        return Ok(buffer);
    }
    let mut out = Vec::with_capacity(PREFIX_BYTES + buffer.len() / 2);
    out.extend_from_slice(&(buffer.len() as i64).to_le_bytes());
    match compression {
        Compression::None => {}
        Compression::Lz4 => {
            let mut encoder = lz4_flex::frame::FrameEncoder::new(&mut out);
            encoder.write_all(&buffer)?;
            encoder.finish().map_err(io::Error::other)?;
        }
        Compression::Zstd => out.extend_from_slice(&zstd_compress(&buffer)?),
    }
    // The rule of arrow's own writer, so that the bytes are the same.
    if out.len() > buffer.len() {
        out.clear();
        out.extend_from_slice(&RAW.to_le_bytes());
        out.extend_from_slice(&buffer);
    }
    Ok(Buffer::from_vec(out))
}

/// A stored buffer as it was, if that takes at most `most` bytes; else what is wrong with it.
pub(super) fn decompress(compression: Compression, stored: Buffer, most: u64) -> Result<Buffer, String> {
    if compression == Compression::None || stored.is_empty() {
        return Ok(stored);
    }
    let Some((prefix, data)) = stored.split_first_chunk::<PREFIX_BYTES>() else {
        return Err(format!("a compressed buffer cannot be {} bytes long", stored.len()));
    };
    let len = i64::from_le_bytes(*prefix);
    if len == RAW {
        return Ok(stored.slice(PREFIX_BYTES));
    }
    let Some(len) = u64::try_from(len).ok().filter(|len| *len <= most) else {
        return Err(format!("{len} bytes before compression, of at most {most}"));
    };
    let out = match compression {
        Compression::None => return Ok(stored),
        Compression::Lz4 => lz4_decompress(data, len).map_err(|error| format!("LZ4: {error}"))?,
        Compression::Zstd => zstd_decompress(data, len as usize).map_err(|error| format!("ZSTD: {error}"))?,
    };
    if out.len() as u64 == len {
        Ok(Buffer::from_vec(out))
    } else {
        Err(format!("{} bytes after decompression, expected {len}", out.len()))
    }
}

fn lz4_decompress(data: &[u8], len: u64) -> io::Result<Vec<u8>> {
    let mut out = Vec::with_capacity(len as usize);
    // One byte more than expected is let through, so that it shows.
    lz4_flex::frame::FrameDecoder::new(data).take(len + 1).read_to_end(&mut out)?;
    Ok(out)
}

fn zstd_compress(data: &[u8]) -> io::Result<Vec<u8>> {
    ZSTD.with_borrow_mut(|kept| match kept {
        Some(compressor) => compressor.compress(data),
        None => kept.insert(zstd::bulk::Compressor::new(ZSTD_LEVEL)?).compress(data),
    })
}

fn zstd_decompress(data: &[u8], len: usize) -> io::Result<Vec<u8>> {
    UNZSTD.with_borrow_mut(|kept| match kept {
        Some(decompressor) => decompressor.decompress(data, len),
        None => kept.insert(zstd::bulk::Decompressor::new()?).decompress(data, len),
    })
}

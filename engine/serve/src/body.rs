//! Bodies of requests: read up to a limit, and decompressed up to the same limit.

use std::io::Read;

use axum::body::Body;
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;

use crate::budget::Hold;
use crate::error::ApiError;
use crate::options::ServeOptions;

/// How a body is compressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Encoding {
    Plain,
    Gzip,
    Zstd,
}

impl Encoding {
    /// As `Content-Encoding` says.
    pub fn of(headers: &HeaderMap) -> Result<Self, ApiError> {
        let Some(value) = headers.get(header::CONTENT_ENCODING) else { return Ok(Self::Plain) };
        let name = value.to_str().unwrap_or_default();
        match name.trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Ok(Self::Plain),
            "gzip" | "x-gzip" => Ok(Self::Gzip),
            "zstd" => Ok(Self::Zstd),
            _ => Err(ApiError::unsupported_media("Content-Encoding", name, "gzip, zstd, identity")),
        }
    }

    /// Decompresses, on a thread that may block. What would be larger than `most` is not even made, and for what is made there is room.
    pub fn decompress(self, bytes: Bytes, most: usize, hold: &mut Hold) -> Result<Bytes, ApiError> {
        match self {
            Self::Plain => Ok(bytes),
            Self::Gzip => read_all(flate2::read::MultiGzDecoder::new(&bytes[..]), bytes.len(), most, hold),
            Self::Zstd => {
                let decoder = zstd::stream::read::Decoder::with_buffer(&bytes[..]);
                read_all(decoder.map_err(ApiError::unreadable_body)?, bytes.len(), most, hold)
            }
        }
    }
}

/// For how much there is room at a time while something is decompressed.
const STEP: usize = 64 << 10;

fn read_all(mut reader: impl Read, packed: usize, most: usize, hold: &mut Hold) -> Result<Bytes, ApiError> {
    let mut out = Vec::new();
    while out.len() < most {
        let step = STEP.min(most - out.len());
        hold.up_to_blocking(packed + out.len() + step)?;
        if out.capacity() < out.len() + step {
            out.reserve_exact(out.len().max(step).min(most - out.len()));
        }
        let read = reader.by_ref().take(step as u64).read_to_end(&mut out);
        if read.map_err(ApiError::unreadable_body)? < step {
            return Ok(out.into());
        }
    }
    match reader.read(&mut [0]).map_err(ApiError::unreadable_body)? {
        0 => Ok(out.into()),
        _ => Err(ApiError::body_too_large(most)),
    }
}

/// Reads a body whole. One that says that it is too large is refused before anything is read, and for what it says there is room first if
/// it has to hold any.
pub(crate) async fn read(
    headers: &HeaderMap,
    body: Body,
    most: usize,
    mut hold: Option<&mut Hold>,
) -> Result<Bytes, ApiError> {
    let said =
        headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if said.is_some_and(|said| said > most) {
        return Err(ApiError::body_too_large(most));
    }
    if let Some(hold) = &mut hold {
        hold.up_to(said.unwrap_or(0)).await?;
    }
    let mut parts = body.into_data_stream();
    let mut whole = BytesMut::with_capacity(said.unwrap_or(0));
    while let Some(part) = parts.next().await {
        let part = part.map_err(ApiError::unreadable_body)?;
        if whole.len() + part.len() > most {
            return Err(ApiError::body_too_large(most));
        }
        if let Some(hold) = &mut hold {
            hold.up_to(whole.len() + part.len()).await?;
        }
        whole.extend_from_slice(&part);
    }
    Ok(whole.freeze())
}

/// Reads the body of a request whose answer may take its time; the body may not.
pub(crate) async fn read_sql(
    headers: &HeaderMap,
    body: Body,
    options: &ServeOptions,
) -> Result<Bytes, ApiError> {
    let most = options.request_timeout;
    let read = tokio::time::timeout(most, read(headers, body, options.sql_bytes_max, None)).await;
    read.map_err(|_| ApiError::timeout(most))?
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::time::Duration;

    use super::*;
    use crate::budget::Budget;

    fn room() -> Hold {
        Hold::of(&Budget::new(1 << 30, Duration::ZERO))
    }

    fn gzip(bytes: &[u8]) -> Bytes {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap().into()
    }

    #[test]
    fn compressed_bodies_come_out_as_they_went_in() {
        let plain = b"{\"a\":1}\n".repeat(1000);
        let zstd = Bytes::from(zstd::encode_all(&plain[..], 3).unwrap());
        for (encoding, bytes) in [(Encoding::Gzip, gzip(&plain)), (Encoding::Zstd, zstd)] {
            assert_eq!(encoding.decompress(bytes, plain.len(), &mut room()).unwrap(), plain);
        }
    }

    #[test]
    fn a_bomb_stops_at_the_limit() {
        let bomb = vec![0; 1 << 20];
        for (encoding, bytes) in
            [(Encoding::Gzip, gzip(&bomb)), (Encoding::Zstd, zstd::encode_all(&bomb[..], 3).unwrap().into())]
        {
            let error = encoding.decompress(bytes, (1 << 20) - 1, &mut room()).unwrap_err();
            assert_eq!(error.detail.code, "HW6003");
        }
    }

    #[test]
    fn a_body_as_large_as_may_be_needs_room_for_no_more_than_that() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let _within = runtime.enter();
        let plain = vec![b'a'; 100 << 10];
        let zstd = Bytes::from(zstd::encode_all(&plain[..], 3).unwrap());
        for (encoding, packed) in [(Encoding::Gzip, gzip(&plain)), (Encoding::Zstd, zstd)] {
            let budget = Budget::new(1 << 20, Duration::ZERO);
            let (mut others, mut hold) = (Hold::of(&budget), Hold::of(&budget));
            // Room is counted in whole KiB.
            others.up_to_blocking(((1 << 20) - plain.len() - packed.len()) & !1023).unwrap();
            assert_eq!(encoding.decompress(packed.clone(), plain.len(), &mut hold).unwrap(), plain);
            for less in [1, 70 << 10, plain.len()] {
                let error = encoding.decompress(packed.clone(), plain.len() - less, &mut hold).unwrap_err();
                assert_eq!(error.detail.code, "HW6003", "{encoding:?} {less}");
            }
        }
    }

    #[test]
    fn rubbish_and_a_cut_are_errors_and_not_panics() {
        let whole = gzip(b"abcdefgh");
        let cut = whole.slice(..whole.len() - 6);
        for (encoding, bytes) in [(Encoding::Gzip, cut), (Encoding::Zstd, Bytes::from_static(b"no zstd"))] {
            assert_eq!(encoding.decompress(bytes, 100, &mut room()).unwrap_err().detail.code, "HW6004");
        }
    }

    #[tokio::test]
    async fn a_body_is_read_up_to_the_limit() {
        let headers = HeaderMap::new();
        assert_eq!(read(&headers, Body::from("abcd"), 4, None).await.unwrap(), "abcd");
        assert_eq!(read(&headers, Body::from("abcde"), 4, None).await.unwrap_err().detail.code, "HW6003");
    }
}

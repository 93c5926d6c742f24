//! Bytes that are not what was written: an error, or the rows that were written, and never a panic.

use arrow::array::*;
use arrow::datatypes::*;
use rand::Rng;

use super::bytes::*;

fn small() -> RecordBatch {
    let list =
        ListArray::from_iter_primitive::<Int8Type, _, _>([Some(vec![Some(1), None]), None, Some(vec![])]);
    RecordBatch::try_from_iter_with_nullable([
        ("id", Arc::new(Int64Array::from(vec![1, 2, 3])) as ArrayRef, false),
        ("name", Arc::new(StringArray::from(vec![Some("EWR"), None, Some("Flughafen Köln")])), true),
        ("view", Arc::new(StringViewArray::from(vec!["short", "longer than twelve bytes", ""])), true),
        ("wet", Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)])), true),
        ("list", Arc::new(list), true),
    ])
    .unwrap()
}

#[test]
fn a_flipped_bit_is_detected_or_irrelevant() {
    let rows = small();
    for compression in COMPRESSIONS {
        let good = encode(&rows, compression);
        let (mut detected, mut irrelevant) = (0, 0);
        for bit in 0..good.len() * 8 {
            let mut bytes = good.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            match read(&bytes, rows.schema_ref()) {
                Ok(back) => {
                    assert_eq!(back, rows, "bit {bit}");
                    irrelevant += 1;
                }
                Err(_) => detected += 1,
            }
        }
        // What is irrelevant is padding of the body.
        let header = Header::parse(&good, &Limits::FORMAT).unwrap();
        let used: u64 = header.buffers.iter().map(|buffer| buffer.len).sum();
        assert_eq!(detected, (header.lengths.header as u64 + used) * 8);
        assert_eq!(irrelevant, (header.lengths.total - header.lengths.header as u64 - used) * 8);
    }
}

#[test]
fn a_cut_is_detected_or_irrelevant() {
    let rows = small();
    for compression in COMPRESSIONS {
        let good = encode(&rows, compression);
        let header = Header::parse(&good, &Limits::FORMAT).unwrap();
        for len in 0..good.len() {
            match read(&good[..len], rows.schema_ref()) {
                Ok(back) => assert_eq!(back, rows, "cut at {len}"),
                Err(BatchError::Damaged { .. }) => {}
                Err(error) => panic!("cut at {len}: {error}"),
            }
            assert!(verify(&header, &Buffer::from(&good[..len])).is_err());
        }
        verify(&header, &Buffer::from(good)).unwrap();
    }
}

#[test]
fn garbage_after_a_valid_start_is_detected() {
    let rows = small();
    let good = encode(&rows, Compression::None);
    for seed in 0..2000 {
        let mut random = arbitrary::random(seed);
        let mut bytes = good.clone();
        let from = random.random_range(4..bytes.len());
        random.fill(&mut bytes[from..]);
        match read(&bytes, rows.schema_ref()) {
            Ok(back) => assert_eq!(back, rows, "seed {seed}"),
            Err(error) => assert!(matches!(error, BatchError::Damaged { .. }), "{error}"),
        }
    }
}

/// Checksums protect from accidents. Here they are made to fit, as a buggy or hostile writer would: anything may come
/// back, but without a panic and without allocating what is not there.
#[test]
fn wrong_bytes_with_right_checksums_do_not_panic() {
    let (mut read_back, mut refused) = (0, 0);
    for seed in 0..6000 {
        let mut random = arbitrary::random(seed);
        let rows = if seed % 2 == 0 { small() } else { arbitrary::rows(&mut random) };
        let mut bytes = encode(&rows, COMPRESSIONS[seed as usize % 3]);
        let header = Header::parse(&bytes, &Limits::FORMAT).unwrap();
        let within = if random.random_bool(0.6) { 12..header.lengths.header } else { 12..bytes.len() };
        for _ in 0..random.random_range(1..4) {
            let at = random.random_range(within.clone());
            bytes[at] = match random.random_range(0..4) {
                0 => 0,
                1 => 0xff,
                2 => bytes[at].wrapping_add(1),
                _ => random.random(),
            };
        }
        fix_checksums(&mut bytes, &header);
        match read(&bytes, rows.schema_ref()) {
            Ok(_) => read_back += 1,
            Err(_) => refused += 1,
        }
    }
    assert!(read_back > 100 && refused > 1000, "{read_back} read back, {refused} refused");
}

/// Sets the checksums of the buffers where they were, and of the header.
fn fix_checksums(bytes: &mut [u8], header: &Header) {
    for (number, buffer) in header.buffers.iter().enumerate() {
        let start = header.lengths.header + buffer.offset as usize;
        let crc = crc_fast::crc32_iscsi(&bytes[start..start + buffer.len as usize]);
        let at = FIXED_BYTES + header.nodes.len() * 16 + number * 24 + 16;
        bytes[at..at + 4].copy_from_slice(&crc.to_le_bytes());
    }
    let crc = crc_fast::crc32_iscsi(&bytes[8..header.lengths.header]);
    bytes[4..8].copy_from_slice(&crc.to_le_bytes());
}

#[test]
fn an_error_names_the_byte() {
    let rows = small();
    let mut bytes = encode(&rows, Compression::None);
    let start = Header::parse(&bytes, &Limits::FORMAT).unwrap().lengths.header;
    bytes[start] ^= 1;
    let error = read(&bytes, rows.schema_ref()).unwrap_err().in_file("log/0.hw".as_ref(), 4096);
    let expected =
        format!("log/0.hw is damaged at byte {}: the checksum of a buffer of 24 bytes", 4096 + start);
    assert!(error.to_string().starts_with(&expected), "{error}");
}

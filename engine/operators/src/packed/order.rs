//! How values of fixed width are ordered, as the bytes that rows have of them.

use std::cmp::Ordering;

/// How values of fixed width are ordered.
#[derive(Clone, Copy)]
pub(super) enum Order {
    Signed,
    Unsigned,
    Float,
}

impl Order {
    #[inline]
    pub(super) fn compare(self, a: &[u8], b: &[u8]) -> Ordering {
        match (self, a.len()) {
            (Self::Float, 4) => f32::from_ne_bytes(array(a)).total_cmp(&f32::from_ne_bytes(array(b))),
            (Self::Float, _) => f64::from_ne_bytes(array(a)).total_cmp(&f64::from_ne_bytes(array(b))),
            (Self::Signed, 1) => i8::from_ne_bytes(array(a)).cmp(&i8::from_ne_bytes(array(b))),
            (Self::Signed, 2) => i16::from_ne_bytes(array(a)).cmp(&i16::from_ne_bytes(array(b))),
            (Self::Signed, 4) => i32::from_ne_bytes(array(a)).cmp(&i32::from_ne_bytes(array(b))),
            (Self::Signed, 8) => i64::from_ne_bytes(array(a)).cmp(&i64::from_ne_bytes(array(b))),
            (Self::Signed, _) => i128::from_ne_bytes(array(a)).cmp(&i128::from_ne_bytes(array(b))),
            (Self::Unsigned, 1) => a.cmp(b),
            (Self::Unsigned, 2) => u16::from_ne_bytes(array(a)).cmp(&u16::from_ne_bytes(array(b))),
            (Self::Unsigned, 4) => u32::from_ne_bytes(array(a)).cmp(&u32::from_ne_bytes(array(b))),
            (Self::Unsigned, _) => u64::from_ne_bytes(array(a)).cmp(&u64::from_ne_bytes(array(b))),
        }
    }
}

/// The first bytes, as many as are asked for.
#[inline]
pub(super) fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    *bytes.first_chunk::<N>().expect("a value has the width of its type")
}

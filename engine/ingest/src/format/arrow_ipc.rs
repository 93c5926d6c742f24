//! Skeleton.
use super::Decoded;
use crate::error::Result;
use arrow::datatypes::SchemaRef;
pub(super) fn decode(_: &[u8], _: &SchemaRef, _: &mut u64) -> Result<Decoded> {
    unimplemented!()
}

//! Skeleton.
use super::{Decoded, FormatOptions};
use crate::error::Result;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
pub(super) struct JsonDecoder;
impl JsonDecoder {
    pub(super) fn new(_: &SchemaRef, _: &FormatOptions) -> Result<Self> {
        Ok(Self)
    }
    pub(super) fn decode_lines(&mut self, _: Bytes, _: &mut u64) -> Result<Decoded> {
        unimplemented!()
    }
    pub(super) fn decode_array(&mut self, _: Bytes, _: &mut u64) -> Result<Decoded> {
        unimplemented!()
    }
    pub(super) fn decode_messages(&mut self, _: &[Bytes], _: &mut u64) -> Result<Decoded> {
        unimplemented!()
    }
}

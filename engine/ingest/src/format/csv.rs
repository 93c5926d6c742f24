//! Skeleton.
use super::{Decoded, FormatOptions};
use crate::error::Result;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
pub(super) struct CsvDecoder;
impl CsvDecoder {
    pub(super) fn new(_: &SchemaRef, _: &FormatOptions) -> Result<Self> {
        Ok(Self)
    }
    pub(super) fn decode(&mut self, _: Bytes, _: &mut u64) -> Result<Decoded> {
        unimplemented!()
    }
    pub(super) fn decode_messages(&mut self, _: &[Bytes], _: &mut u64) -> Result<Decoded> {
        unimplemented!()
    }
    pub(super) fn restart(&mut self) {}
    pub(super) fn take_header(&mut self, _: &[u8]) -> usize {
        0
    }
    pub(super) fn whole_records(&self, _: &[u8]) -> usize {
        0
    }
}

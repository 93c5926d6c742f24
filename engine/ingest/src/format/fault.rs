//! What is wrong with a value.

use std::borrow::Cow;

use bytes::Bytes;

use crate::bad::{BadRecord, RecordFault};

/// Why a value cannot be used. Boxed: it is rare, and the way without it should be short.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) fault: RecordFault,
    pub(super) field: Option<String>,
    pub(super) reason: Cow<'static, str>,
}

pub(super) type Parsed<T = ()> = Result<T, Box<Fault>>;

impl Fault {
    #[cold]
    pub(super) fn new(fault: RecordFault, reason: impl Into<Cow<'static, str>>) -> Box<Self> {
        Box::new(Self { fault, field: None, reason: reason.into() })
    }

    /// The bad record that has this fault.
    pub(super) fn into_bad(self, record: u64, payload: Bytes) -> BadRecord {
        BadRecord { record, fault: self.fault, field: self.field, reason: self.reason, payload }
    }

    /// The same fault, in a field of something.
    #[cold]
    pub(super) fn within(mut self: Box<Self>, name: &str) -> Box<Self> {
        self.field = Some(match self.field {
            Some(inner) => format!("{name}.{inner}"),
            None => name.to_owned(),
        });
        self
    }
}

//! Schemas that a registry has handed out, by their numbers, as messages name them.
//!
//! ```text
//!  0 │ id, 4 bytes, big endian │ Avro: the datum
//!  0 │ id, 4 bytes, big endian │ Protobuf: which message of the file, then the message
//! ```
//!
//! This is the wire format of Confluent's registry. Nothing here asks a registry: who reads messages looks for
//! [`Schemas::missing`] ones, fetches them, and puts them here before decoding.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

/// How many bytes name the schema.
pub(super) const PREFIX: usize = 5;

/// A schema as a registry keeps it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RegisteredSchema {
    /// The schema's text: JSON for Avro, a `.proto` file for Protobuf.
    pub text: String,
    /// The files that a `.proto` file imports, by the names under which it does.
    pub references: BTreeMap<String, String>,
}

/// What is known of schemas. Cheap to clone; all clones know the same.
#[derive(Clone, Default)]
pub struct Schemas(Arc<RwLock<BTreeMap<u32, Option<Arc<RegisteredSchema>>>>>);

/// How many numbers are remembered that the registry does not know.
const UNKNOWN_MAX: usize = 1_024;

impl Schemas {
    /// Keeps what the registry has said of a number; `None`: that there is no such schema.
    pub fn put(&self, id: u32, schema: Option<RegisteredSchema>) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if schema.is_none() && known.values().filter(|schema| schema.is_none()).count() >= UNKNOWN_MAX {
            // Whatever bytes may be taken for a number; what is asked again costs a request.
            known.retain(|_, schema| schema.is_some());
        }
        known.insert(id, schema.map(Arc::new));
    }

    /// The numbers in these messages of which nothing is known.
    pub fn missing<'a>(&self, messages: impl IntoIterator<Item = &'a [u8]>) -> BTreeSet<u32> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let ids = messages.into_iter().filter_map(|message| Some(split(message)?.0));
        ids.filter(|id| !known.contains_key(id)).collect()
    }

    /// The schema of a number.
    pub fn get(&self, id: u32) -> Option<Arc<RegisteredSchema>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned().flatten()
    }
}

/// Handles are the same if they know the same.
impl PartialEq for Schemas {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Schemas {}

impl fmt::Debug for Schemas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        f.debug_set().entries(known.keys()).finish()
    }
}

/// The number of a message's schema, and what follows; `None` if it does not begin like that.
pub(super) fn split(message: &[u8]) -> Option<(u32, &[u8])> {
    let (prefix, rest) = message.split_first_chunk::<PREFIX>()?;
    let [0, id @ ..] = prefix else { return None };
    Some((u32::from_be_bytes(*id), rest))
}

/// What a message begins with whose schema has this number.
pub(super) fn prefix(id: u32) -> [u8; PREFIX] {
    let [a, b, c, d] = id.to_be_bytes();
    [0, a, b, c, d]
}

//! The arguments of an event, a call, a result or an error: opaque to the router.

use bytes::Bytes;

use super::{Dict, Malformed, Serializer, Value};

/// Positional and named arguments, as they were written or as values.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Payload {
    /// No arguments.
    #[default]
    Empty,
    /// As a serializer wrote them: a list, and a dictionary if there is one.
    Raw {
        /// Who wrote them.
        serializer: Serializer,
        /// The list.
        args: Bytes,
        /// The dictionary.
        kwargs: Option<Bytes>,
    },
    /// As values: what the router itself says.
    Values {
        /// The positional arguments.
        args: Vec<Value>,
        /// The named arguments.
        kwargs: Dict,
    },
}

impl Payload {
    /// Positional arguments only.
    pub fn of(args: Vec<Value>) -> Self {
        Self::new(args, Dict::new())
    }

    /// Positional and named arguments.
    pub fn new(args: Vec<Value>, kwargs: Dict) -> Self {
        if args.is_empty() && kwargs.is_empty() { Self::Empty } else { Self::Values { args, kwargs } }
    }

    /// The items of `message` from the first behind its fixed ones.
    pub(crate) fn take(serializer: Serializer, message: &Bytes, items: &[&[u8]]) -> Result<Self, Malformed> {
        let (args, kwargs) = match items {
            [] => return Ok(Self::Empty),
            [args] => (*args, None),
            [args, kwargs] => (*args, Some(*kwargs)),
            _ => return Err(Malformed::new("a message has too many items")),
        };
        if !serializer.is_list(args) {
            return Err(Malformed::new("positional arguments are a list"));
        }
        if kwargs.is_some_and(|kwargs| !serializer.is_dict(kwargs)) {
            return Err(Malformed::new("named arguments are a dictionary"));
        }
        let share = |part: &[u8]| message.slice_ref(part);
        Ok(Self::Raw { serializer, args: share(args), kwargs: kwargs.map(share) })
    }

    /// How many items of a message it takes.
    pub(super) fn items(&self) -> usize {
        match self {
            Self::Empty => 0,
            Self::Raw { kwargs: None, .. } => 1,
            Self::Raw { .. } => 2,
            Self::Values { kwargs, .. } => 1 + usize::from(!kwargs.is_empty()),
        }
    }

    /// About how many bytes it takes.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Empty => 0,
            Self::Raw { args, kwargs, .. } => args.len() + kwargs.as_ref().map_or(0, Bytes::len),
            Self::Values { args, kwargs } => 16 * (args.len() + kwargs.len()),
        }
    }

    /// Writes the list (0) or the dictionary (1).
    pub(super) fn write_item(
        &self,
        item: usize,
        serializer: Serializer,
        out: &mut Vec<u8>,
    ) -> Result<(), Malformed> {
        match self {
            Self::Empty => {}
            Self::Raw { serializer: from, args, kwargs } => {
                let raw = if item == 0 { args } else { kwargs.as_ref().unwrap_or(args) };
                if *from == serializer {
                    out.extend_from_slice(raw);
                } else {
                    serializer.write(&from.read(raw)?, out);
                }
            }
            Self::Values { args, .. } if item == 0 => serializer.write_list(args, out),
            Self::Values { kwargs, .. } => serializer.write_dict(kwargs, out),
        }
        Ok(())
    }

    /// The positional arguments as values.
    pub fn args(&self) -> Result<Vec<Value>, Malformed> {
        match self {
            Self::Empty => Ok(Vec::new()),
            Self::Raw { serializer, args, .. } => match serializer.read(args)? {
                Value::List(list) => Ok(list),
                _ => Err(Malformed::new("positional arguments are a list")),
            },
            Self::Values { args, .. } => Ok(args.clone()),
        }
    }

    /// The named arguments as values.
    pub fn kwargs(&self) -> Result<Dict, Malformed> {
        match self {
            Self::Empty | Self::Raw { kwargs: None, .. } => Ok(Dict::new()),
            Self::Raw { serializer, kwargs: Some(kwargs), .. } => match serializer.read(kwargs)? {
                Value::Dict(dict) => Ok(dict),
                _ => Err(Malformed::new("named arguments are a dictionary")),
            },
            Self::Values { kwargs, .. } => Ok(kwargs.clone()),
        }
    }
}

//! Bytes to messages.

use std::ops::RangeInclusive;

use bytes::Bytes;

use super::{Code, ID_MAX, Id, Invocation, Message, Publish, Request};
use crate::wire::{Dict, Malformed, Parts, Payload, Serializer, Value};

/// The codes that implementations may use as they like.
const EXTENSIONS: RangeInclusive<u64> = 256..=1023;

impl Message {
    /// Reads one message. The payload is not read; it shares the bytes.
    pub fn decode(serializer: Serializer, message: &Bytes) -> Result<Self, Malformed> {
        let parts = serializer.split(message)?;
        let fields = Fields { serializer, message, parts: &parts };
        let number = fields.uint(0)?;
        let Some(code) = Code::from_number(number) else {
            if EXTENSIONS.contains(&number) {
                return Ok(Self::Extension { code: number });
            }
            return Err(Malformed::new(format!("there is no message with code {number}")));
        };
        fields.read(code).map_err(|error| Malformed::new(format!("{}: {error}", code.name())))
    }
}

/// The fields of one message; 0 is its code.
struct Fields<'a> {
    serializer: Serializer,
    message: &'a Bytes,
    parts: &'a Parts<'a>,
}

impl Fields<'_> {
    fn read(&self, code: Code) -> Result<Message, Malformed> {
        Ok(match code {
            Code::Hello => {
                self.exactly(2, || Ok(Message::Hello { realm: self.text(1)?, details: self.dict(2)? }))?
            }
            Code::Welcome => {
                self.exactly(2, || Ok(Message::Welcome { session: self.id(1)?, details: self.dict(2)? }))?
            }
            Code::Abort => {
                Message::Abort { details: self.dict(1)?, reason: self.text(2)?, payload: self.payload(3)? }
            }
            Code::Challenge => {
                self.exactly(2, || Ok(Message::Challenge { method: self.text(1)?, extra: self.dict(2)? }))?
            }
            Code::Authenticate => self.exactly(2, || {
                Ok(Message::Authenticate { signature: self.text(1)?, extra: self.dict(2)? })
            })?,
            Code::Goodbye => {
                self.exactly(2, || Ok(Message::Goodbye { details: self.dict(1)?, reason: self.text(2)? }))?
            }
            Code::Error => Message::Error {
                of: self.uint(1)?,
                request: self.id(2)?,
                details: self.dict(3)?,
                error: self.text(4)?,
                payload: self.payload(5)?,
            },
            Code::Publish => Message::Publish(self.publish()?),
            Code::Call => Message::Call(self.publish()?),
            Code::Subscribe => Message::Subscribe(self.request()?),
            Code::Register => Message::Register(self.request()?),
            Code::Event => Message::Event(self.invocation()?),
            Code::Invocation => Message::Invocation(self.invocation()?),
            Code::Published => {
                self.ids(|request, publication| Message::Published { request, publication })?
            }
            Code::Subscribed => {
                self.ids(|request, subscription| Message::Subscribed { request, subscription })?
            }
            Code::Unsubscribe => {
                self.ids(|request, subscription| Message::Unsubscribe { request, subscription })?
            }
            Code::Registered => {
                self.ids(|request, registration| Message::Registered { request, registration })?
            }
            Code::Unregister => {
                self.ids(|request, registration| Message::Unregister { request, registration })?
            }
            Code::Unsubscribed => {
                let (request, details) = self.ended()?;
                Message::Unsubscribed { request, details }
            }
            Code::Unregistered => {
                let (request, details) = self.ended()?;
                Message::Unregistered { request, details }
            }
            Code::Cancel => {
                self.exactly(2, || Ok(Message::Cancel { request: self.id(1)?, options: self.dict(2)? }))?
            }
            Code::Interrupt => {
                self.exactly(2, || Ok(Message::Interrupt { request: self.id(1)?, options: self.dict(2)? }))?
            }
            Code::Result => {
                Message::Result { request: self.id(1)?, details: self.dict(2)?, payload: self.payload(3)? }
            }
            Code::Yield => {
                Message::Yield { request: self.id(1)?, options: self.dict(2)?, payload: self.payload(3)? }
            }
        })
    }

    fn request(&self) -> Result<Request, Malformed> {
        self.exactly(3, || Ok(Request { request: self.id(1)?, options: self.dict(2)?, uri: self.text(3)? }))
    }

    fn publish(&self) -> Result<Publish, Malformed> {
        Ok(Publish {
            request: self.id(1)?,
            options: self.dict(2)?,
            uri: self.text(3)?,
            payload: self.payload(4)?,
        })
    }

    fn invocation(&self) -> Result<Invocation, Malformed> {
        Ok(Invocation {
            first: self.id(1)?,
            second: self.id(2)?,
            details: self.dict(3)?,
            payload: self.payload(4)?,
        })
    }

    fn ids(&self, make: impl FnOnce(Id, Id) -> Message) -> Result<Message, Malformed> {
        self.exactly(2, || Ok(make(self.id(1)?, self.id(2)?)))
    }

    /// UNSUBSCRIBED and UNREGISTERED: an answer to a request, or request 0 and details.
    fn ended(&self) -> Result<(Id, Option<Dict>), Malformed> {
        if self.parts.items().len() == 2 {
            return Ok((self.id(1)?, None));
        }
        self.exactly(2, || match self.uint(1)? {
            0 => Ok((0, Some(self.dict(2)?))),
            request => Err(Malformed::new(format!("request {request} has details"))),
        })
    }

    /// Fails unless exactly `fields` fields follow the code.
    fn exactly<T>(&self, fields: usize, read: impl FnOnce() -> Result<T, Malformed>) -> Result<T, Malformed> {
        match self.parts.items().len() - 1 {
            found if found == fields => read(),
            found => Err(Malformed::new(format!("it has {fields} fields, not {found}"))),
        }
    }

    fn item(&self, at: usize) -> Result<&[u8], Malformed> {
        let missing = || Malformed::new(format!("field {at} is missing"));
        self.parts.items().get(at).copied().ok_or_else(missing)
    }

    fn value(&self, at: usize) -> Result<Value, Malformed> {
        self.serializer.read(self.item(at)?)
    }

    fn uint(&self, at: usize) -> Result<u64, Malformed> {
        self.value(at)?.as_u64().ok_or_else(|| Malformed::new(format!("field {at} is not a whole number")))
    }

    fn id(&self, at: usize) -> Result<Id, Malformed> {
        match self.uint(at)? {
            id @ 1..=ID_MAX => Ok(id),
            id => Err(Malformed::new(format!("field {at} is {id}, which is not an id from 1 to 2^53"))),
        }
    }

    fn text(&self, at: usize) -> Result<String, Malformed> {
        match self.value(at)? {
            Value::Text(text) => Ok(text),
            _ => Err(Malformed::new(format!("field {at} is not text"))),
        }
    }

    fn dict(&self, at: usize) -> Result<Dict, Malformed> {
        match self.value(at)? {
            Value::Dict(dict) => Ok(dict),
            _ => Err(Malformed::new(format!("field {at} is not a dictionary"))),
        }
    }

    fn payload(&self, from: usize) -> Result<Payload, Malformed> {
        let items = self.parts.items();
        Payload::take(self.serializer, self.message, items.get(from..).unwrap_or_default())
    }
}

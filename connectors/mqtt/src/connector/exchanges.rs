//! Which messages of QoS 2 a broker elsewhere may send again, and how they are known then.
//!
//! ```text
//!   PUBLISH 7 ──> received {7}   ── durable ──> PUBREC 7
//!   PUBREL 7  ──> released {7}   ── durable ──> PUBCOMP 7, PINGREQ
//!   PINGRESP  ──> nothing: the broker has taken what was said before it
//! ```
//!
//! After PUBREL a broker may not send the message again. Mosquitto does it nevertheless if it loses the connection, and then the next one
//! while it is being let in (2.0.11 and later; `db__message_reconnect_reset_outgoing`). So what was released is remembered until the broker
//! is known to have heard of it. A PUBLISH is that message again if it has its packet id and its content, and says that it is a repetition.

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroU16;

use crate::wire::{Packet, Publish};

/// Messages by their packet id, each with what tells its content from another's.
type Messages = BTreeMap<NonZeroU16, u32>;

/// The messages of QoS 2 that are not yet over.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Exchanges {
    /// Those that have come and that the broker has not released.
    received: Messages,
    /// Those that the broker has released, and may not know that we know.
    released: Messages,
    /// Those of them that are from before the connection.
    inherited: Vec<NonZeroU16>,
    /// What was said to be over before each question that is not answered yet.
    asked: VecDeque<Vec<NonZeroU16>>,
}

impl Exchanges {
    /// As a position has them.
    pub(super) fn read(position: &str) -> Self {
        let messages = |text: &str| -> Messages {
            let one = |text: &str| {
                let (id, content) = text.split_once('=').unwrap_or((text, "0"));
                Some((id.parse().ok()?, u32::from_str_radix(content, 16).ok()?))
            };
            text.split(',').filter_map(one).collect()
        };
        let text = position.strip_prefix("qos2:").unwrap_or_default();
        let (received, released) = text.split_once(';').unwrap_or((text, ""));
        let released = messages(released);
        let inherited = released.keys().copied().collect();
        Self { received: messages(received), released, inherited, asked: VecDeque::new() }
    }

    /// The position to store with what was taken so far.
    pub(super) fn position(&self) -> String {
        let text = |messages: &Messages| -> String {
            let all: Vec<_> = messages.iter().map(|(id, content)| format!("{id}={content:x}")).collect();
            all.join(",")
        };
        let released =
            if self.released.is_empty() { String::new() } else { format!(";{}", text(&self.released)) };
        format!("qos2:{}{released}", text(&self.received))
    }

    /// A message has come; answers whether it is new.
    pub(super) fn receive(&mut self, id: NonZeroU16, publish: &Publish) -> bool {
        let content = content_of(publish);
        // With another content, or not as a repetition, it is the next one with that id.
        let is_over = self.released.remove(&id).is_some_and(|released| publish.dup && released == content);
        let is_there = self.received.insert(id, content).is_some();
        !is_over && !is_there
    }

    /// The broker will not send a message again.
    pub(super) fn release(&mut self, id: NonZeroU16) {
        if let Some(content) = self.received.remove(&id) {
            self.released.insert(id, content);
        }
    }

    /// This was said to the broker; answers whether it is to be asked now for a sign that it has heard it.
    pub(super) fn said(&mut self, answers: &[Packet]) -> bool {
        let over = answers.iter().filter_map(|answer| match answer {
            Packet::Pubcomp(release) => Some(release.packet_id),
            _ => None,
        });
        // What a former connection has left the broker sends before it answers anything.
        let over: Vec<_> = std::mem::take(&mut self.inherited).into_iter().chain(over).collect();
        let asks = !over.is_empty();
        if asks {
            self.asked.push_back(over);
        }
        asks
    }

    /// The broker has answered the oldest question.
    pub(super) fn heard(&mut self) {
        for id in self.asked.pop_front().into_iter().flatten() {
            self.released.remove(&id);
        }
    }
}

/// What tells a message from another with the same packet id.
fn content_of(publish: &Publish) -> u32 {
    crc_fast::crc32_iscsi(&[publish.topic.as_bytes(), b"\0", &publish.payload].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Qos, Release};

    fn id(number: u16) -> NonZeroU16 {
        NonZeroU16::new(number).unwrap()
    }

    fn message(number: u16, payload: &'static str, dup: bool) -> Publish {
        Publish {
            dup,
            qos: Qos::ExactlyOnce,
            retain: false,
            topic: "t".into(),
            packet_id: Some(id(number)),
            payload: payload.into(),
            properties: Vec::new(),
        }
    }

    fn said(exchanges: &mut Exchanges, over: &[u16]) -> bool {
        let answers: Vec<_> =
            over.iter().map(|number| Packet::Pubcomp(Release::success(id(*number)))).collect();
        exchanges.said(&answers)
    }

    #[test]
    fn positions_are_read_as_they_are_written() {
        let mut exchanges = Exchanges::default();
        assert_eq!(exchanges.position(), "qos2:");
        for (number, payload) in [(7, "a"), (9, "b"), (65_535, "c")] {
            assert!(exchanges.receive(id(number), &message(number, payload, false)));
        }
        exchanges.release(id(9));
        let read = Exchanges::read(&exchanges.position());
        assert_eq!((&read.received, &read.released), (&exchanges.received, &exchanges.released));
        assert_eq!(read.inherited, [id(9)]);
        // As they were written before contents were.
        assert_eq!(Exchanges::read("qos2:7,9").received, Messages::from([(id(7), 0), (id(9), 0)]));
        for other in ["qos2:", "something else"] {
            assert_eq!(Exchanges::read(other), Exchanges::default());
        }
    }

    #[test]
    fn what_comes_again_is_known_and_an_id_that_is_used_anew_is_not_taken_for_the_old_one() {
        let mut exchanges = Exchanges::default();
        assert!(exchanges.receive(id(7), &message(7, "a", false)));
        assert!(!exchanges.receive(id(7), &message(7, "a", true)), "before it is released");
        exchanges.release(id(7));
        assert!(!exchanges.receive(id(7), &message(7, "a", true)), "afterwards, as Mosquitto does");
        exchanges.release(id(7));
        assert!(exchanges.receive(id(7), &message(7, "b", true)), "another one");
        exchanges.release(id(7));
        assert!(exchanges.receive(id(7), &message(7, "b", false)), "no repetition");
    }

    #[test]
    fn what_the_broker_has_heard_of_is_forgotten() {
        let mut exchanges = Exchanges::read("qos2:;3=1");
        for number in [7, 8] {
            assert!(exchanges.receive(id(number), &message(number, "a", false)));
            exchanges.release(id(number));
        }
        assert!(said(&mut exchanges, &[7]) && said(&mut exchanges, &[8]) && !said(&mut exchanges, &[]));
        exchanges.heard();
        assert_eq!(exchanges.released.keys().copied().collect::<Vec<_>>(), [id(8)], "3 is from before");
        assert!(exchanges.receive(id(7), &message(7, "a", true)), "it is over");
        exchanges.heard();
        assert!(exchanges.released.is_empty());
    }
}

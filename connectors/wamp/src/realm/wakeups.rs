//! Whom to wake for events: at once, or all of them after the last of several publications that have come together.
//!
//! Writing to a socket and waking who reads it cost far more than the events themselves. So while more publications of a peer are at
//! hand, those who hear of them are not woken yet: in the end several events lie in each mailbox, and go out with one write. For a
//! publication that comes alone they are woken one after the other, the first while the last is still to be told. No timer is waited for.

use std::sync::Arc;

use bytes::Bytes;

use super::Mailbox;

/// After how many events the owners of mailboxes are woken though more publications are there.
const EVENTS_MAX: usize = 8_192;

/// For how many mailboxes room is kept.
const ROOM_MAX: usize = 256;

/// Mailboxes whose owners are yet to be woken. That is made up for when it is dropped.
#[derive(Debug, Default)]
pub struct Wakeups {
    /// Whether owners are not woken yet.
    is_held: bool,
    mailboxes: Vec<Arc<Mailbox>>,
    events: usize,
}

impl Wakeups {
    /// Puts an event into a mailbox.
    pub(super) fn deliver(&mut self, mailbox: &Arc<Mailbox>, event: Bytes) {
        match (mailbox.event(event), self.is_held) {
            (true, true) => self.mailboxes.push(Arc::clone(mailbox)),
            (true, false) => mailbox.wake(),
            (false, _) => {}
        }
        self.events += 1;
        if self.events >= EVENTS_MAX {
            self.wake();
        }
    }

    /// Wakes nobody from now on, for more publications are at hand.
    pub fn hold(&mut self) {
        self.is_held = true;
    }

    /// Wakes those who were not woken, and from now on at once again.
    pub fn release(&mut self) {
        self.is_held = false;
        self.wake();
    }

    fn wake(&mut self) {
        self.events = 0;
        self.mailboxes.drain(..).for_each(|mailbox| mailbox.wake());
        self.mailboxes.shrink_to(ROOM_MAX);
    }
}

impl Drop for Wakeups {
    fn drop(&mut self) {
        self.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use futures::FutureExt as _;

    use super::*;
    use crate::realm::{MailboxOptions, WhenFull};

    const EVENT: Bytes = Bytes::from_static(b"event");

    fn is_woken(mailbox: &Mailbox) -> bool {
        mailbox.changed().now_or_never().is_some()
    }

    fn held() -> Wakeups {
        let mut wakeups = Wakeups::default();
        wakeups.hold();
        wakeups
    }

    #[test]
    fn owners_are_woken_once_for_all_that_came_together() {
        let (one, other) = (Arc::new(Mailbox::new(MailboxOptions::default())), Arc::default());
        let mut wakeups = held();
        for _ in 0..3 {
            wakeups.deliver(&one, EVENT);
        }
        wakeups.deliver(&other, EVENT);
        assert!(!is_woken(&one) && !is_woken(&other));
        wakeups.release();
        assert!(is_woken(&one) && is_woken(&other));
        assert!(!is_woken(&one), "once");
        let mut taken = VecDeque::new();
        one.take(&mut taken);
        assert_eq!(taken.len(), 3);
        wakeups.deliver(&one, EVENT);
        assert!(is_woken(&one), "what comes alone does not wait");
    }

    #[test]
    fn nobody_is_forgotten_when_a_publisher_goes() {
        let mailbox = Arc::new(Mailbox::default());
        let mut wakeups = held();
        wakeups.deliver(&mailbox, EVENT);
        assert!(!is_woken(&mailbox));
        drop(wakeups);
        assert!(is_woken(&mailbox));
    }

    #[test]
    fn what_gets_long_or_full_does_not_wait() {
        let options =
            MailboxOptions { messages_max: 6, when_full: WhenFull::Skip, ..MailboxOptions::default() };
        let narrow = Arc::new(Mailbox::new(options));
        let mut wakeups = held();
        (0..3).for_each(|_| wakeups.deliver(&narrow, EVENT));
        assert!(!is_woken(&narrow));
        wakeups.deliver(&narrow, EVENT);
        assert!(is_woken(&narrow), "more than half is full");
        wakeups.deliver(&narrow, EVENT);
        assert!(!is_woken(&narrow), "once");

        let wide = Arc::new(Mailbox::default());
        (0..EVENTS_MAX).for_each(|_| wakeups.deliver(&wide, EVENT));
        assert!(is_woken(&wide));
    }
}

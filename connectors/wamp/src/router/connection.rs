//! One transport's way through its sessions: HELLO, perhaps a challenge, WELCOME, messages, GOODBYE, and so on again.
//!
//! ```text
//!  Opening ──HELLO──> Challenged ──AUTHENTICATE──> Open ──GOODBYE──> Opening
//!     │  └────────────────HELLO───────────────────▲  └─ the router says GOODBYE ─> Parting ──GOODBYE──> Opening
//!     └─ anything that is against the protocol: ABORT, and the transport is closed
//! ```

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{RealmHandle, Router};
use crate::auth::{Begin, Denied, Hello, Pending};
use crate::message::uri::{self, close, error};
use crate::message::{Id, Message, random_id};
use crate::realm::{Features, Identity, Mailbox, MailboxOptions, Peer, Realm, Wakeups};
use crate::wire::{Dict, Malformed, Serializer};

/// Whether the transport goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// More is to come.
    GoOn,
    /// What waits in the mailbox is the last; then the transport is to be closed.
    Close,
}

/// One transport's way through its sessions.
pub struct Connection {
    router: Arc<Router>,
    serializer: Serializer,
    message_bytes_max: usize,
    transport: Dict,
    mailbox: Arc<Mailbox>,
    /// Who is yet to hear of what the peer has published.
    wakeups: Wakeups,
    is_trusted: bool,
    state: State,
}

enum State {
    Opening,
    Challenged(Box<Challenged>),
    Open { realm: Arc<RealmHandle>, session: Id },
    Over,
}

/// A session whose proof is awaited.
struct Challenged {
    realm: Arc<RealmHandle>,
    session: Id,
    features: Features,
    pending: Pending,
}

/// How long a peer has to answer the router's GOODBYE.
const PARTING: Duration = Duration::from_secs(5);

impl Connection {
    /// A connection on which nothing was said yet. Messages longer than `message_bytes_max` are not sent.
    pub fn new(
        router: Arc<Router>,
        serializer: Serializer,
        message_bytes_max: usize,
        transport: Dict,
    ) -> Self {
        let mailbox = Arc::new(Mailbox::new(router.options.mailbox));
        let (wakeups, state) = (Wakeups::default(), State::Opening);
        Self { router, serializer, message_bytes_max, transport, mailbox, wakeups, is_trusted: false, state }
    }

    /// A connection of a part of this process, which is let in by its name. While its mailbox is crowded, the realm's peers
    /// are not read from: what it records is not to be lost. The realm is named by the first HELLO.
    pub fn trusted(router: Arc<Router>, mailbox: MailboxOptions) -> Self {
        let mailbox = Arc::new(Mailbox::new(mailbox));
        let transport = Dict::new().with("type", "process");
        let (serializer, message_bytes_max) = (Serializer::Json, usize::MAX);
        Self {
            router,
            serializer,
            message_bytes_max,
            transport,
            mailbox,
            wakeups: Wakeups::default(),
            is_trusted: true,
            state: State::Opening,
        }
    }

    /// Whether the peer's messages should wait, because who records them has fallen behind.
    pub fn is_held_back(&self) -> bool {
        matches!(&self.state, State::Open { realm, .. } if !self.is_trusted && realm.is_congested())
    }

    /// The session that is open, and its realm.
    pub(crate) fn session(&self) -> Option<(&Arc<RealmHandle>, Id)> {
        match &self.state {
            State::Open { realm, session } => Some((realm, *session)),
            State::Opening | State::Challenged(_) | State::Over => None,
        }
    }

    /// Where messages to the peer wait.
    pub fn mailbox(&self) -> &Arc<Mailbox> {
        &self.mailbox
    }

    /// How long the peer may be silent in this state.
    pub fn patience(&self) -> Option<Duration> {
        match self.state {
            State::Opening | State::Challenged(_) => Some(self.router.options.handshake_timeout),
            State::Open { .. } if self.mailbox.is_parting() => Some(PARTING),
            State::Open { .. } => None,
            State::Over => Some(Duration::ZERO),
        }
    }

    /// Takes a message of the peer.
    pub fn receive(&mut self, bytes: &Bytes) -> Next {
        let next = self.take(bytes);
        self.wakeups.release();
        next
    }

    /// Takes a message of the peer behind which more is at hand. Those for whom it brings events may be woken later, by
    /// [`Connection::receive`] or by [`Connection::wake`], one of which must be called soon.
    pub fn receive_first(&mut self, bytes: &Bytes) -> Next {
        self.wakeups.hold();
        self.take(bytes)
    }

    fn take(&mut self, bytes: &Bytes) -> Next {
        let message = match Message::decode(self.serializer, bytes) {
            Ok(message) => message,
            Err(malformed) => return self.violated(&malformed),
        };
        match (&self.state, message) {
            (State::Over, _) => Next::Close,
            // An ABORT is never answered.
            (_, Message::Abort { .. }) => {
                self.lost();
                Next::Close
            }
            (State::Opening, Message::Hello { realm, details }) => self.hello(&realm, &details),
            (State::Challenged(_), Message::Authenticate { signature, extra }) => {
                self.authenticate(&signature, &extra)
            }
            (State::Open { realm, session }, message) => {
                let (realm, session) = (Arc::clone(realm), *session);
                self.say(&realm, session, message)
            }
            (_, message) => {
                let why = format!("{} cannot come before a session is open", message.name());
                self.violated(&Malformed::new(why))
            }
        }
    }

    /// Wakes those for whom events have come.
    pub fn wake(&mut self) {
        self.wakeups.release();
    }

    fn say(&mut self, realm: &RealmHandle, session: Id, message: Message) -> Next {
        let is_goodbye = matches!(message, Message::Goodbye { .. });
        if self.mailbox.is_parting() {
            // The router has said goodbye. What was under way meanwhile is nothing to it any more.
            if is_goodbye {
                self.mailbox.reopen();
                self.state = State::Opening;
            }
            return Next::GoOn;
        }
        if is_goodbye {
            realm.with(|realm| realm.leave(session));
            self.state = State::Opening;
            self.answer(&Message::Goodbye {
                details: Dict::new(),
                reason: close::GOODBYE_AND_OUT.to_owned(),
            });
            return Next::GoOn;
        }
        match realm.with(|realm| realm.receive(session, message, &mut self.wakeups)) {
            Ok(()) => Next::GoOn,
            Err(malformed) => self.violated(&malformed),
        }
    }

    /// The transport is gone, or about to be.
    pub fn lost(&mut self) {
        if let State::Open { realm, session } = std::mem::replace(&mut self.state, State::Over) {
            realm.with(|realm| realm.leave(session));
        }
    }

    /// The peer has broken the protocol.
    pub fn violated(&mut self, malformed: &Malformed) -> Next {
        self.abort(error::PROTOCOL_VIOLATION, &malformed.to_string())
    }

    fn abort(&mut self, reason: &str, message: &str) -> Next {
        self.lost();
        self.answer(&Message::abort(reason, message));
        Next::Close
    }

    fn answer(&self, message: &Message) {
        // What the router makes of values can be written by every serializer.
        if let Ok(bytes) = message.encode(self.serializer) {
            self.mailbox.answer(bytes);
        }
    }

    fn hello(&mut self, name: &str, details: &Dict) -> Next {
        let features = match Features::read(details) {
            Ok(features) => features,
            Err(why) => return self.violated(&Malformed::new(format!("HELLO: {why}"))),
        };
        let Some(realm) = self.router.realm(name).cloned() else {
            let reason = if uri::is_valid_realm(name) { error::NO_SUCH_REALM } else { error::INVALID_URI };
            return self.abort(reason, &format!("there is no realm {name:?}"));
        };
        let session = random_id(&self.router.world);
        if self.is_trusted {
            realm.add_recorder(&self.mailbox);
            let name = details.text("authid").unwrap_or("headwater");
            return self.welcome(realm, session, features, Identity::of_this_process(name));
        }
        match realm.auth().begin(&Hello { session, details }) {
            Begin::Welcome(identity) => self.welcome(realm, session, features, identity),
            Begin::Challenge { method, extra, pending } => {
                self.answer(&Message::Challenge { method: method.to_owned(), extra });
                self.state = State::Challenged(Box::new(Challenged { realm, session, features, pending }));
                Next::GoOn
            }
            Begin::Deny(Denied { reason, message }) => self.abort(reason, &message),
        }
    }

    fn authenticate(&mut self, signature: &str, extra: &Dict) -> Next {
        let State::Challenged(challenged) = std::mem::replace(&mut self.state, State::Over) else {
            return Next::Close;
        };
        let Challenged { realm, session, features, pending } = *challenged;
        match pending.finish(signature, extra) {
            Ok(identity) => self.welcome(realm, session, features, identity),
            Err(Denied { reason, message }) => self.abort(reason, &message),
        }
    }

    fn welcome(
        &mut self,
        realm: Arc<RealmHandle>,
        session: Id,
        features: Features,
        identity: Identity,
    ) -> Next {
        let has_history = realm.with(|realm| realm.has_history());
        let mut details = Dict::new().with("roles", Features::of_the_router(has_history));
        details.insert("agent", concat!("headwater-", env!("CARGO_PKG_VERSION")));
        details.insert("realm", realm.name());
        identity.describe(&mut details);
        details.insert("authextra", identity.authextra.clone());
        let peer = Peer {
            id: session,
            serializer: self.serializer,
            message_bytes_max: self.message_bytes_max,
            identity,
            features,
            is_trusted: self.is_trusted,
            transport: self.transport.clone(),
            mailbox: Arc::clone(&self.mailbox),
        };
        self.answer(&Message::Welcome { session, details });
        realm.with(|realm: &mut Realm| realm.join(Arc::new(peer)));
        self.state = State::Open { realm, session };
        Next::GoOn
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.lost();
    }
}

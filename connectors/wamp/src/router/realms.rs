//! The realms of a router.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use headwater_core::World;
use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;

use super::RouterOptions;
use super::history::Historian;
use crate::auth::Authenticator;
use crate::message::uri::close;
use crate::message::{Id, Match};
use crate::realm::{Mailbox, Realm};

/// A realm that many connections share.
pub struct RealmHandle {
    name: String,
    realm: Mutex<Realm>,
    auth: Authenticator,
    /// Rung when a call is due earlier than the timer knows.
    sooner: Notify,
    /// Who keeps the events of the past.
    pub(super) history: OnceLock<Historian>,
    /// Where those look for messages who must not miss any.
    recorders: RwLock<Vec<Weak<Mailbox>>>,
}

impl RealmHandle {
    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How sessions prove who they are.
    pub(super) fn auth(&self) -> &Authenticator {
        &self.auth
    }

    /// Works on the realm. Nobody else does meanwhile, so this must be short.
    pub fn with<T>(&self, work: impl FnOnce(&mut Realm) -> T) -> T {
        let mut realm = self.realm.lock();
        let before = realm.next_deadline();
        let result = work(&mut realm);
        let after = realm.next_deadline();
        let questions = realm.take_questions();
        drop(realm);
        if let Some(history) = self.history.get().filter(|_| !questions.is_empty()) {
            history.ask(&self.name, questions);
        }
        if after.is_some_and(|after| before.is_none_or(|before| after < before)) {
            self.sooner.notify_one();
        }
        result
    }

    /// Notes the mailbox of somebody who must not miss any message.
    pub(super) fn add_recorder(&self, mailbox: &Arc<Mailbox>) {
        let mut recorders = self.recorders.write();
        recorders.retain(|known| known.strong_count() > 0);
        recorders.push(Arc::downgrade(mailbox));
    }

    /// Whether somebody who must not miss any message has fallen behind.
    pub(super) fn is_congested(&self) -> bool {
        self.recorders.read().iter().filter_map(Weak::upgrade).any(|mailbox| mailbox.is_crowded())
    }

    /// A session has subscribed to what a stream of this process records.
    pub(crate) fn filled_by(self: &Arc<Self>, session: Id, stream: &str) -> Filling {
        self.with(|realm| realm.fills(session, stream));
        Filling { realm: Arc::clone(self), session }
    }

    /// Lets calls time out, for ever.
    async fn keep_time(self: Arc<Self>, world: World) {
        loop {
            let next = self.realm.lock().next_deadline();
            let wait = next.map(|next| next.saturating_sub(world.clock.monotonic()));
            tokio::select! {
                () = tokio::time::sleep(wait.unwrap_or(Duration::from_secs(3_600))) => self.with(Realm::tick),
                () = self.sooner.notified() => {}
            }
        }
    }
}

/// A session that fills a stream with what it is handed.
pub(crate) struct Filling {
    realm: Arc<RealmHandle>,
    session: Id,
}

/// Of how many publications is told in one go that they are durable.
const RECORDED_MAX: usize = 256;

impl Filling {
    /// These publications are durable: their publishers may hear of it.
    pub fn recorded(&self, publications: &[Id]) {
        for some in publications.chunks(RECORDED_MAX) {
            self.realm.with(|realm| realm.recorded(self.session, some));
        }
    }
}

/// A router. Its timers end when it is dropped.
pub struct Router {
    pub(super) world: World,
    pub(super) options: RouterOptions,
    realms: BTreeMap<String, Arc<RealmHandle>>,
    timers: Vec<tokio::task::JoinHandle<()>>,
}

impl Router {
    /// Makes a router. Its timers run on the tokio runtime that this is called on.
    pub fn new(world: World, options: RouterOptions) -> Arc<Self> {
        let mut realms = BTreeMap::new();
        for setup in &options.realms {
            let name = setup.options.name.clone();
            let handle = RealmHandle {
                name: name.clone(),
                realm: Mutex::new(Realm::new(world.clone(), setup.options.clone())),
                auth: Authenticator::new(world.clone(), &name, setup.auth.clone()),
                sooner: Notify::new(),
                history: OnceLock::new(),
                recorders: RwLock::default(),
            };
            realms.insert(name, Arc::new(handle));
        }
        let timers = realms
            .values()
            .map(|realm: &Arc<RealmHandle>| tokio::spawn(Arc::clone(realm).keep_time(world.clone())))
            .collect();
        Arc::new(Self { world, options, realms, timers })
    }

    /// The realm of a name.
    pub fn realm(&self, name: &str) -> Option<&Arc<RealmHandle>> {
        self.realms.get(name)
    }

    /// All realms.
    pub fn realms(&self) -> impl Iterator<Item = &Arc<RealmHandle>> {
        self.realms.values()
    }

    /// How the router is set up.
    pub fn options(&self) -> &RouterOptions {
        &self.options
    }

    /// From now on a stream of this process records what a pattern matches in a realm. What is published there with acknowledgement is
    /// acknowledged when it is durable, and refused while nobody fills the stream.
    pub fn record(&self, realm: &str, stream: &str, matching: Match, uri: &str) {
        for (name, handle) in &self.realms {
            handle.with(|of| match name == realm {
                true => of.record(stream, matching, uri),
                false => of.forget_stream(stream),
            });
        }
    }

    /// A stream records nothing any more.
    pub fn forget_stream(&self, stream: &str) {
        for realm in self.realms.values() {
            realm.with(|realm| realm.forget_stream(stream));
        }
    }

    /// Says goodbye to everybody.
    pub fn close(&self) {
        for realm in self.realms.values() {
            realm.with(|realm| realm.close(close::SYSTEM_SHUTDOWN));
        }
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        for timer in &self.timers {
            timer.abort();
        }
    }
}

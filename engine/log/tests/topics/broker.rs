//! A broker in memory. Transactions leave marks, commits lose their answers, and what was under way then is decided later.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use headwater_core::World;
use headwater_log::{Log, Message, Stored, TopicError, TopicLog, TopicLogOptions, TopicResult, Topics};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// The broker.
#[derive(Default)]
pub struct Broker {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    topics: BTreeMap<String, Vec<Partition>>,
    /// Which writer is the newest.
    epoch: u64,
    /// A transaction of which nobody knows yet how it ends.
    open: Option<Vec<Message>>,
    faults: Option<Faults>,
    /// How many calls failed, by name.
    struck: BTreeMap<&'static str, u64>,
    /// How many commits are done before the broker is gone for good.
    left: Option<u64>,
    reads: u64,
}

struct Faults {
    random: StdRng,
    /// One call of so many fails.
    every: u32,
}

#[derive(Default)]
struct Partition {
    begin: i64,
    /// By offset; marks of transactions, and what was removed, are nothing.
    messages: Vec<Option<Stored>>,
}

/// What becomes of a commit.
enum End {
    Well,
    Nothing,
    AnswerLost,
    Undecided,
}

impl Broker {
    /// The broker as a new process sees it.
    pub fn connect(self: &Arc<Self>) -> Arc<dyn Topics> {
        Arc::new(Client { broker: Arc::clone(self), epoch: AtomicU64::new(0) })
    }

    /// Opens the log `lab`.
    pub fn open(self: &Arc<Self>) -> Arc<dyn Log> {
        TopicLog::open(World::real(), self.connect(), "lab", TopicLogOptions::default()).unwrap()
    }

    /// One call of `every` fails from now on, as the seed has it.
    pub fn fail(&self, seed: u64, every: u32) {
        self.state.lock().faults = Some(Faults { random: StdRng::seed_from_u64(seed), every });
    }

    /// No call fails from now on.
    pub fn heal(&self) {
        self.state.lock().faults = None;
    }

    /// Loses the answer of the commit after the next `commits`, and every call after that until it is healed by [`Self::back`].
    pub fn gone_after(&self, commits: u64) {
        self.state.lock().left = Some(commits);
    }

    /// Comes back.
    pub fn back(&self) {
        self.state.lock().left = None;
    }

    /// How many calls failed, by name.
    pub fn struck(&self) -> BTreeMap<&'static str, u64> {
        self.state.lock().struck.clone()
    }

    /// How many reads were asked for since the last time.
    pub fn reads(&self) -> u64 {
        std::mem::take(&mut self.state.lock().reads)
    }

    /// The topics.
    pub fn topics(&self) -> Vec<String> {
        self.state.lock().topics.keys().cloned().collect()
    }

    /// The oldest offset of a partition.
    pub fn begin(&self, topic: &str, partition: usize) -> i64 {
        self.state.lock().topics[topic][partition].begin
    }

    /// Changes a byte of the newest message of a partition.
    pub fn damage(&self, topic: &str, partition: usize, byte: usize) {
        let mut state = self.state.lock();
        let messages = &mut state.topics.get_mut(topic).unwrap()[partition].messages;
        let message = messages.iter_mut().rev().flatten().next().unwrap();
        let mut bytes = message.value.to_vec();
        bytes[byte] ^= 1;
        message.value = bytes.into();
    }
}

fn outage(what: &str) -> TopicError {
    TopicError::Outage { what: what.to_owned(), reason: "nobody answers".to_owned() }
}

impl State {
    /// Whether a call fails.
    fn strike(&mut self, what: &'static str) -> TopicResult<()> {
        let gone = self.left == Some(0);
        let fails =
            self.faults.as_mut().is_some_and(|faults| faults.random.random_range(0..faults.every) == 0);
        if gone || fails {
            *self.struck.entry(what).or_default() += 1;
            return Err(outage(what));
        }
        Ok(())
    }

    fn end(&mut self) -> End {
        if let Some(left) = &mut self.left {
            if *left == 0 {
                return End::Nothing;
            }
            *left -= 1;
            if *left == 0 {
                return End::AnswerLost;
            }
        }
        let Some(faults) = &mut self.faults else { return End::Well };
        if faults.random.random_range(0..faults.every) != 0 {
            return End::Well;
        }
        match faults.random.random_range(0..3) {
            0 => End::Nothing,
            1 => End::AnswerLost,
            _ => End::Undecided,
        }
    }

    fn partition(&mut self, topic: &str, partition: u32) -> TopicResult<&mut Partition> {
        let found = self.topics.get_mut(topic).and_then(|all| all.get_mut(partition as usize));
        found.ok_or_else(|| TopicError::Refused {
            what: format!("look at {topic}/{partition}"),
            reason: "there is none".to_owned(),
        })
    }

    fn write(&mut self, messages: &[Message]) -> TopicResult<Vec<i64>> {
        let mut offsets = Vec::new();
        for message in messages {
            let partition = self.partition(&message.topic, message.partition)?;
            let offset = partition.messages.len() as i64;
            let (value, note) = (message.value.clone(), message.note.clone());
            partition.messages.push(Some(Stored { offset, value, note }));
            offsets.push(offset);
        }
        let mut touched: Vec<_> = messages.iter().map(|one| (&one.topic, one.partition)).collect();
        touched.dedup();
        for (topic, partition) in touched {
            self.partition(topic, partition)?.messages.push(None);
        }
        Ok(offsets)
    }
}

/// A process that uses the broker.
struct Client {
    broker: Arc<Broker>,
    epoch: AtomicU64,
}

impl Topics for Client {
    fn create(&self, topic: &str, partitions: u32) -> TopicResult<()> {
        let mut state = self.broker.state.lock();
        let made = || (0..partitions).map(|_| Partition::default()).collect::<Vec<_>>();
        let found = state.topics.entry(topic.to_owned()).or_insert_with(made).len();
        assert_eq!(found, partitions as usize);
        Ok(())
    }

    fn find(&self, topic: &str) -> TopicResult<()> {
        let mut state = self.broker.state.lock();
        state.strike("find")?;
        state.partition(topic, 0).map(drop)
    }

    fn remove(&self, topic: &str) -> TopicResult<()> {
        self.broker.state.lock().topics.remove(topic);
        Ok(())
    }

    fn take_over(&self) -> TopicResult<()> {
        let mut state = self.broker.state.lock();
        state.strike("take over")?;
        state.epoch += 1;
        self.epoch.store(state.epoch, Ordering::SeqCst);
        if let Some(open) = state.open.take()
            && state.faults.as_mut().is_some_and(|faults| faults.random.random_bool(0.5))
        {
            state.write(&open)?;
        }
        Ok(())
    }

    fn commit(&self, messages: &[Message]) -> TopicResult<Vec<i64>> {
        let mut state = self.broker.state.lock();
        if state.epoch != self.epoch.load(Ordering::SeqCst) {
            return Err(TopicError::Fenced { log: "lab".to_owned() });
        }
        assert!(state.open.is_none(), "whoever has no answer takes over before it goes on");
        let (end, name) = match state.end() {
            End::Well => return state.write(messages),
            End::Nothing => (None, "nothing of a commit"),
            End::AnswerLost => (Some(state.write(messages)?), "the answer to a commit"),
            End::Undecided => {
                state.open = Some(messages.to_vec());
                (None, "a commit undecided")
            }
        };
        drop(end);
        *state.struck.entry(name).or_default() += 1;
        Err(outage(name))
    }

    fn bounds(&self, topic: &str, partition: u32) -> TopicResult<Range<i64>> {
        let mut state = self.broker.state.lock();
        state.strike("bounds")?;
        let partition = state.partition(topic, partition)?;
        Ok(partition.begin..partition.messages.len() as i64)
    }

    fn read(&self, topic: &str, partition: u32, offsets: Range<i64>) -> TopicResult<Vec<Stored>> {
        let mut state = self.broker.state.lock();
        state.strike("read")?;
        state.reads += 1;
        let partition = state.partition(topic, partition)?;
        let from = offsets.start.max(partition.begin) as usize;
        let to = (offsets.end.max(0) as usize).min(partition.messages.len());
        Ok(partition.messages.get(from..to).into_iter().flatten().flatten().take(7).cloned().collect())
    }

    fn remove_before(&self, topic: &str, partition: u32, offset: i64) -> TopicResult<()> {
        let mut state = self.broker.state.lock();
        state.strike("remove")?;
        let partition = state.partition(topic, partition)?;
        partition.begin = partition.begin.max(offset);
        for gone in 0..offset as usize {
            partition.messages[gone] = None;
        }
        Ok(())
    }
}

//! A producer: appends groups, several under way at once, and repeats those whose outcome it does not know.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use headwater_core::{Epoch, ProducerId, Sequence};
use headwater_log::{Append, Appended, LogError, Pending, Producer as Name, Result};

use crate::model::{Complaint, GroupId, Place};
use crate::rows;
use crate::scene::{Actor, Scene};

/// How many groups are under way at most. The log remembers more.
const UNDER_WAY_MAX: usize = 3;
/// The most rows of one append.
const ROWS_MAX: u64 = 40;

/// Appends under a name of its own.
pub struct Producer {
    id: ProducerId,
    next: u64,
    under_way: VecDeque<(Sent, Box<dyn Pending>)>,
    /// Without an answer that says what became of them, oldest first.
    unsettled: VecDeque<Sent>,
    settled: Option<Sent>,
}

/// A group under its number.
#[derive(Clone, Copy, Debug)]
struct Sent {
    group: GroupId,
    sequence: u64,
    condition: Condition,
}

/// What an append asks for besides.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Condition {
    /// Nothing.
    None,
    /// The next sequence number, rightly or not.
    Next(Sequence, bool),
    /// A fencing token, rightly or not.
    Fence(u64, bool),
}

impl Condition {
    fn must_hold(self) -> bool {
        matches!(self, Self::None | Self::Next(_, true) | Self::Fence(_, true))
    }
}

impl Producer {
    /// A producer that has sent nothing.
    pub fn new(id: u64) -> Self {
        Self {
            id: ProducerId(id),
            next: 1,
            under_way: VecDeque::new(),
            unsettled: VecDeque::new(),
            settled: None,
        }
    }

    /// Sends a new group to one to three shards.
    fn send_new(&mut self, scene: &mut Scene) {
        let mut parts: Vec<(Place, u64)> = Vec::new();
        for _ in 0..=scene.random.below(3) {
            let Some(place) = scene.any_place() else { return };
            if parts.iter().all(|(used, _)| *used != place) {
                parts.push((place, scene.random.below(ROWS_MAX + 1)));
            }
        }
        let condition =
            if parts.len() == 1 { self.draw_condition(scene, parts[0].0) } else { Condition::None };
        let group = scene.model.submit(&parts);
        let sent = Sent { group, sequence: self.next, condition };
        self.next += 1;
        self.send(scene, sent);
    }

    fn draw_condition(&self, scene: &Scene, place: Place) -> Condition {
        let Ok(bounds) = scene.log().bounds(place.0) else { return Condition::None };
        let next = bounds[place.1.0 as usize].next;
        match scene.random.below(12) {
            0 if scene.in_flight == 0 => Condition::Next(next, true),
            1 => Condition::Next(next.plus(1_000_000), false),
            2 => match scene.fences.get(&place) {
                Some(Some(token)) => Condition::Fence(*token, true),
                Some(None) => Condition::Fence(7, false),
                None => Condition::None,
            },
            3 if scene.fences.contains_key(&place) => Condition::Fence(u64::MAX, false),
            _ => Condition::None,
        }
    }

    fn send(&mut self, scene: &mut Scene, sent: Sent) {
        let parts = scene.model.parts(sent.group).to_vec();
        let log = scene.log();
        let mut group = Vec::new();
        for part in &parts {
            let schema = match log.stream(part.place.0) {
                Ok(info) => info.spec.schema.clone(),
                // Dropped meanwhile: the group can never be sent as it was.
                Err(_) => return,
            };
            let mut append = Append::new(part.place.0, part.place.1, rows::make(part.rows.clone(), &schema));
            append.producer = Some(Name { id: self.id, epoch: Epoch(1), sequence: sent.sequence });
            match sent.condition {
                Condition::None => {}
                Condition::Next(next, _) => append.expect_next = Some(next),
                Condition::Fence(token, _) => append.fence = Some(token),
            }
            group.push(append);
        }
        scene.model.submit_again(sent.group);
        scene.in_flight += 1;
        scene.story.note(format!("producer {} sends {sent:?}: {parts:?}", self.id));
        self.under_way.push_back((sent, log.submit(group)));
    }

    fn answered(
        &mut self,
        scene: &mut Scene,
        sent: Sent,
        answer: Result<Vec<Appended>>,
    ) -> std::result::Result<(), Complaint> {
        scene.in_flight -= 1;
        scene.story.note(format!("producer {} is answered {sent:?}: {answer:?}", self.id));
        match answer {
            Ok(appended) if sent.condition.must_hold() => {
                self.settled = Some(sent);
                scene.model.acknowledged(sent.group, &appended)
            }
            Ok(_) => Err(format!("{sent:?} was appended though its condition did not hold")),
            Err(LogError::WrongSequence { .. } | LogError::Fenced { .. }) if !sent.condition.must_hold() => {
                scene.model.refused(sent.group);
                Ok(())
            }
            Err(LogError::Fenced { .. }) if self.was_fenced_meanwhile(scene, sent) => {
                scene.model.refused(sent.group);
                Ok(())
            }
            Err(LogError::NoStream { .. }) if self.lost_its_stream(scene, sent) => {
                scene.model.refused(sent.group);
                Ok(())
            }
            Err(error) => {
                self.unsettled.push_back(sent);
                scene.excuse("append", &error)
            }
        }
    }

    /// Whether the token was changed after it was right.
    fn was_fenced_meanwhile(&self, scene: &Scene, sent: Sent) -> bool {
        let now = scene.model.parts(sent.group).first().and_then(|part| scene.fences.get(&part.place));
        matches!(sent.condition, Condition::Fence(token, true) if now != Some(&Some(token)))
    }

    fn lost_its_stream(&self, scene: &Scene, sent: Sent) -> bool {
        scene.model.parts(sent.group).iter().any(|part| !scene.model.has(part.place))
    }

    /// Takes the answers that are there.
    fn collect(&mut self, scene: &mut Scene) -> std::result::Result<(), Complaint> {
        while let Some((_, pending)) = self.under_way.front_mut() {
            let mut context = Context::from_waker(Waker::noop());
            let Poll::Ready(answer) = Pin::new(&mut **pending).poll(&mut context) else { break };
            let (sent, _) = self.under_way.pop_front().expect("it was at the front");
            self.answered(scene, sent, answer)?;
        }
        Ok(())
    }
}

impl Actor for Producer {
    fn act(&mut self, scene: &mut Scene) -> std::result::Result<(), Complaint> {
        self.collect(scene)?;
        if scene.random.chance(1, 10)
            && let Some((sent, pending)) = self.under_way.pop_front()
        {
            let answer = pending.wait();
            return self.answered(scene, sent, answer);
        }
        if scene.failing || self.under_way.len() >= UNDER_WAY_MAX {
            return Ok(());
        }
        if self.under_way.is_empty() && !self.unsettled.is_empty() {
            // In their order, or a later one would make the earlier too old to be told.
            for sent in std::mem::take(&mut self.unsettled) {
                // A condition may no longer hold, and then says nothing about the first attempt.
                self.send(scene, Sent { condition: Condition::None, ..sent });
            }
        } else if self.unsettled.is_empty() {
            match self.settled {
                // The answer was lost on its way, say.
                Some(sent) if self.under_way.is_empty() && scene.random.chance(1, 12) => {
                    self.send(scene, Sent { condition: Condition::None, ..sent });
                }
                _ => self.send_new(scene),
            }
        }
        Ok(())
    }

    fn closed(&mut self, scene: &mut Scene) -> std::result::Result<(), Complaint> {
        self.collect(scene)?;
        match self.under_way.front() {
            None => Ok(()),
            Some((sent, _)) => Err(format!("the log was closed and never answered {sent:?}")),
        }
    }

    fn crashed(&mut self) {
        let under_way = self.under_way.drain(..).map(|(sent, _)| sent).collect::<Vec<_>>();
        self.unsettled.extend(under_way.into_iter().filter(|sent| sent.condition.must_hold()));
        self.unsettled.make_contiguous().sort_by_key(|sent| sent.sequence);
    }

    fn finish(&mut self, scene: &mut Scene) -> std::result::Result<(), Complaint> {
        for sent in std::mem::take(&mut self.unsettled) {
            self.send(scene, Sent { condition: Condition::None, ..sent });
        }
        while let Some((sent, pending)) = self.under_way.pop_front() {
            let answer = pending.wait();
            self.answered(scene, sent, answer)?;
        }
        if self.unsettled.is_empty() {
            Ok(())
        } else {
            Err(format!("{:?} failed without a fault", self.unsettled))
        }
    }
}

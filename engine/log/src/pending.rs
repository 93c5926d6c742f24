//! An answer that comes later: one side promises, the other waits on a thread or awaits in a task.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use headwater_core::world::Tasks;
use parking_lot::{Condvar, Mutex};

use crate::api::{Appended, Pending};
use crate::error::{LogError, Result};

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    answered: Condvar,
}

#[derive(Default)]
struct State {
    answer: Option<Result<Vec<Appended>>>,
    waker: Option<Waker>,
}

/// The side that answers. Dropped without an answer, it answers [`LogError::Closed`]: nobody waits for ever.
pub(crate) struct Promise(Option<Arc<Shared>>);

impl Promise {
    /// Answers and wakes whoever waits.
    pub(crate) fn answer(mut self, answer: Result<Vec<Appended>>) {
        self.put(answer);
    }

    fn put(&mut self, answer: Result<Vec<Appended>>) {
        let Some(shared) = self.0.take() else { return };
        let waker = {
            let mut state = shared.state.lock();
            state.answer = Some(answer);
            state.waker.take()
        };
        shared.answered.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        self.put(Err(LogError::Closed));
    }
}

/// The side that waits.
pub(crate) struct Answer {
    shared: Arc<Shared>,
    tasks: Arc<dyn Tasks>,
}

/// A promise and the answer that it will become.
pub(crate) fn promise(tasks: &Arc<dyn Tasks>) -> (Promise, Answer) {
    let shared = Arc::new(Shared::default());
    (Promise(Some(Arc::clone(&shared))), Answer { shared, tasks: Arc::clone(tasks) })
}

impl Future for Answer {
    type Output = Result<Vec<Appended>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.shared.state.lock();
        match state.answer.take() {
            Some(answer) => Poll::Ready(answer),
            None => {
                state.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Pending for Answer {
    fn wait(self: Box<Self>) -> Result<Vec<Appended>> {
        loop {
            if let Some(answer) = self.shared.state.lock().answer.take() {
                return answer;
            }
            if !self.tasks.drive() {
                let mut state = self.shared.state.lock();
                if state.answer.is_none() {
                    self.shared.answered.wait(&mut state);
                }
            }
        }
    }
}

/// An answer that is known already.
pub(crate) struct Known(pub Option<Result<Vec<Appended>>>);

impl Known {
    /// Boxed, as `submit` returns it.
    pub(crate) fn boxed(answer: Result<Vec<Appended>>) -> Box<dyn Pending> {
        Box::new(Self(Some(answer)))
    }
}

impl Future for Known {
    type Output = Result<Vec<Appended>>;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.take().map_or(Poll::Pending, Poll::Ready)
    }
}

impl Pending for Known {
    fn wait(mut self: Box<Self>) -> Result<Vec<Appended>> {
        self.0.take().unwrap_or(Err(LogError::Closed))
    }
}

#[cfg(test)]
mod tests {
    use headwater_core::World;

    use super::*;

    #[test]
    fn an_answer_is_awaited_or_waited_for() {
        let world = World::real();
        let (promise_one, answer_one) = promise(&world.tasks);
        promise_one.answer(Ok(Vec::new()));
        assert_eq!(Box::new(answer_one).wait().unwrap(), []);
        let (promise_two, mut answer_two) = promise(&world.tasks);
        let mut context = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut answer_two).poll(&mut context).is_pending());
        drop(promise_two);
        assert!(matches!(Pin::new(&mut answer_two).poll(&mut context), Poll::Ready(Err(LogError::Closed))));
    }
}

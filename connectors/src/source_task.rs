//! One source at work: pull, append rows and marks as one, tell the source; after an outage open it anew at the stored marks.
//!
//! While an append is made and is on its way to the disk, the next records are pulled already. If the append fails, what was pulled is
//! thrown away with the source; the next one is opened where the log says.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use headwater_core::{Epoch, StreamName};
use headwater_ingest::{AppendRequest, Ingest, IngestError, Mark, Payload, PendingReport, SourceStep};
use headwater_log::StreamInfo;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::backoff::Backoff;
use crate::blocking::{gone, on_thread};
use crate::connector::{Pulled, Source};
use crate::error::{ConnectorError, Result};
use crate::status::{Board, State};
use crate::task::{Next, TaskContext, after_failure};

/// How often it is measured what waits for an append that takes long.
const MEASURE: Duration = Duration::from_secs(1);

/// One source at work.
pub(crate) struct SourceTask<M> {
    ingest: Arc<Ingest>,
    board: Arc<Board>,
    stopped: watch::Receiver<bool>,
    name: String,
    stream: StreamName,
    make: M,
    backoff: Backoff,
}

/// How a run of a source ended without an error.
enum Run {
    End,
    Stopped,
}

impl<M: Fn() -> Result<Box<dyn Source>> + Send> SourceTask<M> {
    pub(crate) fn new(
        context: TaskContext,
        ingest: Arc<Ingest>,
        name: String,
        info: &StreamInfo,
        make: M,
    ) -> Self {
        let TaskContext { board, stopped, .. } = context;
        let stream = info.spec.name.clone();
        Self { ingest, board, stopped, name, stream, make, backoff: Backoff::default() }
    }

    /// Runs until the input ends, the task is told to stop, or the source fails for good.
    pub(crate) async fn run(mut self, on_end: impl FnOnce(&StreamName) + Send) {
        loop {
            let error = match self.run_once().await {
                Ok(Run::End) => {
                    on_end(&self.stream);
                    return self.board.state(State::Ended);
                }
                Ok(Run::Stopped) => return self.board.state(State::Stopped),
                Err(error) => error,
            };
            let wait = || self.backoff.next(self.ingest.world());
            match after_failure(&error, wait, &self.board, &mut self.stopped).await {
                Next::Again => {}
                Next::Stop => return self.board.state(State::Stopped),
                Next::Fail => return,
            }
        }
    }

    /// Opens the source and runs it until something happens.
    async fn run_once(&mut self) -> Result<Run> {
        let (ingest, name) = (Arc::clone(&self.ingest), self.name.clone());
        let place = on_thread(move || ingest.positions().claim(&name)).await??;
        let mut source = (self.make)()?;
        self.board.positions(&place.positions);
        source.open(place.positions).await?;
        self.board.state(State::Running);
        let mut feed = Feed { epoch: place.epoch, step: place.step, under_way: None, pulled: None };
        let run = self.pump(source.as_mut(), &mut feed).await;
        let settled = match run {
            Ok(Run::Stopped) => self.drain(source.as_mut(), &mut feed).await,
            Ok(Run::End) | Err(_) => self.settle(source.as_mut(), &mut feed).await,
        };
        // What went wrong first is what counts.
        let closed = source.close().await;
        let run = run?;
        settled?;
        closed?;
        Ok(run)
    }

    async fn pump(&mut self, source: &mut dyn Source, feed: &mut Feed) -> Result<Run> {
        loop {
            let pulled = tokio::select! {
                pulled = source.pull() => pulled?,
                _ = self.stopped.wait_for(|stop| *stop) => return Ok(Run::Stopped),
            };
            match pulled {
                Pulled::Records { payload, marks } => {
                    feed.pulled = Some(Instant::now());
                    self.measure(source, feed);
                    self.settle(source, feed).await?;
                    self.submit(payload, marks, feed);
                }
                Pulled::Nothing => {
                    self.measure(source, feed);
                    self.settle(source, feed).await?;
                }
                Pulled::End => return Ok(Run::End),
            }
        }
    }

    /// Appends what a source that is to stop has received already.
    async fn drain(&mut self, source: &mut dyn Source, feed: &mut Feed) -> Result<()> {
        loop {
            self.settle(source, feed).await?;
            match source.drain().await? {
                Pulled::Records { payload, marks } => self.submit(payload, marks, feed),
                Pulled::Nothing | Pulled::End => return Ok(()),
            }
        }
    }

    /// Decodes and submits on a thread where computing is allowed, and waits for neither.
    fn submit(&self, payload: Payload, marks: Vec<Mark>, feed: &mut Feed) {
        feed.step += 1;
        let step = SourceStep {
            source: self.name.clone(),
            epoch: feed.epoch,
            step: feed.step,
            marks: marks.clone(),
        };
        let request = AppendRequest {
            step: Some(step),
            ..AppendRequest::new(self.stream.as_str(), self.name.as_str(), payload)
        };
        let (ingest, compacts) = (Arc::clone(&self.ingest), feed.step.is_multiple_of(4_096));
        let submitted = tokio::task::spawn_blocking(move || {
            let pending = ingest.append(request)?;
            if compacts {
                ingest.positions().compact_if_long()?;
            }
            Ok(pending)
        });
        feed.under_way = Some(UnderWay { submitted, marks, pulled: feed.pulled.take() });
    }

    /// Waits for the append under way, and tells the source.
    async fn settle(&mut self, source: &mut dyn Source, feed: &mut Feed) -> Result<()> {
        if let Some(UnderWay { submitted, marks, pulled }) = feed.under_way.take() {
            let mut appended =
                pin!(async { Ok::<_, ConnectorError>(submitted.await.map_err(gone)??.await?) });
            let report = loop {
                match timeout(MEASURE, appended.as_mut()).await {
                    Ok(report) => break report?,
                    // A log that is slow, or away, shows in what waits for it.
                    Err(_) => self.board.measure(source.lag(), source.behind(), pulled.or(feed.pulled)),
                }
            };
            self.board.moved(report.accepted, report.dead_lettered);
            self.board.positions(marks.iter().map(|mark| (&mark.partition, &mark.position)));
            source.committed(&marks).await?;
            self.measure(source, feed);
            self.backoff.reset();
        }
        Ok(())
    }

    fn measure(&self, source: &dyn Source, feed: &Feed) {
        let under_way = feed.under_way.as_ref().and_then(|append| append.pulled);
        self.board.measure(source.lag(), source.behind(), under_way.or(feed.pulled));
    }
}

/// An append that was handed to the log, or why it was not.
type Submitted = std::result::Result<PendingReport, IngestError>;

/// What was submitted and not yet answered, and the numbers for what comes next.
struct Feed {
    epoch: Epoch,
    step: u64,
    under_way: Option<UnderWay>,
    /// When the records came that the source has given and that are not submitted yet.
    pulled: Option<Instant>,
}

/// An append that the log has not answered.
struct UnderWay {
    submitted: JoinHandle<Submitted>,
    marks: Vec<Mark>,
    /// When its records came.
    pulled: Option<Instant>,
}

//! Reads topics.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use headwater_connectors::{Behind, ConnectorError, Context, Mark, Pulled, Result, SchemaRegistry, Source};
use headwater_ingest::{MessageDecoder, Schemas};
use parking_lot::Mutex;

use crate::about::AboutColumns;
use crate::cluster::Cluster;
use crate::consumer::Lag;
use crate::offsets::{Partition, Place};
use crate::poller::Poller;

/// How long leaving a group may take: without a broker it takes most of a minute.
const LEAVE: Duration = Duration::from_secs(10);

/// Which topics are read.
#[derive(Clone)]
pub(crate) enum Topics {
    Named(Vec<String>),
    Like(String),
}

/// What a source is to do.
#[derive(Clone)]
pub(crate) struct SourceSettings {
    pub cluster: Cluster,
    pub topics: Topics,
    pub start: Place,
    pub end: Option<Place>,
    /// Whether the members of a group share the partitions.
    pub in_group: bool,
    /// How often new partitions are looked for.
    pub discovery: Option<Duration>,
    pub about: AboutColumns,
    pub registry: Option<SchemaRegistry>,
    /// What is known of the registry's schemas; the decoder looks them up here.
    pub schemas: Schemas,
}

/// What the name of a mark begins with that says where a partition ends, of a bounded input. No topic has a space in its name.
pub(crate) const END: &str = "end of ";

/// Where partitions are to be read from, and up to where, as the log has it.
#[derive(Default)]
pub(crate) struct Stored {
    pub next: BTreeMap<Partition, i64>,
    pub ends: BTreeMap<Partition, i64>,
}

/// Reads topics.
pub(crate) struct KafkaSource {
    context: Context,
    settings: SourceSettings,
    decoder: Option<MessageDecoder>,
    poller: Option<Arc<Mutex<Poller>>>,
    /// Tells a poll under way that nobody waits for it.
    stop: Arc<AtomicBool>,
    lag: Arc<Mutex<Lag>>,
}

impl KafkaSource {
    pub fn new(context: Context, settings: SourceSettings, decoder: MessageDecoder) -> Self {
        let (stop, lag) = (Arc::default(), Arc::default());
        Self { context, settings, decoder: Some(decoder), poller: None, stop, lag }
    }

    /// Does what waits with the poller.
    async fn with_poller<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Poller) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let shared = self
            .poller
            .clone()
            .ok_or_else(|| self.settings.cluster.outage("read", "the source is not open"))?;
        blocking(move || work(&mut shared.lock())).await
    }
}

/// Runs what waits on a thread where that is allowed.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let gone = |error| ConnectorError::outage("work in the background", error);
    tokio::task::spawn_blocking(work).await.map_err(gone)?
}

#[async_trait]
impl Source for KafkaSource {
    async fn open(&mut self, marks: BTreeMap<String, String>) -> Result<()> {
        let mut stored = Stored::default();
        for (name, offset) in &marks {
            let refused =
                |reason: String| ConnectorError::refused("resume from the stored positions", reason);
            let offset = offset.parse().map_err(|_| refused(format!("{offset:?} is not an offset")))?;
            let (partition, places) = match name.strip_prefix(END) {
                Some(partition) => (partition, &mut stored.ends),
                None => (name.as_str(), &mut stored.next),
            };
            places.insert(partition.parse::<Partition>().map_err(refused)?, offset);
        }
        let reopened = || self.settings.cluster.outage("open", "the source was open before");
        let decoder = self.decoder.take().ok_or_else(reopened)?;
        let (settings, context) = (self.settings.clone(), self.context.clone());
        let (stop, lag) = (Arc::clone(&self.stop), Arc::clone(&self.lag));
        let poller = blocking(move || Poller::open(settings, context, decoder, stored, stop, lag)).await?;
        self.poller = Some(Arc::new(Mutex::new(poller)));
        Ok(())
    }

    async fn pull(&mut self) -> Result<Pulled> {
        self.with_poller(Poller::pull).await
    }

    async fn committed(&mut self, marks: &[Mark]) -> Result<()> {
        let read = |mark: &Mark| Some((mark.partition.parse().ok()?, mark.position.parse().ok()?));
        let of_partitions = marks.iter().filter(|mark| !mark.partition.starts_with(END));
        let offsets: Vec<(Partition, i64)> = of_partitions.filter_map(read).collect();
        self.with_poller(move |poller| {
            let told = poller.reader.durable(&offsets);
            told.map_err(|error| poller.failed("commit offsets", &error))
        })
        .await
    }

    fn is_bounded(&self) -> bool {
        self.settings.end.is_some()
    }

    fn lag(&self) -> Option<u64> {
        self.lag.lock().messages
    }

    fn behind(&self) -> Behind {
        self.lag.lock().behind
    }

    async fn close(&mut self) -> Result<()> {
        self.stop.store(true, Ordering::SeqCst);
        let closed = self.with_poller(|poller| {
            let closed = poller.reader.close();
            closed.or_else(|error| {
                // What the group does not know, the log does.
                tracing::debug!(%error, "offsets were not committed while closing");
                Ok(())
            })
        });
        if self.poller.is_none() {
            return Ok(());
        }
        tokio::time::timeout(LEAVE, closed).await.unwrap_or_else(|_| {
            tracing::debug!("a consumer takes long to leave; it ends in the background");
            Ok(())
        })
    }
}

impl Drop for KafkaSource {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}

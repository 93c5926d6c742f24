//! Records a topic filter of the broker of this process.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use headwater_connectors::{Behind, ConnectorError, Mark, Pulled, Result, Source};
use headwater_core::World;
use tokio::time::timeout;

use super::embedded;
use super::rows::RowReader;
use crate::broker::Recording;

/// How long a pull waits for a message. While an append is under way it does not wait: publishers do, for the answer to it.
const PATIENCE: Duration = Duration::from_secs(1);

/// How many messages one pull gives at most.
const MESSAGES_MAX: usize = 8_192;

/// Records a topic filter of the broker of this process.
pub(super) struct Recorder {
    name: String,
    filter: String,
    rows: Arc<RowReader>,
    recording: Option<Recording>,
    world: World,
    /// How many pulls are not durable.
    under_way: usize,
}

impl Recorder {
    pub(super) fn new(name: String, filter: String, rows: RowReader, world: World) -> Self {
        Self { name, filter, rows: Arc::new(rows), recording: None, world, under_way: 0 }
    }
}

#[async_trait]
impl Source for Recorder {
    async fn open(&mut self, marks: BTreeMap<String, String>) -> Result<()> {
        let broker = embedded::broker().ok_or_else(|| {
            let why = "there is none; start it with serve --mqtt, or give a url";
            ConnectorError::outage("record from the broker of this process", why)
        })?;
        self.recording =
            Some(broker.attach(&self.name, &self.filter, marks.get(&self.filter).map(String::as_str)));
        Ok(())
    }

    async fn pull(&mut self) -> Result<Pulled> {
        let Some(recording) = &self.recording else {
            return Err(ConnectorError::outage("record from the broker of this process", "it is not open"));
        };
        let (mut messages, mut position) = recording.take(MESSAGES_MAX);
        if messages.is_empty() {
            let patience = if self.under_way == 0 { PATIENCE } else { Duration::ZERO };
            if timeout(patience, recording.changed()).await.is_err() {
                return Ok(Pulled::Nothing);
            }
            (messages, position) = recording.take(MESSAGES_MAX);
        }
        if messages.is_empty() {
            return Ok(Pulled::Nothing);
        }
        let payload = RowReader::read(&self.rows, messages).await?;
        self.under_way += 1;
        Ok(Pulled::Records { payload, marks: vec![Mark { partition: self.filter.clone(), position }] })
    }

    async fn committed(&mut self, marks: &[Mark]) -> Result<()> {
        self.under_way = self.under_way.saturating_sub(1);
        if let (Some(recording), Some(mark)) = (&self.recording, marks.last()) {
            recording.committed(&mark.position);
        }
        Ok(())
    }
    /// What was received and is not durable.
    fn lag(&self) -> Option<u64> {
        Some(self.recording.as_ref()?.waiting().0)
    }

    fn behind(&self) -> Behind {
        let Some(recording) = &self.recording else { return Behind::Unknown };
        let Some(received) = recording.waiting().1 else { return Behind::Not };
        Behind::by(u64::try_from(self.world.clock.now().millis() - received.millis()).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{DataType, Field, Schema};
    use headwater_connectors::Context;
    use headwater_core::StreamName;
    use headwater_ingest::Options;

    use super::super::config::CONNECTOR;
    use super::*;
    use crate::broker::{Access, Broker, BrokerOptions, Message};
    use crate::wire::{Publish, Qos};

    #[tokio::test]
    async fn what_is_not_durable_is_the_lag() {
        let world = World::real();
        let broker = Broker::new(world.clone(), BrokerOptions::default(), Access::open());
        embedded::set_broker(&broker);
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)]));
        let context = Context::of(world.clone(), StreamName::new("recorded").unwrap(), schema);
        let mut options = Options::new("table recorded", [("topic", "t")]);
        let mut recorder = CONNECTOR.source.unwrap()(context, &mut options).unwrap();
        assert_eq!((recorder.lag(), recorder.behind()), (None, Behind::Unknown), "it is not open");
        recorder.open(BTreeMap::new()).await.unwrap();
        assert_eq!((recorder.lag(), recorder.behind()), (Some(0), Behind::Not));
        for n in 0..3 {
            let publish = Publish {
                dup: false,
                qos: Qos::AtMostOnce,
                retain: false,
                topic: "t".into(),
                packet_id: None,
                payload: format!("{{\"n\":{n}}}").into(),
                properties: Vec::new(),
            };
            broker.publish(Message::new(publish, "".into(), &world));
        }
        tokio::time::sleep(Duration::from_millis(60)).await;
        assert_eq!(recorder.lag(), Some(3));
        assert!(recorder.behind().millis().unwrap() >= 50, "{:?}", recorder.behind());
        let Pulled::Records { marks, .. } = recorder.pull().await.unwrap() else { panic!("no messages") };
        assert_eq!(recorder.lag(), Some(3), "pulled is not durable");
        recorder.committed(&marks).await.unwrap();
        assert_eq!((recorder.lag(), recorder.behind()), (Some(0), Behind::Not));
    }
}

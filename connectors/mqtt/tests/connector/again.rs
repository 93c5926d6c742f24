//! Mosquitto sends messages again that it has released already, if it loses two connections in a row at the right moments.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::Duration;

use headwater_connectors::{ConnectorDef, Context, Pulled, Source, registry};
use headwater_core::World;
use headwater_ingest::{Options, Payload};
use socket2::SockRef;

use crate::lab::{Lab, runtime};
use crate::mosquitto::Mosquitto;
use crate::{lines, publisher, setup, source};

const MESSAGES: usize = 150;

/// A source that no supervisor drives.
fn by_hand(lab: &Lab, def: &ConnectorDef) -> Box<dyn Source> {
    let info = lab.ingest.log().stream_named("events").unwrap();
    let spec = &info.spec;
    let context =
        Context { stream_id: info.id, ..Context::of(World::real(), spec.name.clone(), spec.schema.clone()) };
    registry::make_source("mqtt", context, Options::new("test", def.options.clone())).unwrap()
}

/// Pulls once, and notes the position: how many rows there were, and whether all is released.
async fn pull(source: &mut Box<dyn Source>, marks: &mut BTreeMap<String, String>) -> Option<(usize, bool)> {
    let Pulled::Records { payload, marks: moved } = source.pull().await.unwrap() else { return None };
    let Payload::Decoded(decoded) = payload else { panic!("MQTT is decoded where it comes in") };
    marks.extend(moved.iter().map(|mark| (mark.partition.clone(), mark.position.clone())));
    Some((decoded.rows.num_rows(), moved[0].position.starts_with("qos2:;")))
}

#[test]
fn what_a_broker_sends_again_against_the_standard_is_recorded_once() {
    let Some(mosquitto) = Mosquitto::start(None) else { return };
    setup();
    let lab = Lab::new(1);
    let mut def = source(Some(&mosquitto.url()), "again/#", "2");
    def.options.insert("client-id".to_owned(), "again".to_owned());
    runtime().block_on(async {
        let (mut marks, mut rows) = (BTreeMap::new(), 0);
        let mut first = by_hand(&lab, &def);
        first.open(BTreeMap::new()).await.unwrap();
        let publishing = publisher(mosquitto.port, "again/a", "2", lines(0..MESSAGES as i64));
        // All is recorded and released, and of the last releases the broker hears nothing from us.
        loop {
            let Some((more, is_released)) = pull(&mut first, &mut marks).await else { continue };
            rows += more;
            if rows == MESSAGES && is_released {
                break;
            }
            first.committed(&[]).await.unwrap();
        }
        assert!(tokio::task::spawn_blocking(|| publishing.join().unwrap()).await.unwrap());
        drop(first);
        // The same session, in version 5 and for a week, by somebody who has gone before he is let in.
        for _ in 0..5 {
            let mut stream = std::net::TcpStream::connect(("127.0.0.1", mosquitto.port)).unwrap();
            SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
            stream.write_all(b"\x10\x17\0\x04MQTT\x05\0\0\x3c\x05\x11\0\x09\x3a\x80\0\x05again").unwrap();
        }
        let mut second = by_hand(&lab, &def);
        second.open(marks.clone()).await.unwrap();
        let (mut again, mut quiet) = (0, 0);
        while quiet < 2 {
            match pull(&mut second, &mut marks).await {
                Some((more, _)) => {
                    again += more;
                    second.committed(&[]).await.unwrap();
                }
                None => quiet += 1,
            }
        }
        second.close().await.unwrap();
        assert_eq!((rows, again), (MESSAGES, 0));
    });
}

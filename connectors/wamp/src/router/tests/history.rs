//! Event history: who may ask for what, and how it is answered. The events themselves are kept by others.

use std::sync::Arc;

use headwater_core::{EventTime, World};

use super::script::{open, play, play_on};
use crate::auth::AuthOptions;
use crate::message::Match;
use crate::realm::{Moment, PastEvent, Permission, Question, RealmOptions, Receivers, Role};
use crate::router::{Answer, History, RealmSetup, Router, RouterOptions};
use crate::wire::Dict;

/// Remembers one event, and tells in its arguments what was asked.
struct Diary;

impl History for Diary {
    fn ask(&self, realm: &str, question: Question, answer: Answer) {
        if &*question.uri != "com.kept" {
            return answer.unavailable("nobody records this");
        }
        let edges = question.edges.iter().map(|edge| {
            let at = match edge.at {
                Moment::Time(time) => time.to_string(),
                Moment::Publication(id) => id.to_string(),
            };
            format!("{} {} {at}", edge.is_begin, edge.is_included)
        });
        let event = PastEvent {
            time: EventTime(1_000_000_000),
            publication: 7,
            details: Dict::new().with("topic", "com.kept"),
            args: edges.map(Into::into).collect(),
            kwargs: Dict::new().with("realm", realm).with("reverse", question.is_reverse),
            receivers: Receivers::default(),
        };
        answer.events(vec![event], question.limit == Some(1));
    }
}

fn router(setup: RealmSetup) -> Arc<Router> {
    let router = Router::new(World::real(), RouterOptions::new(vec![setup]));
    router.set_history(&(Arc::new(Diary) as Arc<dyn History>));
    router
}

#[tokio::test]
async fn a_subscriber_asks_for_events_of_the_past() {
    play_on(
        router(open()),
        r#"
        a joins
        a> [32,1,{},"com.kept"]
        a< [33,1,"$kept"]
        a> [32,2,{},"com.other"]
        a< [33,2,"$other"]
        a> [48,3,{},"wamp.subscription.get_events",["$kept"]]
        a< [50,3,{},[{"timestamp":"1970-01-01T00:00:01Z","subscription":"$kept","publication":7,"details":{"topic":"com.kept"},"args":[],"kwargs":{"realm":"realm1","reverse":false}}],{"is_limit_reached":false}]
        a> [48,4,{},"wamp.subscription.get_events",["$kept"],{"limit":1,"reverse":true,"topic":null,"from_time":"2026-03-01T10:00:00+01:00","before_publication":9}]
        a< [50,4,{},[{"timestamp":"*","subscription":"$kept","publication":7,"details":"*","args":["true true 2026-03-01T09:00:00Z","false false 9"],"kwargs":{"realm":"realm1","reverse":true}}],{"is_limit_reached":true}]
        a> [48,5,{},"wamp.subscription.get_events",["$other"]]
        a< [8,48,5,{},"wamp.error.history_unavailable",["nobody records this"]]
        a> [48,6,{},"wamp.subscription.get_events",[1234]]
        a< [8,48,6,{},"wamp.error.no_such_subscription",["*"]]
        a> [48,7,{},"wamp.subscription.get_events",["$kept"],{"limit":0}]
        a< [8,48,7,{},"wamp.error.invalid_argument",["*"]]
        a> [48,8,{},"wamp.subscription.get_events",["$kept"],{"until_time":"yesterday"}]
        a< [8,48,8,{},"wamp.error.invalid_argument",["*"]]
        a quiet
        "#,
    )
    .await;
}

#[tokio::test]
async fn who_may_not_subscribe_may_not_ask_either() {
    let mut options = RealmOptions::new("realm1");
    let role = |name: &str, subscribe| Role {
        name: name.to_owned(),
        permissions: vec![
            Permission::all("wamp.", Match::Prefix),
            Permission { subscribe, ..Permission::all("com.", Match::Prefix) },
        ],
        trustlevel: None,
    };
    options.roles = vec![role("anonymous", false), role("reader", true)];
    let mut setup = RealmSetup { options, auth: AuthOptions::open() };
    setup.auth.principals = vec![super::session::principal("reader")];
    play_on(
        router(setup),
        r#"
        b joins as reader
        b> [32,1,{},"com.kept"]
        b< [33,1,"$kept"]
        a joins
        a> [48,1,{},"wamp.subscription.get_events",["$kept"]]
        a< [8,48,1,{},"wamp.error.not_authorized",["*"]]
        b> [48,2,{},"wamp.subscription.get_events",["$kept"]]
        b< [50,2,{},["*"],{"is_limit_reached":false}]
        "#,
    )
    .await;
}

#[tokio::test]
async fn without_a_history_there_is_none() {
    play(
        r#"
        a joins
        a> [32,1,{},"com.kept"]
        a< [33,1,"$kept"]
        a> [48,2,{},"wamp.subscription.get_events",["$kept"]]
        a< [8,48,2,{},"wamp.error.history_unavailable",["*"]]
        "#,
    )
    .await;
}

//! Plays a conversation.
//!
//! ```text
//!  a joins                          HELLO and WELCOME; $a is the id of its session from now on
//!  a joins without callee.call_canceling
//!  a joins as tina                  by its ticket, which is its name
//!  a joins with little room         takes no message of more than 4 KiB, such as one with $too_long in it
//!  a> [32,1,{},"com.topic"]         a says this
//!  a< [33,1,"$sub"]                 the router answers a with this; $sub is bound here, or compared
//!  a< [17,1,"*"]                    * is anything
//!  a quiet                          nothing else was said to a
//!  a closed                         the router has ended a's transport
//!  a lost                           a's transport breaks
//!  wait 30                          milliseconds
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use headwater_core::World;
use serde_json::{Value, json};

use crate::auth::AuthOptions;
use crate::realm::RealmOptions;
use crate::router::{Connection, Next, RealmSetup, Router, RouterOptions};
use crate::wire::{Dict, Serializer};

/// Plays a conversation with a router whose realms are open to everybody.
pub(super) async fn play(script: &str) {
    play_with(open(), script).await;
}

/// A realm that is open to everybody.
pub(super) fn open() -> RealmSetup {
    RealmSetup { options: RealmOptions::new("realm1"), auth: AuthOptions::open() }
}

/// Plays a conversation with a router of one realm.
pub(super) async fn play_with(setup: RealmSetup, script: &str) {
    play_on(Router::new(World::real(), RouterOptions::new(vec![setup])), script).await;
}

/// Plays a conversation with a router.
pub(super) async fn play_on(router: Arc<Router>, script: &str) {
    let bound = BTreeMap::from([("too_long".to_owned(), json!("x".repeat(8 << 10)))]);
    let mut play = Play { router, peers: BTreeMap::new(), bound };
    for (at, line) in script.lines().enumerate() {
        let line = line.trim();
        if !line.is_empty() {
            play.line(line).await.unwrap_or_else(|why| panic!("line {}: {line}\n{why}", at + 1));
        }
    }
}

struct Play {
    router: Arc<Router>,
    peers: BTreeMap<String, Speaker>,
    /// What names stand for.
    bound: BTreeMap<String, Value>,
}

struct Speaker {
    connection: Connection,
    heard: VecDeque<Bytes>,
    next: Next,
}

impl Play {
    async fn line(&mut self, line: &str) -> Result<(), String> {
        if let Some(millis) = line.strip_prefix("wait ") {
            tokio::time::sleep(Duration::from_millis(millis.parse().unwrap())).await;
            // Whoever waited for less has his turn before this goes on, also if the machine was busy with other things all the time.
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            return Ok(());
        }
        let at = line.find(|letter: char| !letter.is_alphanumeric()).ok_or("what is that?")?;
        let (name, rest) = line.split_at(at);
        let rest = rest.trim();
        if let Some(message) = rest.strip_prefix('>') {
            self.say(name, message.trim());
            return Ok(());
        }
        if let Some(expected) = rest.strip_prefix('<') {
            return self.expect(name, expected.trim());
        }
        if let Some(how) = rest.strip_prefix("joins") {
            return self.join(name, how.trim());
        }
        let peer = self.peers.get_mut(name).ok_or("who is that?")?;
        peer.connection.mailbox().take(&mut peer.heard);
        match rest {
            "quiet" if peer.heard.is_empty() => Ok(()),
            "quiet" => Err(format!("it heard {:?}", peer.heard)),
            "closed" if peer.next == Next::Close => Ok(()),
            "closed" => Err("it is open".to_owned()),
            "lost" => {
                peer.connection.lost();
                Ok(())
            }
            _ => Err("what is that?".to_owned()),
        }
    }

    fn join(&mut self, name: &str, how: &str) -> Result<(), String> {
        let connection = Connection::new(
            Arc::clone(&self.router),
            Serializer::Json,
            if how == "with little room" { 4 << 10 } else { 1 << 20 },
            Dict::new().with("type", "script"),
        );
        self.peers.insert(name.to_owned(), Speaker { connection, heard: VecDeque::new(), next: Next::GoOn });
        if how == "silently" {
            return Ok(());
        }
        let mut details = json!({"roles": roles(how.strip_prefix("without ").unwrap_or_default())});
        let authid = how.strip_prefix("as ");
        if let Some(authid) = authid {
            details["authid"] = json!(authid);
            details["authmethods"] = json!(["ticket"]);
        }
        self.say(name, &json!([1, "realm1", details]).to_string());
        if let Some(authid) = authid {
            self.expect(name, r#"[4,"ticket",{}]"#)?;
            self.say(name, &json!([5, authid, {}]).to_string());
        }
        self.expect(name, &format!(r#"[2,"${name}","*"]"#))
    }

    fn say(&mut self, name: &str, message: &str) {
        // What is no JSON is said as it is.
        let message = match serde_json::from_str::<Value>(message) {
            Ok(mut message) => {
                self.fill(&mut message);
                message.to_string()
            }
            Err(_) => message.to_owned(),
        };
        let peer = self.peers.get_mut(name).unwrap();
        peer.next = peer.connection.receive(&Bytes::from(message));
    }

    fn expect(&mut self, name: &str, expected: &str) -> Result<(), String> {
        let expected: Value = serde_json::from_str(expected).map_err(|error| error.to_string())?;
        let peer = self.peers.get_mut(name).ok_or("who is that?")?;
        peer.connection.mailbox().take(&mut peer.heard);
        let heard = peer.heard.pop_front().ok_or("it heard nothing")?;
        let heard: Value = serde_json::from_slice(&heard).map_err(|error| error.to_string())?;
        if self.fits(&expected, &heard) { Ok(()) } else { Err(format!("it heard {heard}")) }
    }

    /// Puts in what names stand for.
    fn fill(&self, message: &mut Value) {
        match message {
            Value::String(text) => {
                if let Some(value) = text.strip_prefix('$').and_then(|name| self.bound.get(name)) {
                    *message = value.clone();
                }
            }
            Value::Array(list) => list.iter_mut().for_each(|item| self.fill(item)),
            Value::Object(dict) => dict.values_mut().for_each(|item| self.fill(item)),
            _ => {}
        }
    }

    fn fits(&mut self, expected: &Value, heard: &Value) -> bool {
        match (expected, heard) {
            (Value::String(star), _) if star == "*" => true,
            (Value::String(name), _) if name.starts_with('$') => {
                let known = self.bound.entry(name[1..].to_owned()).or_insert_with(|| heard.clone());
                known == heard
            }
            (Value::Array(a), Value::Array(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| self.fits(a, b))
            }
            (Value::Object(a), Value::Object(b)) => {
                a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| self.fits(a, b)))
            }
            _ => expected == heard,
        }
    }
}

/// All roles with all features, but for one, as `role.feature`.
fn roles(without: &str) -> Value {
    let features = [
        "progressive_call_results",
        "progressive_call_invocations",
        "call_canceling",
        "call_timeout",
        "payload_passthru_mode",
        "registration_revocation",
        "subscription_revocation",
    ];
    let role = |role: &str| {
        let has = |feature: &&&str| format!("{role}.{feature}") != without;
        let features: serde_json::Map<_, _> =
            features.iter().filter(has).map(|feature| ((*feature).to_owned(), json!(true))).collect();
        json!({"features": features})
    };
    json!({
        "publisher": role("publisher"), "subscriber": role("subscriber"),
        "caller": role("caller"), "callee": role("callee"),
    })
}

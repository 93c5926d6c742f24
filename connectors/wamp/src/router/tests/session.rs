//! How sessions begin and end, and what ends them at once.

use super::script::{play, play_with};
use crate::auth::{AuthOptions, Credential, Principal, Secret};
use crate::message::Match;
use crate::realm::{Permission, RealmOptions, Role};
use crate::router::RealmSetup;
use crate::wire::Dict;

#[tokio::test]
async fn a_transport_carries_one_session_after_the_other() {
    play(
        r#"
        a joins
        a> [6,{},"wamp.close.normal"]
        a< [6,{},"wamp.close.goodbye_and_out"]
        a> [1,"realm1",{"roles":{"caller":{}}}]
        a< [2,"$again","*"]
        a> [48,1,{},"wamp.session.list"]
        a< [50,1,{},[["$again"]]]
        a quiet
        "#,
    )
    .await;
}

#[tokio::test]
async fn welcome_says_who_and_what() {
    play(
        r#"
        a joins silently
        a> [1,"realm1",{"roles":{"caller":{}},"authmethods":["anonymous"]}]
        a< [2,"*",{"roles":{"broker":"*","dealer":"*"},"agent":"*","realm":"realm1","authid":"*","authrole":"anonymous","authmethod":"anonymous","authprovider":"static","authextra":{}}]
        "#,
    )
    .await;
}

#[tokio::test]
async fn who_is_not_let_in_is_told_why() {
    for (hello, reason) in [
        (r#"[1,"realm2",{"roles":{"caller":{}}}]"#, "wamp.error.no_such_realm"),
        (r#"[1,"no realm",{"roles":{"caller":{}}}]"#, "wamp.error.invalid_uri"),
        (r#"[1,"realm1",{"roles":{}}]"#, "wamp.error.protocol_violation"),
        (r#"[1,"realm1",{}]"#, "wamp.error.protocol_violation"),
        (
            r#"[1,"realm1",{"roles":{"caller":{}},"authmethods":["ticket"]}]"#,
            "wamp.error.no_matching_auth_method",
        ),
    ] {
        play(&format!("a joins silently\na> {hello}\na< [3,\"*\",\"{reason}\"]\na closed")).await;
    }
}

#[tokio::test]
async fn violations_of_the_protocol_end_in_abort() {
    let first =
        ["[48,1,{},\"p\"]", "[6,{},\"wamp.close.normal\"]", "[5,\"x\",{}]", "[8,68,1,{},\"e\"]", "[2,1,{}]"];
    for message in first {
        play(&format!(
            "a joins silently\na> {message}\na< [3,\"*\",\"wamp.error.protocol_violation\"]\na closed"
        ))
        .await;
    }
    let later = [
        r#"[1,"realm1",{"roles":{"caller":{}}}]"#,
        r#"[2,1,{}]"#,
        r#"[4,"ticket",{}]"#,
        r#"[5,"x",{}]"#,
        r#"[17,1,1]"#,
        r#"[33,1,1]"#,
        r#"[36,1,1,{}]"#,
        r#"[50,1,{}]"#,
        r#"[68,1,1,{}]"#,
        r#"[69,1,{}]"#,
        r#"[8,48,1,{},"com.error"]"#,
        r#"[8,68,1,{},"com.error"]"#,
        r#"[70,1,{}]"#,
        r#"[32,2,{},"com.topic"]"#,
        r#"[32,0,{},"com.topic"]"#,
        r#"[32,9007199254740993,{},"com.topic"]"#,
        r#"[32,1,{}]"#,
        r#"[32,1,[],"com.topic"]"#,
        r#"{}"#,
        r#"[]"#,
        r#"[9]"#,
        r#"["a"]"#,
        "no json",
    ];
    for message in later {
        play(&format!("a joins\na> {message}\na< [3,\"*\",\"wamp.error.protocol_violation\"]\na closed"))
            .await;
    }
}

#[tokio::test]
async fn an_abort_is_not_answered_and_extensions_are_ignored() {
    play("a joins\na> [3,{},\"com.reason\"]\na quiet\na closed").await;
    play("a joins\na> [337,5]\na quiet\na> [32,1,{},\"t\"]\na< [33,1,\"*\"]").await;
}

#[tokio::test]
async fn request_ids_may_jump_where_the_realm_says_so() {
    let mut setup = RealmSetup { options: RealmOptions::new("realm1"), auth: AuthOptions::open() };
    setup.options.sequential_requests = false;
    play_with(setup, "a joins\na> [32,5,{},\"t\"]\na< [33,5,1]\na> [32,5,{},\"t\"]\na< [33,5,1]").await;
}

/// Somebody of a role of the same name, by a ticket that is the name.
pub(super) fn principal(name: &str) -> Principal {
    Principal {
        authid: name.into(),
        role: name.into(),
        credentials: vec![Credential::Ticket(Secret::new(name))],
        extra: Dict::new(),
    }
}

#[tokio::test]
async fn roles_may_do_what_their_permissions_say() {
    let shy = Permission { may_disclose: false, ..Permission::all("com.", Match::Prefix) };
    let open = Permission { always_disclose: true, ..Permission::all("com.", Match::Prefix) };
    let role = |name: &str, permissions, trustlevel| Role { name: name.into(), permissions, trustlevel };
    let mut options = RealmOptions::new("realm1");
    options.roles = vec![
        role("shy", vec![shy, Permission::all("wamp.session.count", Match::Exact)], Some(3)),
        role("open", vec![open], None),
        role("nobody", vec![], None),
    ];
    let auth = AuthOptions { anonymous: None, principals: ["shy", "open", "nobody"].map(principal).into() };
    play_with(
        RealmSetup { options, auth },
        r#"
        s joins as shy
        o joins as open
        n joins as nobody
        n> [32,1,{},"com.topic"]
        n< [8,32,1,{},"wamp.error.not_authorized",["*"]]
        n> [64,2,{},"com.procedure"]
        n< [8,64,2,{},"wamp.error.not_authorized",["*"]]
        n> [48,3,{},"com.procedure"]
        n< [8,48,3,{},"wamp.error.not_authorized",["*"]]
        n> [16,4,{"acknowledge":true},"com.topic"]
        n< [8,16,4,{},"wamp.error.not_authorized",["*"]]
        n> [16,5,{},"com.topic"]
        n> [48,6,{},"wamp.session.count"]
        n< [8,48,6,{},"wamp.error.not_authorized",["*"]]
        n quiet
        s> [48,1,{},"wamp.session.count"]
        s< [50,1,{},[3]]
        s> [32,2,{},"com.topic"]
        s< [33,2,"$sub"]
        o> [32,1,{},"com.topic"]
        o< [33,1,"$sub"]
        s> [16,3,{"acknowledge":true,"disclose_me":true},"com.topic"]
        s< [8,16,3,{},"wamp.error.option_disallowed.disclose_me",["*"]]
        s> [16,4,{},"com.topic",[1]]
        o< [36,"$sub","*",{"trustlevel":3},[1]]
        o> [16,2,{},"com.topic",[2]]
        s< [36,"$sub","*",{"publisher":"$o","publisher_authid":"open","publisher_authrole":"open"},[2]]
        "#,
    )
    .await;
}

#[tokio::test]
async fn a_pattern_does_not_reach_into_what_is_denied() {
    let denied = Permission {
        call: true,
        publish: true,
        register: false,
        subscribe: false,
        ..Permission::all("com.secret.", Match::Prefix)
    };
    let permissions =
        vec![Permission::all("com.", Match::Prefix), Permission::all("wamp.", Match::Prefix), denied];
    let mut options = RealmOptions::new("realm1");
    options.roles = vec![
        Role { name: "guest".into(), permissions, trustlevel: None },
        Role {
            name: "admin".into(),
            permissions: vec![Permission::all("", Match::Prefix)],
            trustlevel: None,
        },
    ];
    let auth = AuthOptions { anonymous: None, principals: ["guest", "admin"].map(principal).into() };
    play_with(
        RealmSetup { options, auth },
        r#"
        g joins as guest
        a joins as admin
        g> [32,1,{"match":"prefix"},"com."]
        g< [8,32,1,{},"wamp.error.not_authorized",["*"]]
        g> [32,2,{"match":"prefix"},"com.s"]
        g< [8,32,2,{},"wamp.error.not_authorized",["*"]]
        g> [32,3,{"match":"wildcard"},"com..plan"]
        g< [8,32,3,{},"wamp.error.not_authorized",["*"]]
        g> [64,4,{"match":"prefix"},"com.secre"]
        g< [8,64,4,{},"wamp.error.not_authorized",["*"]]
        g> [32,5,{"match":"prefix"},"com.open."]
        g< [33,5,"$open"]
        a> [32,1,{"match":"prefix"},"com."]
        a< [33,1,"$all"]
        g> [48,6,{},"wamp.subscription.get_events",["$all"]]
        g< [8,48,6,{},"wamp.error.not_authorized",["*"]]
        g> [64,7,{"match":"prefix"},"com.open."]
        g< [65,7,"$procedures"]
        a> [16,2,{"exclude_me":false},"com.secret.plan",[1]]
        a< [36,"$all","*",{"topic":"com.secret.plan"},[1]]
        g quiet
        "#,
    )
    .await;
}

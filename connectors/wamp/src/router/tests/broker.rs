//! Subscribing and publishing.

use super::script::play;

#[tokio::test]
async fn events_reach_all_who_have_subscribed_but_their_publisher() {
    play(
        r#"
        a joins
        b joins
        a> [32,1,{},"com.topic"]
        a< [33,1,"$sub"]
        b> [32,1,{},"com.topic"]
        b< [33,1,"$sub"]
        a> [16,2,{"acknowledge":true},"com.topic",["x"],{"k":1}]
        b< [36,"$sub","$pub",{},["x"],{"k":1}]
        a< [17,2,"$pub"]
        a> [16,3,{"exclude_me":false},"com.topic"]
        a< [36,"$sub","*",{}]
        b< [36,"$sub","*",{}]
        b> [34,2,"$sub"]
        b< [35,2]
        a> [16,4,{},"com.topic"]
        b quiet
        a quiet
        "#,
    )
    .await;
}

#[tokio::test]
async fn subscribing_twice_is_subscribing_once() {
    play(
        r#"
        a joins
        b joins
        a> [32,1,{},"com.topic"]
        a< [33,1,"$sub"]
        a> [32,2,{"match":"exact"},"com.topic"]
        a< [33,2,"$sub"]
        b> [16,1,{},"com.topic"]
        a< [36,"$sub","*",{}]
        a quiet
        a> [34,3,"$sub"]
        a< [35,3]
        a> [34,4,"$sub"]
        a< [8,34,4,{},"wamp.error.no_such_subscription",["*"]]
        b> [34,2,77]
        b< [8,34,2,{},"wamp.error.no_such_subscription",["*"]]
        "#,
    )
    .await;
}

#[tokio::test]
async fn patterns_bring_the_topic_with_the_event() {
    play(
        r#"
        a joins
        b joins
        a> [32,1,{"match":"prefix"},"com.a"]
        a< [33,1,"$prefix"]
        a> [32,2,{"match":"wildcard"},"com..c"]
        a< [33,2,"$wildcard"]
        a> [32,3,{},"com.abc.c"]
        a< [33,3,"$exact"]
        b> [16,1,{"acknowledge":true},"com.abc.c"]
        b< [17,1,"$pub"]
        a< [36,"$exact","$pub",{}]
        a< [36,"$prefix","$pub",{"topic":"com.abc.c"}]
        a< [36,"$wildcard","$pub",{"topic":"com.abc.c"}]
        b> [16,2,{},"com.x.c"]
        a< [36,"$wildcard","*",{"topic":"com.x.c"}]
        b> [16,3,{},"com.x.y.c"]
        a quiet
        a> [32,4,{"match":"glob"},"com.*"]
        a< [8,32,4,{},"wamp.error.invalid_argument",["*"]]
        "#,
    )
    .await;
}

#[tokio::test]
async fn receivers_can_be_chosen() {
    play(
        r#"
        a joins
        b joins
        c joins
        b> [32,1,{},"t"]
        b< [33,1,"$sub"]
        c> [32,1,{},"t"]
        c< [33,1,"$sub"]
        a> [16,1,{"exclude":["$b"]},"t",[1]]
        c< [36,"$sub","*",{},[1]]
        a> [16,2,{"eligible":["$b"]},"t",[2]]
        b< [36,"$sub","*",{},[2]]
        a> [16,3,{"eligible":["$b"],"exclude":["$b"]},"t"]
        a> [16,4,{"eligible":[]},"t"]
        a> [16,5,{"exclude_authrole":["anonymous"]},"t"]
        a> [16,6,{"eligible_authrole":["admin"]},"t"]
        a> [16,7,{"eligible_authid":["nobody"]},"t"]
        b quiet
        c quiet
        a> [16,8,{"eligible_authrole":["anonymous"],"exclude":["$c"]},"t",[8]]
        b< [36,"$sub","*",{},[8]]
        c quiet
        a> [48,9,{},"wamp.session.get",["$b"]]
        a< [50,9,{},[{"session":"$b","authid":"$bob","authrole":"*","authmethod":"*","authprovider":"*","transport":"*"}]]
        a> [16,10,{"exclude_authid":["$bob"]},"t",[10]]
        c< [36,"$sub","*",{},[10]]
        a> [16,11,{"eligible_authid":["$bob","nobody"]},"t",[11]]
        b< [36,"$sub","*",{},[11]]
        a> [16,12,{"eligible_authid":["$bob"],"exclude_authid":["$bob"]},"t"]
        b quiet
        c quiet
        a> [16,13,{"acknowledge":true,"exclude":["me"]},"t"]
        a< [8,16,13,{},"wamp.error.invalid_argument",["*"]]
        "#,
    )
    .await;
}

#[tokio::test]
async fn publishers_can_tell_who_they_are() {
    play(
        r#"
        a joins
        b joins
        b> [32,1,{},"t"]
        b< [33,1,"$sub"]
        a> [16,1,{"disclose_me":true},"t"]
        b< [36,"$sub","*",{"publisher":"$a","publisher_authid":"*","publisher_authrole":"anonymous"}]
        "#,
    )
    .await;
}

#[tokio::test]
async fn uris_that_cannot_be_used_are_refused_if_there_is_an_answer() {
    play(
        r##"
        a joins
        a> [16,1,{"acknowledge":true},"a..b"]
        a< [8,16,1,{},"wamp.error.invalid_uri",["*"]]
        a> [16,2,{"acknowledge":true},"wamp.session.on_join"]
        a< [8,16,2,{},"wamp.error.invalid_uri",["*"]]
        a> [16,3,{},"a b"]
        a> [32,4,{},"a#b"]
        a< [8,32,4,{},"wamp.error.invalid_uri",["*"]]
        a> [32,5,{},"wamp.anything"]
        a< [33,5,"*"]
        a> [32,6,{"match":"prefix"},"a..b"]
        a< [8,32,6,{},"wamp.error.invalid_uri",["*"]]
        a quiet
        a> [32,7,{"match":"prefix"},""]
        a< [33,7,"*"]
        "##,
    )
    .await;
}

#[tokio::test]
async fn the_last_event_is_retained_for_those_it_was_meant_for() {
    play(
        r#"
        a joins
        b joins
        a> [16,1,{"retain":true},"t.one",[1]]
        a> [16,2,{"retain":true},"t.one",[2]]
        a> [16,3,{"retain":true,"eligible_authrole":["admin"]},"t.two",[3]]
        a> [16,4,{},"t.three",[4]]
        b> [32,1,{"get_retained":true},"t.one"]
        b< [33,1,"$one"]
        b< [36,"$one","*",{"retained":true},[2]]
        b> [32,2,{"match":"prefix","get_retained":true},"t."]
        b< [33,2,"$all"]
        b< [36,"$all","*",{"topic":"t.one","retained":true},[2]]
        b> [32,3,{},"t.one"]
        b< [33,3,"$one"]
        b quiet
        "#,
    )
    .await;
}

#[tokio::test]
async fn payloads_can_pass_through() {
    play(
        r#"
        a joins
        b joins
        b> [32,1,{},"t"]
        b< [33,1,"$sub"]
        a> [16,1,{"ppt_scheme":"mqtt","ppt_serializer":"json"},"t",["\u0000AAAA"]]
        b< [36,"$sub","*",{"ppt_scheme":"mqtt","ppt_serializer":"json"},["\u0000AAAA"]]
        c joins without publisher.payload_passthru_mode
        c> [16,1,{"ppt_scheme":"mqtt"},"t"]
        c< [3,"*","wamp.error.protocol_violation"]
        c closed
        "#,
    )
    .await;
}

#[tokio::test]
async fn nothing_stays_of_who_is_gone() {
    play(
        r#"
        a joins
        b joins
        b> [32,1,{},"t"]
        b< [33,1,"$sub"]
        b lost
        a> [48,1,{},"wamp.subscription.get",["$sub"]]
        a< [8,48,1,{},"wamp.error.no_such_subscription",["*"]]
        a> [16,2,{},"t"]
        a quiet
        "#,
    )
    .await;
}

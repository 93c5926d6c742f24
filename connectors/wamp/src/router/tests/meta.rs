//! The meta API: procedures, events, testaments.

use super::script::play;

#[tokio::test]
async fn sessions_are_told_of_and_can_be_asked_for() {
    play(
        r#"
        a joins
        a> [32,1,{},"wamp.session.on_join"]
        a< [33,1,"$join"]
        a> [32,2,{},"wamp.session.on_leave"]
        a< [33,2,"$leave"]
        b joins
        a< [36,"$join","*",{},[{"session":"$b","authid":"$name","authrole":"anonymous","authmethod":"anonymous","authprovider":"static","transport":{"type":"script"}}]]
        a> [48,3,{},"wamp.session.count"]
        a< [50,3,{},[2]]
        a> [48,4,{},"wamp.session.count",[["admin"]]]
        a< [50,4,{},[0]]
        a> [48,5,{},"wamp.session.get",["$b"]]
        a< [50,5,{},[{"session":"$b","authid":"$name","authrole":"anonymous","authmethod":"anonymous","authprovider":"static","transport":"*"}]]
        a> [48,6,{},"wamp.session.get",[1]]
        a< [8,48,6,{},"wamp.error.no_such_session",["*"]]
        a> [48,7,{},"wamp.session.get",["me"]]
        a< [8,48,7,{},"wamp.error.invalid_argument",["*"]]
        a> [48,8,{},"wamp.session.nothing"]
        a< [8,48,8,{},"wamp.error.no_such_procedure",["*"]]
        b lost
        a< [36,"$leave","*",{},["$b","$name","anonymous"]]
        a quiet
        "#,
    )
    .await;
}

#[tokio::test]
async fn sessions_can_be_ended_but_not_by_themselves() {
    play(
        r#"
        a joins
        b joins
        c joins
        d joins
        a> [48,1,{},"wamp.session.kill",["$a"]]
        a< [8,48,1,{},"wamp.error.no_such_session",["*"]]
        a> [48,2,{},"wamp.session.kill",["$b"],{"reason":"no uri#"}]
        a< [8,48,2,{},"wamp.error.invalid_uri",["*"]]
        a> [48,3,{},"wamp.session.kill",["$b"],{"reason":"com.because","message":"out"}]
        a< [50,3,{}]
        b< [6,{"message":"out"},"com.because"]
        b> [16,1,{"acknowledge":true},"t"]
        b quiet
        b> [6,{},"wamp.close.goodbye_and_out"]
        b> [1,"realm1",{"roles":{"caller":{}}}]
        b< [2,"$b2","*"]
        a> [48,4,{},"wamp.session.kill_by_authid",["nobody"]]
        a< [50,4,{},[[]]]
        a> [48,5,{},"wamp.session.kill_all"]
        a< [50,5,{},[3]]
        c< [6,{},"wamp.close.killed"]
        d< [6,{},"wamp.close.killed"]
        a> [48,6,{},"wamp.session.list"]
        a< [50,6,{},[["$a"]]]
        e joins
        f joins
        a> [48,7,{},"wamp.session.get",["$e"]]
        a< [50,7,{},[{"session":"$e","authid":"$eve","authrole":"anonymous","authmethod":"*","authprovider":"*","transport":"*"}]]
        a> [48,8,{},"wamp.session.kill_by_authid",["$eve"]]
        a< [50,8,{},[["$e"]]]
        e< [6,{},"wamp.close.killed"]
        f quiet
        a> [48,9,{},"wamp.session.kill_by_authrole",["admin"]]
        a< [50,9,{},[0]]
        a> [48,10,{},"wamp.session.kill_by_authrole",["anonymous"],{"reason":"com.enough"}]
        a< [50,10,{},[1]]
        f< [6,{},"com.enough"]
        a quiet
        "#,
    )
    .await;
}

#[tokio::test]
async fn subscriptions_are_told_of_and_can_be_asked_for() {
    play(
        r#"
        a joins
        b joins
        a> [32,1,{"match":"prefix"},"wamp.subscription."]
        a< [33,1,"$meta"]
        a< [36,"$meta","*",{"topic":"wamp.subscription.on_create"},["$a",{"id":"$meta","created":"*","uri":"wamp.subscription.","match":"prefix"}]]
        a< [36,"$meta","*",{"topic":"wamp.subscription.on_subscribe"},["$a","$meta"]]
        b> [32,1,{},"t"]
        b< [33,1,"$t"]
        a< [36,"$meta","*",{"topic":"wamp.subscription.on_create"},["$b",{"id":"$t","created":"*","uri":"t","match":"exact"}]]
        a< [36,"$meta","*",{"topic":"wamp.subscription.on_subscribe"},["$b","$t"]]
        a> [48,2,{},"wamp.subscription.list"]
        a< [50,2,{},[{"exact":["$t"],"prefix":["$meta"],"wildcard":[]}]]
        a> [48,3,{},"wamp.subscription.lookup",["wamp.subscription.",{"match":"prefix"}]]
        a< [50,3,{},["$meta"]]
        a> [48,4,{},"wamp.subscription.lookup",["u"]]
        a< [50,4,{},[null]]
        a> [48,5,{},"wamp.subscription.match",["t"]]
        a< [50,5,{},[["$t"]]]
        a> [48,6,{},"wamp.subscription.match",["u"]]
        a< [50,6,{},[null]]
        a> [48,7,{},"wamp.subscription.list_subscribers",["$t"]]
        a< [50,7,{},[["$b"]]]
        a> [48,8,{},"wamp.subscription.count_subscribers",["$t"]]
        a< [50,8,{},[1]]
        a> [48,9,{},"wamp.subscription.remove_subscriber",["$t","$b"]]
        b< [35,0,{"subscription":"$t","reason":"wamp.close.killed"}]
        a< [36,"$meta","*",{"topic":"wamp.subscription.on_unsubscribe"},["$b","$t"]]
        a< [36,"$meta","*",{"topic":"wamp.subscription.on_delete"},["$b","$t"]]
        a< [50,9,{}]
        a> [48,10,{},"wamp.subscription.get",["$t"]]
        a< [8,48,10,{},"wamp.error.no_such_subscription",["*"]]
        "#,
    )
    .await;
}

#[tokio::test]
async fn registrations_are_told_of_and_can_be_asked_for() {
    play(
        r#"
        a joins
        b joins
        c joins
        a> [32,1,{"match":"prefix"},"wamp.registration."]
        a< [33,1,"$meta"]
        b> [64,1,{"invoke":"last"},"p"]
        b< [65,1,"$p"]
        a< [36,"$meta","*",{"topic":"wamp.registration.on_create"},["$b",{"id":"$p","created":"*","uri":"p","match":"exact","invoke":"last"}]]
        a< [36,"$meta","*",{"topic":"wamp.registration.on_register"},["$b","$p"]]
        c> [64,1,{"invoke":"last"},"p"]
        c< [65,1,"$p"]
        a< [36,"$meta","*",{"topic":"wamp.registration.on_register"},["$c","$p"]]
        a> [48,2,{},"wamp.registration.list"]
        a< [50,2,{},[{"exact":["$p"],"prefix":[],"wildcard":[]}]]
        a> [48,3,{},"wamp.registration.match",["p"]]
        a< [50,3,{},["$p"]]
        a> [48,4,{},"wamp.registration.match",["q"]]
        a< [50,4,{},[null]]
        a> [48,5,{},"wamp.registration.list_callees",["$p"]]
        a< [50,5,{},[["$b","$c"]]]
        a> [48,6,{},"wamp.registration.remove_callee",["$p","$b"]]
        b< [67,0,{"registration":"$p","reason":"wamp.close.killed"}]
        a< [36,"$meta","*",{"topic":"wamp.registration.on_unregister"},["$b","$p"]]
        a< [50,6,{}]
        c lost
        a< [36,"$meta","*",{"topic":"wamp.registration.on_unregister"},["$c","$p"]]
        a< [36,"$meta","*",{"topic":"wamp.registration.on_delete"},["$c","$p"]]
        a> [48,7,{},"wamp.registration.get",["$p"]]
        a< [8,48,7,{},"wamp.error.no_such_registration",["*"]]
        a quiet
        "#,
    )
    .await;
}

#[tokio::test]
async fn testaments_are_published_when_their_session_is_gone() {
    play(
        r#"
        a joins
        b joins
        a> [32,1,{},"com.last"]
        a< [33,1,"$sub"]
        b> [48,1,{},"wamp.session.add_testament",["com.last",["destroyed"],{}]]
        b< [50,1,{},["$second"]]
        b> [48,2,{},"wamp.session.add_testament",["com.last",["detached"],{"k":1}],{"scope":"detached"}]
        b< [50,2,{},["$first"]]
        b> [48,3,{},"wamp.session.add_testament",["com.last",[],{}],{"publish_options":{"exclude":["$a"]}}]
        b< [50,3,{},["*"]]
        b> [48,4,{},"wamp.session.add_testament",["com.last",[],{}],{"scope":"sometime"}]
        b< [8,48,4,{},"wamp.error.testament_error",["*"]]
        b> [48,5,{},"wamp.session.add_testament",["com.last"]]
        b< [8,48,5,{},"wamp.error.invalid_argument",["*"]]
        b lost
        a< [36,"$sub","$first",{},["detached"],{"k":1}]
        a< [36,"$sub","$second",{},["destroyed"]]
        a quiet
        c joins
        c> [48,1,{},"wamp.session.add_testament",["com.last",[],{}]]
        c< [50,1,{},["*"]]
        c> [48,2,{},"wamp.session.flush_testaments"]
        c< [50,2,{},[1]]
        c lost
        a quiet
        "#,
    )
    .await;
}

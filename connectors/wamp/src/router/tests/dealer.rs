//! Registering and calling.

use super::script::play;

#[tokio::test]
async fn calls_go_to_callees_and_results_come_back() {
    play(
        r#"
        a joins
        b joins
        b> [64,1,{},"com.add"]
        b< [65,1,"$reg"]
        a> [48,1,{},"com.add",[1,2],{"k":"v"}]
        b< [68,1,"$reg",{},[1,2],{"k":"v"}]
        b> [70,1,{},[3]]
        a< [50,1,{},[3]]
        a> [48,2,{},"com.add"]
        b< [68,2,"$reg",{}]
        b> [8,68,2,{},"com.error.sum",["too few"],{"needed":2}]
        a< [8,48,2,{},"com.error.sum",["too few"],{"needed":2}]
        b> [70,2,{},["late"]]
        a> [48,3,{},"com.sub"]
        a< [8,48,3,{},"wamp.error.no_such_procedure",["*"]]
        b> [66,2,"$reg"]
        b< [67,2]
        a> [48,4,{},"com.add"]
        a< [8,48,4,{},"wamp.error.no_such_procedure",["*"]]
        b> [66,3,"$reg"]
        b< [8,66,3,{},"wamp.error.no_such_registration",["*"]]
        b quiet
        a quiet
        "#,
    )
    .await;
}

#[tokio::test]
async fn the_best_pattern_is_called() {
    play(
        r#"
        a joins
        b joins
        b> [64,1,{"match":"prefix"},"com"]
        b< [65,1,"$short"]
        b> [64,2,{"match":"prefix"},"com.a"]
        b< [65,2,"$long"]
        b> [64,3,{"match":"wildcard"},"org..x"]
        b< [65,3,"$wildcard"]
        b> [64,4,{},"com.a.b"]
        b< [65,4,"$exact"]
        a> [48,1,{},"com.a.b"]
        b< [68,1,"$exact",{}]
        a> [48,2,{},"com.a.c"]
        b< [68,2,"$long",{"procedure":"com.a.c"}]
        a> [48,3,{},"com.x"]
        b< [68,3,"$short",{"procedure":"com.x"}]
        a> [48,4,{},"org.q.x"]
        b< [68,4,"$wildcard",{"procedure":"org.q.x"}]
        "#,
    )
    .await;
}

#[tokio::test]
async fn one_procedure_has_one_callee_unless_it_is_shared() {
    play(
        r#"
        a joins
        b joins
        a> [64,1,{},"com.p"]
        a< [65,1,"$p"]
        b> [64,1,{},"com.p"]
        b< [8,64,1,{},"wamp.error.procedure_already_exists",["*"]]
        a> [64,2,{"invoke":"roundrobin"},"com.q"]
        a< [65,2,"$q"]
        b> [64,2,{"invoke":"random"},"com.q"]
        b< [8,64,2,{},"wamp.error.procedure_already_exists",["*"]]
        b> [64,3,{"invoke":"roundrobin"},"com.q"]
        b< [65,3,"$q"]
        b> [64,4,{"invoke":"roundrobin"},"com.q"]
        b< [65,4,"$q"]
        b> [64,5,{"invoke":"all"},"com.r"]
        b< [8,64,5,{},"wamp.error.invalid_argument",["*"]]
        b> [64,6,{},"wamp.r"]
        b< [8,64,6,{},"wamp.error.invalid_uri",["*"]]
        "#,
    )
    .await;
}

#[tokio::test]
async fn shared_registrations_call_by_their_policy() {
    for (policy, order) in [("roundrobin", ["a", "b", "c", "a"]), ("first", ["a"; 4]), ("last", ["c"; 4])] {
        let mut script = "x joins\n".to_owned();
        for callee in ["a", "b", "c"] {
            script += &format!(
                "{callee} joins\n{callee}> [64,1,{{\"invoke\":\"{policy}\"}},\"p\"]\n{callee}< [65,1,\"$reg\"]\n"
            );
        }
        for (request, callee) in (1..).zip(order) {
            script += &format!("x> [48,{request},{{}},\"p\"]\n{callee}< [68,\"*\",\"$reg\",{{}}]\n");
        }
        play(&(script + "a quiet\nb quiet\nc quiet")).await;
    }
}

#[tokio::test]
async fn who_is_not_available_is_passed_over() {
    play(
        r#"
        x joins
        a joins
        b joins
        a> [64,1,{"invoke":"first"},"p"]
        a< [65,1,"$reg"]
        b> [64,1,{"invoke":"first"},"p"]
        b< [65,1,"$reg"]
        x> [48,1,{},"p",["work"]]
        a< [68,1,"$reg",{},["work"]]
        a> [8,68,1,{},"wamp.error.unavailable"]
        b< [68,1,"$reg",{},["work"]]
        b> [70,1,{},["done"]]
        x< [50,1,{},["done"]]
        x> [48,2,{},"p"]
        a< [68,2,"$reg",{}]
        a> [8,68,2,{},"wamp.error.unavailable"]
        b< [68,2,"$reg",{}]
        b> [8,68,2,{},"wamp.error.unavailable"]
        x< [8,48,2,{},"wamp.error.no_available_callee",["*"]]
        x quiet
        "#,
    )
    .await;
}

#[tokio::test]
async fn results_can_come_bit_by_bit_if_that_was_asked_for() {
    play(
        r#"
        x joins
        a joins
        a> [64,1,{},"p"]
        a< [65,1,"$reg"]
        x> [48,1,{"receive_progress":true},"p"]
        a< [68,1,"$reg",{"receive_progress":true}]
        a> [70,1,{"progress":true},[1]]
        x< [50,1,{"progress":true},[1]]
        a> [70,1,{"progress":true},[2]]
        x< [50,1,{"progress":true},[2]]
        a> [70,1,{},[3]]
        x< [50,1,{},[3]]
        x> [48,2,{},"p"]
        a< [68,2,"$reg",{}]
        a> [70,2,{"progress":true},[1]]
        a> [70,2,{},[2]]
        x< [50,2,{},[2]]
        b joins without callee.call_canceling
        b> [64,1,{},"q"]
        b< [65,1,"*"]
        x> [48,3,{"receive_progress":true},"q"]
        b< [68,1,"*",{}]
        c joins without callee.progressive_call_results
        c> [64,1,{},"r"]
        c< [65,1,"*"]
        x> [48,4,{},"r"]
        c< [68,1,"*",{}]
        c> [70,1,{"progress":true}]
        c< [3,"*","wamp.error.protocol_violation"]
        x< [8,48,4,{},"wamp.error.canceled",["*"]]
        "#,
    )
    .await;
}

#[tokio::test]
async fn calls_can_come_bit_by_bit() {
    play(
        r#"
        x joins
        a joins
        a> [64,1,{},"p"]
        a< [65,1,"$reg"]
        x> [48,1,{"progress":true,"disclose_me":true},"p",[1]]
        a< [68,1,"$reg",{"progress":true,"caller":"$x","caller_authid":"*","caller_authrole":"*"},[1]]
        x> [48,1,{"progress":true},"p",[2]]
        a< [68,1,"$reg",{"progress":true,"caller":"$x","caller_authid":"*","caller_authrole":"*"},[2]]
        x> [48,1,{},"p",[3]]
        a< [68,1,"$reg",{"caller":"$x","caller_authid":"*","caller_authrole":"*"},[3]]
        a> [70,1,{},["sum"]]
        x< [50,1,{},["sum"]]
        x> [48,1,{"progress":true},"p",["late"]]
        x> [48,2,{"progress":true},"p"]
        a< [68,2,"$reg",{"progress":true}]
        a> [70,2,{},["enough"]]
        x< [50,2,{},["enough"]]
        x> [48,2,{},"p",["late"]]
        a quiet
        b joins without callee.progressive_call_invocations
        b> [64,1,{},"q"]
        b< [65,1,"*"]
        x> [48,3,{"progress":true},"q"]
        x< [8,48,3,{},"wamp.error.feature_not_supported",["*"]]
        y joins without caller.progressive_call_invocations
        y> [48,1,{"progress":true},"p"]
        y< [3,"*","wamp.error.protocol_violation"]
        "#,
    )
    .await;
}

#[tokio::test]
async fn calls_can_be_canceled_in_three_ways() {
    play(
        r#"
        x joins
        a joins
        b joins without callee.call_canceling
        a> [64,1,{},"p"]
        a< [65,1,"$p"]
        b> [64,1,{},"q"]
        b< [65,1,"$q"]
        x> [48,1,{},"p"]
        a< [68,1,"$p",{}]
        x> [49,1,{"mode":"skip"}]
        x< [8,48,1,{},"wamp.error.canceled",["*"]]
        a> [70,1,{},["late"]]
        x> [48,2,{},"p"]
        a< [68,2,"$p",{}]
        x> [49,2,{"mode":"kill"}]
        a< [69,2,{"mode":"kill","reason":"wamp.error.canceled"}]
        x quiet
        a> [8,68,2,{},"wamp.error.canceled"]
        x< [8,48,2,{},"wamp.error.canceled"]
        x> [48,3,{},"p"]
        a< [68,3,"$p",{}]
        x> [49,3,{}]
        a< [69,3,{"mode":"killnowait","reason":"wamp.error.canceled"}]
        x< [8,48,3,{},"wamp.error.canceled",["*"]]
        a> [8,68,3,{},"wamp.error.canceled"]
        x> [48,4,{},"q"]
        b< [68,1,"$q",{}]
        x> [49,4,{"mode":"kill"}]
        x< [8,48,4,{},"wamp.error.canceled",["*"]]
        b quiet
        x> [49,99,{"mode":"kill"}]
        x quiet
        a quiet
        "#,
    )
    .await;
}

#[tokio::test]
async fn calls_time_out() {
    play(
        r#"
        x joins
        a joins
        a> [64,1,{},"p"]
        a< [65,1,"$p"]
        a> [64,2,{"forward_timeout":true},"q"]
        a< [65,2,"$q"]
        x> [48,1,{"timeout":30},"p"]
        a< [68,1,"$p",{}]
        x> [48,2,{"timeout":20000},"p"]
        a< [68,2,"$p",{}]
        wait 150
        a< [69,1,{"mode":"killnowait","reason":"wamp.error.timeout"}]
        x< [8,48,1,{},"wamp.error.timeout",["*"]]
        x> [48,3,{"timeout":10},"q"]
        a< [68,3,"$q",{"timeout":10}]
        wait 100
        x quiet
        a> [70,3,{},[3]]
        x< [50,3,{},[3]]
        a> [70,2,{},[2]]
        x< [50,2,{},[2]]
        x> [48,4,{"timeout":"soon"},"p"]
        x< [8,48,4,{},"wamp.error.invalid_argument",["*"]]
        "#,
    )
    .await;
}

#[tokio::test]
async fn callers_can_tell_who_they_are_and_callees_can_ask_for_it() {
    play(
        r#"
        x joins
        a joins
        a> [64,1,{},"p"]
        a< [65,1,"$p"]
        a> [64,2,{"disclose_caller":true},"q"]
        a< [65,2,"$q"]
        x> [48,1,{"disclose_me":true},"p"]
        a< [68,1,"$p",{"caller":"$x","caller_authid":"*","caller_authrole":"anonymous"}]
        x> [48,2,{},"q"]
        a< [68,2,"$q",{"caller":"$x","caller_authid":"*","caller_authrole":"anonymous"}]
        "#,
    )
    .await;
}

#[tokio::test]
async fn the_ends_of_callers_and_callees_end_their_calls() {
    play(
        r#"
        x joins
        y joins
        a joins
        a> [64,1,{},"p"]
        a< [65,1,"$p"]
        x> [48,1,{},"p"]
        a< [68,1,"$p",{}]
        y> [48,1,{},"p"]
        a< [68,2,"$p",{}]
        x lost
        a< [69,1,{"mode":"killnowait","reason":"wamp.error.canceled"}]
        a> [70,1,{},["late"]]
        a> [6,{},"wamp.close.normal"]
        a< [6,{},"wamp.close.goodbye_and_out"]
        y< [8,48,1,{},"wamp.error.canceled",["*"]]
        y> [48,2,{},"p"]
        y< [8,48,2,{},"wamp.error.no_such_procedure",["*"]]
        "#,
    )
    .await;
}

#[tokio::test]
async fn payloads_can_pass_through_where_both_sides_know_how() {
    play(
        r#"
        x joins
        y joins without caller.payload_passthru_mode
        a joins
        b joins without callee.payload_passthru_mode
        a> [64,1,{},"p"]
        a< [65,1,"$p"]
        b> [64,1,{},"q"]
        b< [65,1,"$q"]
        x> [48,1,{"ppt_scheme":"x_mine","ppt_keyid":"k"},"p",["\u0000AA=="]]
        a< [68,1,"$p",{"ppt_scheme":"x_mine","ppt_keyid":"k"},["\u0000AA=="]]
        a> [70,1,{"ppt_scheme":"x_mine"},["\u0000AA=="]]
        x< [50,1,{"ppt_scheme":"x_mine"},["\u0000AA=="]]
        x> [48,2,{"ppt_scheme":"x_mine"},"q"]
        x< [8,48,2,{},"wamp.error.feature_not_supported",["*"]]
        y> [48,1,{},"p"]
        a< [68,2,"$p",{}]
        a> [70,2,{"ppt_scheme":"x_mine"}]
        a< [8,70,2,{},"wamp.error.feature_not_supported",["*"]]
        y< [8,48,1,{},"wamp.error.feature_not_supported",["*"]]
        y> [48,2,{"ppt_scheme":"x_mine"},"p"]
        y< [3,"*","wamp.error.protocol_violation"]
        "#,
    )
    .await;
}

#[tokio::test]
async fn what_is_too_long_for_its_receiver_is_told_and_what_follows_comes() {
    play(
        r#"
        a joins
        b joins with little room
        b> [64,1,{},"com.take"]
        b< [65,1,"$take"]
        a> [48,1,{},"com.take",["$too_long"]]
        a< [8,48,1,{},"wamp.error.payload_size_exceeded",["*"]]
        b quiet
        a> [48,2,{},"com.take",["short"]]
        b< [68,1,"$take",{},["short"]]
        b> [70,1,{},["taken"]]
        a< [50,2,{},["taken"]]
        a> [64,3,{},"com.give"]
        a< [65,3,"$give"]
        b> [48,2,{},"com.give"]
        a< [68,1,"$give",{}]
        a> [70,1,{},["$too_long"]]
        b< [8,48,2,{},"wamp.error.payload_size_exceeded",["*"]]
        b> [48,3,{},"com.give"]
        a< [68,2,"$give",{}]
        a> [70,2,{},["short"]]
        b< [50,3,{},["short"]]
        b> [32,4,{},"t"]
        b< [33,4,"$t"]
        a> [16,4,{"acknowledge":true},"t",["$too_long"]]
        a< [17,4,"*"]
        a> [16,5,{},"t",["short"]]
        b< [36,"$t","*",{},["short"]]
        b quiet
        "#,
    )
    .await;
}

//! Every message by every serializer, and what is no message.

use bytes::Bytes;

use super::{Invocation, Match, Message, Publish, Request};
use crate::wire::{Dict, Payload, Serializer, Value};

/// Reads a message from JSON, and writes it by all serializers and back.
fn check(json: &str) -> Message {
    let message = Message::decode(Serializer::Json, &Bytes::copy_from_slice(json.as_bytes())).unwrap();
    assert_eq!(message.encode(Serializer::Json).unwrap(), json.as_bytes(), "{message:?}");
    for serializer in Serializer::ALL {
        let there = message.encode(serializer).unwrap();
        let back = Message::decode(serializer, &there).unwrap();
        assert_eq!(back.encode(Serializer::Json).unwrap(), json.as_bytes(), "by {}", serializer.name());
        assert_eq!(back.encode(serializer).unwrap(), there);
    }
    message
}

fn refuse(json: &str) -> String {
    Message::decode(Serializer::Json, &Bytes::copy_from_slice(json.as_bytes())).unwrap_err().to_string()
}

#[test]
fn all_messages_survive_all_serializers() {
    for json in [
        r#"[1,"realm1",{"roles":{"publisher":{},"caller":{"features":{"call_canceling":true}}}}]"#,
        r#"[2,9129137332,{"roles":{"broker":{}}}]"#,
        r#"[3,{"message":"The realm does not exist."},"wamp.error.no_such_realm"]"#,
        r#"[4,"wampcra",{"challenge":"{\"nonce\": \"x\"}"}]"#,
        r#"[5,"gir1mSx+deCDUV7wRM5SGIn/+R/ClqLZuH4m7FJeBVI=",{}]"#,
        r#"[6,{"message":"The host is shutting down now."},"wamp.close.system_shutdown"]"#,
        r#"[8,48,7814135,{},"com.myapp.error.object_write_protected",["Object is write protected."],{"severity":3}]"#,
        r#"[8,32,713845233,{},"wamp.error.not_authorized"]"#,
        r#"[16,239714735,{},"com.myapp.mytopic1"]"#,
        r#"[16,239714735,{"acknowledge":true},"com.myapp.mytopic1",["Hello, world!"]]"#,
        r#"[16,239714735,{},"com.myapp.mytopic1",[],{"color":"orange","sizes":[23,42,7]}]"#,
        r#"[17,239714735,4429313566]"#,
        r#"[32,713845233,{"match":"prefix"},"com.myapp.mytopic1"]"#,
        r#"[33,713845233,5512315355]"#,
        r#"[34,85346237,5512315355]"#,
        r#"[35,85346237]"#,
        r#"[35,0,{"subscription":1293722,"reason":"wamp.error.no_such_role"}]"#,
        r#"[36,5512315355,4429313566,{}]"#,
        r#"[36,5512315355,4429313566,{"publisher":7},[],{"color":"orange"}]"#,
        r#"[48,7814135,{"timeout":100},"com.myapp.user.new",["johnny"],{"firstname":"John"}]"#,
        r#"[49,7814135,{"mode":"kill"}]"#,
        r#"[50,7814135,{"progress":true},[30]]"#,
        r#"[64,25349185,{"invoke":"roundrobin"},"com.myapp.myprocedure1"]"#,
        r#"[65,25349185,2103333224]"#,
        r#"[66,788923562,2103333224]"#,
        r#"[67,788923562]"#,
        r#"[67,0,{"registration":1293722,"reason":"wamp.close.killed"}]"#,
        r#"[68,6131533,9823526,{},["johnny"],{"firstname":"John"}]"#,
        r#"[69,6131533,{"mode":"killnowait"}]"#,
        r#"[70,6131533,{},[],{"userid":123,"karma":10}]"#,
        r#"[70,6131533,{"progress":true},[null,true,false,-1,-200,1.5,"é\n",[{}],9007199254740992]]"#,
    ] {
        check(json);
    }
}

#[test]
fn fields_are_where_the_specification_has_them() {
    let Message::Publish(Publish { request, options, uri, payload }) =
        check(r#"[16,5,{"acknowledge":true},"a.b",[1],{"k":"v"}]"#)
    else {
        panic!("a PUBLISH")
    };
    assert_eq!((request, uri.as_str(), options.is_true("acknowledge")), (5, "a.b", true));
    assert_eq!(payload.args().unwrap(), [Value::Int(1)]);
    assert_eq!(payload.kwargs().unwrap(), Dict::new().with("k", "v"));
    let Message::Event(Invocation { first, second, .. }) = check("[36,1,2,{}]") else { panic!("an EVENT") };
    assert_eq!((first, second), (1, 2));
    let Message::Register(Request { uri, .. }) = check(r#"[64,1,{},"p"]"#) else { panic!("a REGISTER") };
    assert_eq!(uri, "p");
}

#[test]
fn a_payload_passes_untouched_where_serializers_are_the_same() {
    let json = r#"[48,1,{},"p",[ 1e400, 123456789012345678901234567890, 0.10 ],{"a" : "\u0041"}]"#;
    let message = Message::decode(Serializer::Json, &Bytes::from_static(json.as_bytes())).unwrap();
    let Message::Call(Publish { payload, .. }) = message else { panic!("a CALL") };
    let event = Message::Event(Invocation { first: 1, second: 2, details: Dict::new(), payload });
    let out = event.encode(Serializer::Json).unwrap();
    assert_eq!(
        out,
        r#"[36,1,2,{},[ 1e400, 123456789012345678901234567890, 0.10 ],{"a" : "\u0041"}]"#.as_bytes()
    );
    assert!(event.encode(Serializer::MsgPack).is_err(), "no other serializer has such a number");
}

#[test]
fn bytes_are_told_from_text_by_all_serializers() {
    let payload = Payload::of(vec![Value::Bytes(Bytes::from_static(b"\x10\xe3\xff")), "plain".into()]);
    let message = Message::Yield { request: 1, options: Dict::new(), payload };
    let json = message.encode(Serializer::Json).unwrap();
    assert_eq!(json, r#"[70,1,{},["\u0000EOP/","plain"]]"#.as_bytes());
    assert_eq!(
        message.encode(Serializer::MsgPack).unwrap(),
        b"\x94\x46\x01\x80\x92\xc4\x03\x10\xe3\xff\xa5plain"[..]
    );
    assert_eq!(
        message.encode(Serializer::Cbor).unwrap(),
        b"\x84\x18\x46\x01\xa0\x82\x43\x10\xe3\xff\x65plain"[..]
    );
    let Message::Yield { payload: read, .. } = Message::decode(Serializer::Json, &json).unwrap() else {
        panic!("a YIELD")
    };
    assert_eq!(read.args().unwrap(), payload_args(&message));
}

fn payload_args(message: &Message) -> Vec<Value> {
    let Message::Yield { payload, .. } = message else { panic!("a YIELD") };
    payload.args().unwrap()
}

#[test]
fn numbers_of_all_sizes_survive() {
    let edges = [0_i128, 23, 24, 127, 128, 255, 256, 65_535, 65_536, 1 << 32, (1 << 32) - 1, 1 << 53];
    let mut values: Vec<Value> =
        edges.iter().flat_map(|edge| [*edge, -edge, -edge - 1]).map(Value::Int).collect();
    values.extend([Value::Int(u64::MAX.into()), Value::Int(i64::MIN.into()), Value::Float(0.1)]);
    let long = "x".repeat(70_000);
    values.extend([Value::from(&long[..40]), Value::from(&long[..300]), Value::from(long)]);
    values.push(Value::List(vec![Value::Null; 20]));
    values.push(Value::List(vec![Value::Bool(true); 70_000]));
    for serializer in Serializer::ALL {
        for value in &values {
            let mut out = Vec::new();
            serializer.write(value, &mut out);
            assert_eq!(&serializer.read(&out).unwrap(), value, "{}", serializer.name());
        }
    }
}

#[test]
fn cbor_of_indefinite_length_and_msgpack_of_other_widths_are_read() {
    let read = |serializer: Serializer, bytes: &[u8]| serializer.read(bytes).unwrap();
    assert_eq!(
        read(Serializer::Cbor, b"\x9f\x01\x7f\x61a\x61b\xff\xff"),
        Value::List(vec![1.into(), "ab".into()])
    );
    assert_eq!(
        read(Serializer::Cbor, b"\xbf\x61a\xf9\x3c\x00\xff"),
        Dict::new().with("a", Value::Float(1.0)).into()
    );
    assert_eq!(read(Serializer::Cbor, b"\xc1\x1a\x51\x4b\x67\xb0"), Value::Int(1_363_896_240));
    assert_eq!(read(Serializer::Cbor, b"\xfa\x47\xc3\x50\x00"), Value::Float(100_000.0));
    assert_eq!(read(Serializer::MsgPack, b"\xd1\xff\x38"), Value::Int(-200));
    assert_eq!(read(Serializer::MsgPack, b"\xca\x3f\xc0\x00\x00"), Value::Float(1.5));
    assert_eq!(read(Serializer::MsgPack, b"\xdc\x00\x01\xe0"), Value::List(vec![Value::Int(-32)]));
}

#[test]
fn what_is_no_message_is_told() {
    assert!(refuse("{}").contains("no JSON message"));
    assert!(refuse("[1,").contains("no JSON message"));
    assert!(refuse("[]").contains("field 0 is missing"));
    assert!(refuse("[true]").contains("field 0 is not a whole number"));
    assert!(refuse("[7]").contains("there is no message with code 7"));
    assert!(refuse(r#"[1,"r"]"#).contains("HELLO: it has 2 fields, not 1"));
    assert!(refuse(r#"[32,0,{},"a"]"#).contains("not an id"));
    assert!(refuse(r#"[32,9007199254740993,{},"a"]"#).contains("not an id"));
    assert!(refuse(r#"[32,1.0,{},"a"]"#).contains("not a whole number"));
    assert!(refuse(r#"[32,true,{},"a"]"#).contains("not a whole number"));
    assert!(refuse(r#"[32,1,[],"a"]"#).contains("not a dictionary"));
    assert!(refuse(r#"[16,1,{},"a",{}]"#).contains("positional arguments are a list"));
    assert!(refuse(r#"[16,1,{},"a",[],[]]"#).contains("named arguments are a dictionary"));
    assert!(refuse(r#"[16,1,{},"a",[],{},7]"#).contains("too many items"));
    assert!(refuse(r#"[35,5,{}]"#).contains("request 5 has details"));
    assert_eq!(
        Message::decode(Serializer::Json, &Bytes::from_static(b"[337,5]")).unwrap(),
        Message::Extension { code: 337 }
    );
}

#[test]
fn damaged_bytes_never_do_harm() {
    let deep = [b"\x91".repeat(100_000), b"\x81".repeat(100_000), vec![0xdd, 0xff, 0xff, 0xff, 0xff]];
    for bytes in deep {
        for serializer in Serializer::ALL {
            assert!(Message::decode(serializer, &Bytes::from(bytes.clone())).is_err());
            assert!(serializer.read(&bytes).is_err());
        }
    }
    let good = Message::Publish(Publish {
        request: 3,
        options: Dict::new().with("exclude", vec![1_u64, 2]).with("acknowledge", true),
        uri: "com.example.topic".into(),
        payload: Payload::new(vec![1.5.into_value(), "é".into()], Dict::new().with("k", Value::Null)),
    });
    for serializer in Serializer::ALL {
        let bytes = good.encode(serializer).unwrap();
        for at in 0..bytes.len() {
            assert!(Message::decode(serializer, &bytes.slice(..at)).is_err(), "cut at {at}");
            for bit in 0..8 {
                let mut flipped = bytes.to_vec();
                flipped[at] ^= 1 << bit;
                if let Ok(message) = Message::decode(serializer, &flipped.into()) {
                    for other in Serializer::ALL {
                        let _ = message.encode(other);
                    }
                }
            }
        }
    }
}

trait IntoValue {
    fn into_value(self) -> Value;
}

impl IntoValue for f64 {
    fn into_value(self) -> Value {
        Value::Float(self)
    }
}

#[test]
fn patterns_match() {
    assert!(Match::Prefix.matches("com.a", "com.abc") && Match::Prefix.matches("", "x"));
    assert!(!Match::Prefix.matches("com.abc", "com.ab"));
    assert!(Match::Wildcard.matches("com..update", "com.x.update") && Match::Wildcard.matches(".", "a.b"));
    assert!(!Match::Wildcard.matches("com..update", "com.x.y.update"));
    assert!(!Match::Wildcard.matches("com..", "com.x"));
    assert_eq!(Match::from_name("wildcard"), Some(Match::Wildcard));
    assert_eq!(Match::from_name("glob"), None);
}

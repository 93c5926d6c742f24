//! Every method, with right and wrong proofs.

use headwater_core::World;

use super::cryptosign::is_right;
use super::{
    AuthOptions, Authenticator, Begin, Credential, Denied, Hello, Pending, Principal, Secret, scram,
};
use crate::message::uri::error;
use crate::realm::Identity;
use crate::wire::{Dict, Value};

fn authenticator() -> Authenticator {
    let principal = |authid: &str, credentials| Principal {
        authid: authid.into(),
        role: "device".into(),
        credentials,
        extra: Dict::new(),
    };
    let salt = Some("salt123".to_owned());
    let options = AuthOptions {
        anonymous: Some("guest".into()),
        principals: vec![
            principal("tina", vec![Credential::Ticket(Secret::new("ticket!"))]),
            principal(
                "cora",
                vec![Credential::Cra { secret: Secret::new("s3cret"), salt: None, iterations: 0 }],
            ),
            principal("cleo", vec![Credential::Cra { secret: Secret::new("s3cret"), salt, iterations: 100 }]),
            principal("sam", vec![Credential::Scram(Secret::new("pencil"))]),
        ],
    };
    Authenticator::new(World::real(), "realm1", options)
}

fn hello(authid: &str, methods: &[&str]) -> Dict {
    Dict::new()
        .with("authid", authid)
        .with("authmethods", methods.to_vec())
        .with("authextra", Dict::new().with("nonce", "egVDf3DMJh0="))
}

fn begin(details: &Dict) -> Begin {
    authenticator().begin(&Hello { session: 7, details })
}

fn challenge(details: &Dict) -> (&'static str, Dict, Pending) {
    match begin(details) {
        Begin::Challenge { method, extra, pending } => (method, extra, pending),
        other => panic!("a challenge, not {other:?}"),
    }
}

fn finish(pending: Pending, proof: &str, extra: &Dict) -> Result<Identity, Denied> {
    pending.finish(proof, extra)
}

#[test]
fn the_first_method_that_can_be_served_is_taken() {
    let method = |authid: &str, methods: &[&str]| match begin(&hello(authid, methods)) {
        Begin::Welcome(identity) => identity.authmethod,
        Begin::Challenge { method, .. } => method.to_owned(),
        Begin::Deny(denied) => denied.reason.to_owned(),
    };
    assert_eq!(method("tina", &["wampcra", "ticket", "anonymous"]), "ticket");
    assert_eq!(method("tina", &["anonymous", "ticket"]), "anonymous");
    assert_eq!(method("tina", &["cryptosign", "tls"]), error::NO_MATCHING_AUTH_METHOD);
    assert_eq!(method("nobody", &["ticket"]), "ticket");
    assert!(matches!(begin(&Dict::new()), Begin::Welcome(identity) if identity.authrole == "guest"));
}

#[test]
fn tickets() {
    let ask = || challenge(&hello("tina", &["ticket"])).2;
    let identity = finish(ask(), "ticket!", &Dict::new()).unwrap();
    assert_eq!((identity.authid.as_str(), identity.authrole.as_str()), ("tina", "device"));
    assert_eq!(finish(ask(), "ticket?", &Dict::new()), Err(Denied::wrong()));
    assert_eq!(finish(ask(), "", &Dict::new()), Err(Denied::wrong()));
    let nobody = challenge(&hello("nobody", &["ticket"])).2;
    assert_eq!(finish(nobody, "ticket!", &Dict::new()), Err(Denied::wrong()));
}

#[test]
fn wampcra_says_what_the_specification_wants_in_its_challenge() {
    let (method, extra, pending) = challenge(&hello("cora", &["wampcra"]));
    assert_eq!(method, "wampcra");
    let text = extra.text("challenge").unwrap();
    let Value::Dict(asked) = crate::wire::Serializer::Json.read(text.as_bytes()).unwrap() else {
        panic!("a dictionary")
    };
    for key in ["authid", "authrole", "authmethod", "authprovider", "nonce", "timestamp", "session"] {
        assert!(asked.get(key).is_some(), "{key}");
    }
    assert_eq!(asked.get("session"), Some(&Value::Int(7)));
    assert_eq!(finish(pending, "AAAA", &Dict::new()), Err(Denied::wrong()));
    let (_, salted, _) = challenge(&hello("cleo", &["wampcra"]));
    assert_eq!((salted.text("salt"), salted.get("keylen")), (Some("salt123"), Some(&Value::Int(32))));
}

#[test]
fn scram_in_both_dialects() {
    for method in ["wamp-scram", "scram"] {
        let (asked, extra, pending) = challenge(&hello("sam", &[method]));
        assert_eq!(asked, method);
        assert!(extra.text("nonce").unwrap().starts_with("egVDf3DMJh0="));
        let proof = scram::prove(method, "sam", "pencil", "egVDf3DMJh0=", &extra);
        let answer = Dict::new().with("nonce", extra.text("nonce").unwrap());
        let identity = finish(pending, &proof, &answer).unwrap();
        let own = if method == "scram" { "scram_server_signature" } else { "verifier" };
        assert!(identity.authextra.text(own).is_some());

        let (_, extra, pending) = challenge(&hello("sam", &[method]));
        let proof = scram::prove(method, "sam", "pencils", "egVDf3DMJh0=", &extra);
        let answer = Dict::new().with("nonce", extra.text("nonce").unwrap());
        assert_eq!(finish(pending, &proof, &answer), Err(Denied::wrong()));
    }
    let (_, extra, pending) = challenge(&hello("sam", &["wamp-scram"]));
    let proof = scram::prove("wamp-scram", "sam", "pencil", "egVDf3DMJh0=", &extra);
    assert!(finish(pending, &proof, &Dict::new()).unwrap_err().message.contains("nonce"));
}

#[test]
fn names_that_nobody_knows_look_like_others() {
    let known = challenge(&hello("sam", &["scram"])).1;
    let judge = authenticator();
    let salt_of = |name: &str| {
        let details = hello(name, &["scram"]);
        match judge.begin(&Hello { session: 7, details: &details }) {
            Begin::Challenge { extra, .. } => extra.text("salt").unwrap().to_owned(),
            other => panic!("a challenge, not {other:?}"),
        }
    };
    assert_eq!(salt_of("nobody"), salt_of("nobody"));
    assert_ne!(salt_of("nobody"), salt_of("somebody"));
    assert_eq!(salt_of("nobody").len(), known.text("salt").unwrap().len());
}

/// A signature of the specification's chapter on cryptosign: what Crossbar.io once answered to a client's challenge.
#[test]
fn cryptosign_by_an_exchange_in_the_specification() {
    let key = "4a3838f6fe75251e613329d53fc69b262d5eac97fb1d73bebbaed4015b53c862";
    let challenge = "bbae60ea44cdd7b20dc7010a618b0f0803fab25a817520b4b7f057299b524deb";
    let signature = "fd5128d2d207ba58a9d1d6f41b72c747964ad9d1294077b3b1eee6130b05843a\
                     b12c53c7f2519f73d4feb82db19d8ca0fc26b62bde6518e79a882f5795bc9f00";
    assert!(is_right(key, challenge, &format!("{signature}{challenge}")));
    let other = challenge.replace("bbae", "bbaf");
    assert!(!is_right(key, &other, &format!("{signature}{challenge}")), "another challenge was signed");
    assert!(!is_right(key, &other, &format!("{signature}{other}")), "the signature is not of this");
    assert!(!is_right(key, challenge, signature) && !is_right(key, challenge, "abc"));
}

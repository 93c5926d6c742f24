//! What a peer said in HELLO that it can do.

use crate::wire::{Dict, Value};

/// The features that the router must ask for before it uses them, by role.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the specification, after the role")]
pub struct Features {
    pub callee_progress: bool,
    pub callee_progressive_invocations: bool,
    pub callee_canceling: bool,
    pub callee_timeout: bool,
    pub callee_passthru: bool,
    pub callee_revocation: bool,
    pub caller_progress: bool,
    pub caller_progressive_invocations: bool,
    pub caller_passthru: bool,
    pub publisher_passthru: bool,
    pub subscriber_revocation: bool,
    /// Ours, for a part of this process: events that are meant for some names or roles only come, too, and say for whom.
    pub subscriber_receivers: bool,
}

/// The feature, and the detail of an event, by which a recorder learns for whom the event is meant.
pub(crate) const RECEIVERS: &str = "x_receivers";

/// The roles that a client can have.
const ROLES: [&str; 4] = ["publisher", "subscriber", "caller", "callee"];

impl Features {
    /// Reads `details.roles` of HELLO; the error says what is wrong with it.
    pub fn read(details: &Dict) -> Result<Self, String> {
        let roles =
            details.get("roles").and_then(Value::as_dict).ok_or("details.roles is not a dictionary")?;
        if !ROLES.iter().any(|role| roles.get(role).is_some()) {
            return Err("details.roles has none of publisher, subscriber, caller and callee".to_owned());
        }
        for role in ROLES {
            if roles.get(role).is_some_and(|role| role.as_dict().is_none()) {
                return Err(format!("details.roles.{role} is not a dictionary"));
            }
        }
        let has = |role: &str, feature: &str| {
            let features = roles.get(role).and_then(Value::as_dict).and_then(|role| role.get("features"));
            features.and_then(Value::as_dict).is_some_and(|features| features.is_true(feature))
        };
        // One paragraph of the specification writes it with two l.
        let canceling = |role| has(role, "call_canceling") || has(role, "call_cancelling");
        Ok(Self {
            callee_progress: has("callee", "progressive_call_results"),
            callee_progressive_invocations: has("callee", "progressive_call_invocations"),
            callee_canceling: canceling("callee"),
            callee_timeout: has("callee", "call_timeout"),
            callee_passthru: has("callee", "payload_passthru_mode"),
            callee_revocation: has("callee", "registration_revocation"),
            caller_progress: has("caller", "progressive_call_results"),
            caller_progressive_invocations: has("caller", "progressive_call_invocations"),
            caller_passthru: has("caller", "payload_passthru_mode"),
            publisher_passthru: has("publisher", "payload_passthru_mode"),
            subscriber_revocation: has("subscriber", "subscription_revocation"),
            subscriber_receivers: has("subscriber", RECEIVERS),
        })
    }

    /// What a client of this crate can do, for HELLO. Whether `receivers` are told, only the router of this process understands.
    pub(crate) fn of_a_client(receivers: bool) -> Dict {
        let mut subscriber =
            vec!["pattern_based_subscription", "publisher_identification", "subscription_revocation"];
        subscriber.extend(receivers.then_some(RECEIVERS));
        Dict::new()
            .with("publisher", features(&["publisher_identification"]))
            .with("subscriber", features(&subscriber))
            .with("caller", features(&[]))
            .with(
                "callee",
                features(&["progressive_call_results", "call_canceling", "caller_identification"]),
            )
    }

    /// What the router can do, for WELCOME. Whether it has a history depends on who runs it.
    pub fn of_the_router(has_history: bool) -> Dict {
        let mut broker = vec![
            "subscriber_blackwhite_listing",
            "publisher_exclusion",
            "publisher_identification",
            "publication_trustlevels",
            "session_meta_api",
            "subscription_meta_api",
            "pattern_based_subscription",
            "event_retention",
            "subscription_revocation",
            "payload_passthru_mode",
        ];
        broker.extend(has_history.then_some("event_history"));
        let dealer = features(&[
            "progressive_call_results",
            "progressive_call_invocations",
            "call_timeout",
            "call_canceling",
            "caller_identification",
            "call_trustlevels",
            "session_meta_api",
            "registration_meta_api",
            "pattern_based_registration",
            "shared_registration",
            "registration_revocation",
            "testament_meta_api",
            "payload_passthru_mode",
            "call_reroute",
        ]);
        Dict::new().with("broker", features(&broker)).with("dealer", dealer)
    }
}

fn features(names: &[&str]) -> Dict {
    let features = names.iter().fold(Dict::new(), |dict, name| dict.with(name, true));
    Dict::new().with("features", features)
}

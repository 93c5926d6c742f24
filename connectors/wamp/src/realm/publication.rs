//! One publication on its way to subscribers: what it says, and who may receive it.

use std::sync::Arc;

use crate::message::Id;
use crate::wire::{Dict, Payload, Value};

use super::Peer;

/// The keys by which a payload says that the router is not to look into it.
pub(super) const PASSTHRU: [&str; 4] = ["ppt_scheme", "ppt_serializer", "ppt_cipher", "ppt_keyid"];

/// One publication.
#[derive(Debug, Clone)]
pub struct Publication {
    /// Its id.
    pub id: Id,
    /// The topic.
    pub topic: Arc<str>,
    /// What it says.
    pub payload: Payload,
    /// What every receiver is told: the publisher, if that is disclosed, the trust level, keys of passthru.
    pub details: Dict,
    /// Who may receive it.
    pub receivers: Receivers,
}

/// Who may receive a publication. All conditions must hold.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Receivers {
    /// The publisher itself, if it is not to receive its own publication.
    pub publisher: Option<Id>,
    /// Sessions that may not.
    pub exclude: Vec<Id>,
    /// Names that may not.
    pub exclude_authid: Vec<String>,
    /// Roles that may not.
    pub exclude_authrole: Vec<String>,
    /// Sessions of which one it must be.
    pub eligible: Option<Vec<Id>>,
    /// Names of which one it must be.
    pub eligible_authid: Option<Vec<String>>,
    /// Roles of which one it must be.
    pub eligible_authrole: Option<Vec<String>>,
}

impl Receivers {
    /// Reads the options of PUBLISH; the error says which is wrong.
    pub(crate) fn read(options: &Dict, publisher: Id) -> Result<Self, String> {
        let exclude_me = options.get("exclude_me").and_then(Value::as_bool).unwrap_or(true);
        Ok(Self {
            publisher: exclude_me.then_some(publisher),
            exclude: list(options, "exclude", Value::as_u64)?.unwrap_or_default(),
            exclude_authid: list(options, "exclude_authid", text)?.unwrap_or_default(),
            exclude_authrole: list(options, "exclude_authrole", text)?.unwrap_or_default(),
            eligible: list(options, "eligible", Value::as_u64)?,
            eligible_authid: list(options, "eligible_authid", text)?,
            eligible_authrole: list(options, "eligible_authrole", text)?,
        })
    }

    /// Whether a session is among them.
    pub fn admit(&self, peer: &Peer) -> bool {
        let (authid, authrole) = (&peer.identity.authid, &peer.identity.authrole);
        self.publisher != Some(peer.id)
            && !self.exclude.contains(&peer.id)
            && self.admit_identity(authid, authrole)
            && self.eligible.as_ref().is_none_or(|eligible| eligible.contains(&peer.id))
    }

    /// Whether somebody is among them as far as name and role go.
    pub fn admit_identity(&self, authid: &String, authrole: &String) -> bool {
        !self.exclude_authid.contains(authid)
            && !self.exclude_authrole.contains(authrole)
            && self.eligible_authid.as_ref().is_none_or(|eligible| eligible.contains(authid))
            && self.eligible_authrole.as_ref().is_none_or(|eligible| eligible.contains(authrole))
    }

    /// What a record is to say of them, in the words of PUBLISH's options; `None` if they are everybody, or sessions that are named.
    pub(super) fn noted(&self) -> Option<Dict> {
        let mut noted = Dict::new();
        let mut note = |key: &str, list: Value| noted.insert(key, list);
        if !self.exclude.is_empty() {
            note("exclude", self.exclude.clone().into());
        }
        for (key, excluded) in
            [("exclude_authid", &self.exclude_authid), ("exclude_authrole", &self.exclude_authrole)]
        {
            if !excluded.is_empty() {
                note(key, excluded.clone().into());
            }
        }
        for (key, eligible) in
            [("eligible_authid", &self.eligible_authid), ("eligible_authrole", &self.eligible_authrole)]
        {
            if let Some(eligible) = eligible {
                note(key, eligible.clone().into());
            }
        }
        (self.eligible.is_none() && !noted.is_empty()).then_some(noted)
    }

    /// Whether sessions are named: such a publication means nothing to sessions that come later.
    pub fn name_sessions(&self) -> bool {
        !self.exclude.is_empty() || self.eligible.is_some()
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn list<T>(options: &Dict, key: &str, item: impl Fn(&Value) -> Option<T>) -> Result<Option<Vec<T>>, String> {
    let Some(value) = options.get(key).filter(|value| !value.is_null()) else { return Ok(None) };
    // One by itself stands for a list of it.
    if let Some(one) = item(value) {
        return Ok(Some(vec![one]));
    }
    let items = value.as_list().and_then(|list| list.iter().map(item).collect());
    items.map(Some).ok_or_else(|| format!("option {key} is not a list of the right kind"))
}

/// Copies the keys of passthru from options to details. Whether there are any.
pub(super) fn pass_through(options: &Dict, details: &mut Dict) -> bool {
    if options.text("ppt_scheme").is_none_or(str::is_empty) {
        return false;
    }
    for key in PASSTHRU {
        if let Some(value) = options.get(key) {
            details.insert(key, value.clone());
        }
    }
    true
}

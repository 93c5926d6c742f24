//! Who a session belongs to.

use crate::wire::Dict;

/// Who a session belongs to, as authentication found out.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Identity {
    /// The name under which the peer is known.
    pub authid: String,
    /// The role that says what it may do.
    pub authrole: String,
    /// How it proved who it is.
    pub authmethod: String,
    /// Who knew.
    pub authprovider: String,
    /// What the method says beside.
    pub authextra: Dict,
}

impl Identity {
    /// Who a part of this process is.
    pub fn of_this_process(name: &str) -> Self {
        Self {
            authid: name.to_owned(),
            authrole: "headwater".to_owned(),
            authmethod: "process".to_owned(),
            authprovider: "process".to_owned(),
            authextra: Dict::new(),
        }
    }

    /// The fields, as details have them.
    pub fn describe(&self, details: &mut Dict) {
        details.insert("authid", self.authid.as_str());
        details.insert("authrole", self.authrole.as_str());
        details.insert("authmethod", self.authmethod.as_str());
        details.insert("authprovider", self.authprovider.as_str());
    }
}

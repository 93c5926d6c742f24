//! The configuration of the gateway, as its file has it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use headwater_connectors::fill_from_environment;
use serde::Deserialize;

use crate::auth::{AuthOptions, Credential, Principal, Secret};
use crate::message::{Match, uri};
use crate::net::ServerTls;
use crate::realm::{Permission, RealmOptions, Role, WhenFull};
use crate::router::{RealmSetup, RouterOptions};
use crate::wire::Dict;

/// The realm that there is when none is given: the one of all examples.
const USUAL_REALM: &str = "realm1";

/// What the file says about WAMP.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WampConfig {
    /// Where to listen.
    pub listen: SocketAddr,
    /// The certificate for TLS, in PEM.
    pub tls_certificate: Option<PathBuf>,
    /// Its key, in PEM.
    pub tls_key: Option<PathBuf>,
    /// How many bytes may wait for one session.
    pub mailbox_bytes_max: Option<usize>,
    /// How many messages may wait for one session.
    pub mailbox_messages_max: Option<usize>,
    /// What happens to events for a session whose mailbox is full: `skip` or `cut`.
    pub when_full: Option<String>,
    /// How long a message may be that comes in.
    pub message_bytes_max: Option<usize>,
    /// How many connections there may be.
    pub connections_max: Option<usize>,
    /// How often a silent peer is asked for a sign of life, in seconds.
    pub ping_seconds: Option<u64>,
    /// The realms; without any there is one, `realm1`, that is open to everybody.
    #[serde(default)]
    pub realms: Vec<RealmConfig>,
}

/// A realm.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RealmConfig {
    /// The name.
    pub name: String,
    /// The role of those who do not say who they are; without it they do not come in.
    pub anonymous: Option<String>,
    /// Whether URIs are made of small letters, digits and underscores only.
    #[serde(default)]
    pub strict_uris: bool,
    /// Whether request ids must follow one another; on unless switched off.
    pub sequential_requests: Option<bool>,
    /// The roles; without any everybody may do everything.
    #[serde(default)]
    pub roles: Vec<RoleConfig>,
    /// Who is known.
    #[serde(default)]
    pub principals: Vec<PrincipalConfig>,
    /// Procedures that the router itself offers.
    #[serde(default)]
    pub procedures: Vec<ProcedureConfig>,
}

/// A procedure whose calls run a query.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProcedureConfig {
    /// The URI by which it is called.
    pub uri: String,
    /// The query. `$1`, `$2` are positional arguments, `$name` are named ones.
    pub query: String,
    /// How many rows a result has at most; a caller that asks for progressive results gets more, in parts of so many.
    pub rows_max: Option<usize>,
}

/// A role.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoleConfig {
    /// The name.
    pub name: String,
    /// How far it is to be trusted.
    pub trustlevel: Option<u64>,
    /// What it may do.
    #[serde(default)]
    pub permissions: Vec<PermissionConfig>,
}

/// What a role may do with some URIs.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PermissionConfig {
    /// The URI, or the pattern.
    pub uri: String,
    /// `exact`, unless it is `prefix` or `wildcard`.
    #[serde(default, rename = "match")]
    pub matching: Option<String>,
    /// Any of `call`, `register`, `publish`, `subscribe`.
    pub allow: Vec<String>,
    /// `allowed` (unless set), `never` or `always`: whether publishers and callers are told to receivers.
    pub disclose: Option<String>,
}

/// Somebody who is known, and by what. Secrets may be taken from the environment, as `{{ VARIABLE }}`.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrincipalConfig {
    /// The name.
    pub authid: String,
    /// The role.
    pub role: String,
    /// For `ticket`.
    ticket: Option<String>,
    /// For `wampcra`.
    secret: Option<String>,
    /// For `wampcra`: what the client derives the key with.
    salt: Option<String>,
    /// For `wampcra`: how often that goes round.
    iterations: Option<u32>,
    /// For `wamp-scram`, and `scram`.
    password: Option<String>,
    /// For `cryptosign`: 64 hexadecimal digits.
    public_key: Option<String>,
}

impl std::fmt::Debug for PrincipalConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PrincipalConfig")
            .field("authid", &self.authid)
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

impl WampConfig {
    /// One open realm on a port.
    pub fn open(listen: SocketAddr) -> Self {
        Self {
            listen,
            tls_certificate: None,
            tls_key: None,
            mailbox_bytes_max: None,
            mailbox_messages_max: None,
            when_full: None,
            message_bytes_max: None,
            connections_max: None,
            ping_seconds: None,
            realms: Vec::new(),
        }
    }

    /// The procedures of each realm that has some; the error says what cannot be registered.
    pub(super) fn procedures(&self) -> Result<Vec<(String, Vec<ProcedureConfig>)>, String> {
        for realm in &self.realms {
            for (at, ProcedureConfig { uri, .. }) in realm.procedures.iter().enumerate() {
                let wrong = |why: &str| Err(format!("wamp: realm {}: procedure {uri:?} {why}", realm.name));
                if !uri::is_valid(uri, realm.strict_uris) || uri::is_reserved(uri) {
                    return wrong("cannot be called so");
                }
                if realm.procedures[..at].iter().any(|other| other.uri == *uri) {
                    return wrong("is there twice");
                }
            }
        }
        let with_some = self.realms.iter().filter(|realm| !realm.procedures.is_empty());
        Ok(with_some.map(|realm| (realm.name.clone(), realm.procedures.clone())).collect())
    }

    /// Certificate and key, if both are given.
    pub(super) fn tls(&self) -> Option<ServerTls> {
        let (certificate, key) = (self.tls_certificate.clone()?, self.tls_key.clone()?);
        Some(ServerTls { certificate, key, client_ca: None })
    }

    /// What the router is set up with; the error says what cannot be used.
    pub(super) fn options(self) -> Result<RouterOptions, String> {
        if self.tls_certificate.is_some() != self.tls_key.is_some() {
            return Err("wamp: tls_certificate and tls_key belong together".to_owned());
        }
        let realms = match self.realms.is_empty() {
            true => vec![RealmSetup { options: RealmOptions::new(USUAL_REALM), auth: AuthOptions::open() }],
            false => self.realms.into_iter().map(RealmConfig::setup).collect::<Result<_, _>>()?,
        };
        let mut options = RouterOptions::new(realms);
        options.mailbox.when_full = match self.when_full.as_deref() {
            None | Some("skip") => WhenFull::Skip,
            Some("cut") => WhenFull::Cut,
            Some(other) => return Err(format!("wamp: when_full is skip or cut, not {other:?}")),
        };
        fn set<T>(given: Option<T>, option: &mut T) {
            if let Some(given) = given {
                *option = given;
            }
        }
        set(self.mailbox_bytes_max, &mut options.mailbox.bytes_max);
        set(self.mailbox_messages_max, &mut options.mailbox.messages_max);
        set(self.message_bytes_max, &mut options.message_bytes_max);
        set(self.connections_max, &mut options.connections_max);
        set(self.ping_seconds.map(Duration::from_secs), &mut options.ping_interval);
        Ok(options)
    }
}

impl RealmConfig {
    fn setup(self) -> Result<RealmSetup, String> {
        let name = self.name;
        let wrong = |why: String| format!("wamp: realm {name}: {why}");
        if !uri::is_valid_realm(&name) {
            return Err(wrong("a realm cannot be called so".to_owned()));
        }
        let roles =
            self.roles.into_iter().map(RoleConfig::role).collect::<Result<Vec<_>, _>>().map_err(wrong)?;
        let is_known = |role: &str| roles.is_empty() || roles.iter().any(|known| known.name == role);
        if let Some(role) = self.anonymous.as_deref().filter(|role| !is_known(role)) {
            return Err(wrong(format!("there is no role {role:?} for anonymous sessions")));
        }
        let mut principals = Vec::new();
        for one in self.principals {
            if !is_known(&one.role) {
                return Err(wrong(format!("there is no role {:?} for {}", one.role, one.authid)));
            }
            principals.push(one.principal().map_err(wrong)?);
        }
        let mut options = RealmOptions::new(name.as_str());
        options.roles = roles;
        options.strict_uris = self.strict_uris;
        options.sequential_requests = self.sequential_requests.unwrap_or(true);
        Ok(RealmSetup { options, auth: AuthOptions { anonymous: self.anonymous, principals } })
    }
}

impl RoleConfig {
    fn role(self) -> Result<Role, String> {
        let permissions =
            self.permissions.into_iter().map(PermissionConfig::permission).collect::<Result<_, _>>()?;
        Ok(Role { name: self.name, permissions, trustlevel: self.trustlevel })
    }
}

impl PermissionConfig {
    fn permission(self) -> Result<Permission, String> {
        let uri = self.uri;
        let matching = self.matching.as_deref().unwrap_or("exact");
        let matching = Match::from_name(matching)
            .ok_or_else(|| format!("{uri:?}: match is exact, prefix or wildcard, not {matching:?}"))?;
        let (may_disclose, always_disclose) = match self.disclose.as_deref() {
            None | Some("allowed") => (true, false),
            Some("never") => (false, false),
            Some("always") => (true, true),
            Some(other) => {
                return Err(format!("{uri:?}: disclose is allowed, never or always, not {other:?}"));
            }
        };
        let known = ["call", "register", "publish", "subscribe"];
        if let Some(other) = self.allow.iter().find(|action| !known.contains(&action.as_str())) {
            return Err(format!("{uri:?}: allow has call, register, publish and subscribe, not {other:?}"));
        }
        let has = |action: &str| self.allow.iter().any(|allowed| allowed == action);
        Ok(Permission {
            call: has("call"),
            register: has("register"),
            publish: has("publish"),
            subscribe: has("subscribe"),
            uri,
            matching,
            may_disclose,
            always_disclose,
        })
    }
}

impl PrincipalConfig {
    fn principal(self) -> Result<Principal, String> {
        let authid = self.authid;
        let secret = |text: Option<String>| {
            let text = text.map(|text| fill_from_environment(&text)).transpose();
            text.map_err(|why| format!("{authid}: {why}"))
        };
        let mut credentials = Vec::new();
        credentials.extend(secret(self.ticket)?.map(|ticket| Credential::Ticket(Secret::new(ticket))));
        credentials.extend(secret(self.secret)?.map(|secret| Credential::Cra {
            secret: Secret::new(secret),
            salt: self.salt,
            iterations: self.iterations.unwrap_or(1_000),
        }));
        credentials.extend(secret(self.password)?.map(|password| Credential::Scram(Secret::new(password))));
        credentials.extend(self.public_key.map(Credential::Cryptosign));
        if credentials.is_empty() {
            return Err(format!("{authid} has none of ticket, secret, password and public_key"));
        }
        Ok(Principal { authid, role: self.role, credentials, extra: Dict::new() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<RouterOptions, String> {
        let config = toml::from_str::<WampConfig>(text).map_err(|error| error.to_string())?;
        config.procedures()?;
        config.options()
    }

    #[test]
    fn a_configuration_becomes_realms_roles_and_principals() {
        let options = read(
            r#"
            listen = "127.0.0.1:8080"
            when_full = "cut"
            [[realms]]
            name = "home"
            anonymous = "guest"
            [[realms.roles]]
            name = "guest"
            [[realms.roles]]
            name = "device"
            permissions = [{ uri = "com.home.", match = "prefix", allow = ["publish"], disclose = "always" }]
            [[realms.principals]]
            authid = "t7"
            role = "device"
            ticket = "abc"
            password = "def"
            "#,
        )
        .unwrap();
        let realm = &options.realms[0];
        assert_eq!(options.mailbox.when_full, WhenFull::Cut);
        assert_eq!(realm.auth.principals[0].credentials.len(), 2);
        let permission = &realm.options.roles[1].permissions[0];
        assert!(permission.publish && !permission.call && permission.always_disclose);
        assert!(!format!("{realm:?}").contains("abc"), "secrets are not shown");
    }

    #[test]
    fn mistakes_are_told() {
        let realm = |rest: &str| read(&format!("listen = \"127.0.0.1:1\"\n[[realms]]\nname = \"r\"\n{rest}"));
        let told = |result: Result<RouterOptions, String>, what: &str| {
            let why = result.map(|_| ()).unwrap_err();
            assert!(why.contains(what), "{why}");
        };
        told(read("listen = \"127.0.0.1:1\"\nwhen_full = \"wait\""), "skip or cut");
        told(read("listen = \"127.0.0.1:1\"\ntls_key = \"x\""), "belong together");
        told(realm("anonymus = \"x\""), "anonymus");
        told(realm("roles = [{ name = \"a\" }]\nanonymous = \"b\""), "no role \"b\"");
        told(realm("principals = [{ authid = \"a\", role = \"b\" }]"), "has none of");
        told(
            realm("roles = [{ name = \"a\", permissions = [{ uri = \"x\", allow = [\"fly\"] }] }]"),
            "\"fly\"",
        );
        let procedure = "[[realms.procedures]]\nuri = \"com.x\"\nquery = \"SELECT 1\"\n";
        told(realm(&procedure.repeat(2)), "\"com.x\" is there twice");
        told(realm(&procedure.replace("com.x", "wamp.x")), "cannot be called so");
        assert!(realm(procedure).is_ok());
        told(
            realm("principals = [{ authid = \"a\", role = \"b\", ticket = \"{{ NO_SUCH_VARIABLE_7 }}\" }]"),
            "NO_SUCH",
        );
    }
}

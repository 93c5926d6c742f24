//! Whom a client of HTTPS trusts, and how it proves who it is: files in PEM, read when the client is made.
//!
//! | option | meaning |
//! |---|---|
//! | `tls.ca` | the authorities that must have signed the server's certificate; those that browsers trust unless set |
//! | `tls.cert`, `tls.key` | the client's own certificate, with those that it was signed with, and its key |

use std::path::{Path, PathBuf};

use headwater_core::causes;
use headwater_ingest::Options;
use reqwest::{Certificate, Client, ClientBuilder, Identity, Url};

use crate::error::{ConnectorError, Result};

/// Whom a client trusts, and how it proves who it is.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// The authorities that must have signed the server's certificate; those that browsers trust without it.
    pub ca: Option<PathBuf>,
    /// The client's own certificate, with those that it was signed with, and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
}

impl Tls {
    /// Takes the options for a URL. Reads nothing yet.
    pub(crate) fn take(options: &mut Options, url: &Url) -> Result<Self> {
        let mut given = |name: &'static str| options.get(name).map(|path| (name, path));
        let all = [given("tls.ca"), given("tls.cert"), given("tls.key")];
        let any = all.iter().flatten().next().filter(|_| url.scheme() != "https");
        if let Some((name, path)) = any {
            return Err(options.bad(name, path, "it is for a URL that begins with https://").into());
        }
        let [ca, certificate, key] = all.map(|given| given.map(|(_, path)| PathBuf::from(path)));
        let identity = match (certificate, key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => return Err(options.bad("tls.cert", "", "tls.cert and tls.key belong together").into()),
        };
        Ok(Self { ca, identity })
    }

    /// Reads the files and makes the client.
    pub fn build(&self, mut builder: ClientBuilder) -> Result<Client> {
        if let Some(path) = &self.ca {
            let found = Certificate::from_pem_bundle(&read(path)?);
            let found = found.map_err(|error| unusable(path, causes(&error)))?;
            if found.is_empty() {
                return Err(unusable(path, "it has no certificate in PEM"));
            }
            builder = builder.tls_built_in_root_certs(false);
            builder = found.into_iter().fold(builder, ClientBuilder::add_root_certificate);
        }
        if let Some((certificate, key)) = &self.identity {
            let pem = [read(key)?, read(certificate)?].join(&b'\n');
            let identity = Identity::from_pem(&pem).map_err(|error| unusable(certificate, causes(&error)))?;
            builder = builder.identity(identity);
        }
        builder.build().map_err(|error| ConnectorError::refused("make an HTTP client", causes(&error)))
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| unusable(path, error))
}

fn unusable(path: &Path, why: impl std::fmt::Display) -> ConnectorError {
    ConnectorError::refused("make an HTTP client", format!("cannot use {}: {why}", path.display()))
}

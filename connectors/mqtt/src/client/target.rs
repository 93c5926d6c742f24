//! Where a broker is, and who comes to it.

use std::fmt;
use std::io;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use url::Url;

use crate::net::ClientTls;
use crate::wire::Version;

/// Where a broker is, and how to talk to it.
#[derive(Clone, Debug)]
pub struct Target {
    /// `mqtt://` or `tcp://`, and with TLS `mqtts://` or `ssl://`.
    pub url: Url,
    /// What TLS needs.
    pub tls: ClientTls,
    /// Which version is spoken.
    pub version: Version,
    /// How long a packet may be that comes in.
    pub packet_bytes_max: u32,
}

/// Who comes.
#[derive(Clone)]
pub struct Login {
    /// The client's id. The broker knows a session by it.
    pub client_id: String,
    /// The user.
    pub username: Option<String>,
    /// The user's password.
    pub password: Option<Bytes>,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("client_id", &self.client_id)
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// A stream, with TLS or without.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

impl Target {
    /// What is shown of it: no user, no password.
    pub fn shown(&self) -> String {
        let port = self.url.port().map(|port| format!(":{port}")).unwrap_or_default();
        format!("{}://{}{port}", self.url.scheme(), self.url.host_str().unwrap_or_default())
    }

    /// Whether a URL is one of a broker.
    pub fn check(url: &Url) -> Result<(), &'static str> {
        if !matches!(url.scheme(), "mqtt" | "tcp" | "mqtts" | "ssl" | "tls") {
            return Err("it begins with mqtt:// or mqtts://");
        }
        if url.host_str().is_none_or(str::is_empty) { Err("it has no host") } else { Ok(()) }
    }

    /// Whether the files that TLS needs are of use; the error names the one that is not.
    pub(crate) fn check_files(&self) -> io::Result<()> {
        if self.is_secure() { self.tls.check() } else { Ok(()) }
    }

    fn is_secure(&self) -> bool {
        matches!(self.url.scheme(), "mqtts" | "ssl" | "tls")
    }

    /// Goes there.
    pub(super) async fn connect(&self) -> io::Result<Box<dyn Stream>> {
        let host = self.url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let port = self.url.port().unwrap_or(if self.is_secure() { 8883 } else { 1883 });
        let stream = TcpStream::connect((host, port)).await?;
        stream.set_nodelay(true)?;
        match self.is_secure() {
            true => Ok(Box::new(self.tls.connect(stream, host).await?)),
            false => Ok(Box::new(stream)),
        }
    }
}

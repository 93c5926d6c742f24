//! TLS, for listeners and for clients. Files are read when they are needed, so that new certificates count from the next time on.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// What a server needs for TLS, as files in PEM.
#[derive(Debug, Clone)]
pub struct ServerTls {
    /// The certificate, and those that it was signed with.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
    /// Who must have signed the certificates of clients; without it clients need none.
    pub client_ca: Option<PathBuf>,
}

impl ServerTls {
    /// Reads the files.
    pub fn acceptor(&self) -> io::Result<TlsAcceptor> {
        let provider = Arc::new(default_provider());
        let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?;
        let config = match &self.client_ca {
            None => config.with_no_client_auth(),
            Some(ca) => config.with_client_cert_verifier(
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots(ca)?), provider)
                    .build()
                    .map_err(io::Error::other)?,
            ),
        };
        let config = config
            .with_single_cert(certificates(&self.certificate)?, key(&self.key)?)
            .map_err(io::Error::other)?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

/// What a client needs for TLS, as files in PEM.
#[derive(Debug, Clone, Default)]
pub struct ClientTls {
    /// Who must have signed the server's certificate; without it whom this machine trusts.
    pub ca: Option<PathBuf>,
    /// The client's own certificate and key, if the server asks for one.
    pub identity: Option<(PathBuf, PathBuf)>,
}

impl ClientTls {
    /// Whether the files are of use; the error names the one that is not.
    pub fn check(&self) -> io::Result<()> {
        self.config().map(drop)
    }

    /// Goes on with TLS, if the server's certificate is one for `host` that is trusted.
    pub async fn connect(&self, stream: TcpStream, host: &str) -> io::Result<TlsStream<TcpStream>> {
        let name = host.trim_matches(['[', ']']).to_owned();
        let name = ServerName::try_from(name).map_err(io::Error::other)?;
        TlsConnector::from(Arc::new(self.config()?)).connect(name, stream).await
    }

    fn config(&self) -> io::Result<ClientConfig> {
        let trusted = match &self.ca {
            Some(ca) => roots(ca)?,
            None => {
                let mut trusted = RootCertStore::empty();
                trusted.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                trusted
            }
        };
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(trusted);
        let Some((certificate, private)) = &self.identity else { return Ok(config.with_no_client_auth()) };
        let config = config.with_client_auth_cert(certificates(certificate)?, key(private)?);
        config.map_err(|error| unreadable(private, error))
    }
}

fn certificates(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let certificates = read.map_err(|error| unreadable(path, error))?;
    if certificates.is_empty() {
        return Err(unreadable(path, "it has no certificate in PEM"));
    }
    Ok(certificates)
}

fn key(path: &Path) -> io::Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| unreadable(path, error))
}

fn roots(path: &Path) -> io::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| unreadable(path, error))?;
    }
    Ok(roots)
}

fn unreadable(path: &Path, error: impl std::fmt::Display) -> io::Error {
    io::Error::other(format!("cannot use {}: {error}", path.display()))
}

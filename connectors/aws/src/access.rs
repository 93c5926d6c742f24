//! Who asks, and where: credentials, region and endpoint, and what a failure means.
//!
//! | option | meaning |
//! |---|---|
//! | `aws.region`, `aws_region` | the region; that of the ARN, the environment or the profile unless set |
//! | `aws.endpoint` | a URL instead of the region's own: an emulator, a private endpoint; `AWS_ENDPOINT_URL` says it, too |
//! | `aws.credentials.provider` | `AUTO` (unless set: environment, files, the machine's role), `ENV_VAR`, `PROFILE` or `BASIC` |
//! | `aws.credentials.profile.name` | for `PROFILE`: which one; `AWS_SHARED_CREDENTIALS_FILE` says in which file |
//! | `aws.credentials.basic.accesskeyid`, `aws.credentials.basic.secretkey` | for `BASIC`; `{{ VARIABLE }}` is taken from the environment |
//!
//! `AWS_CA_BUNDLE` names a file in PEM: authorities that may have signed an endpoint's certificate, beside those that the machine trusts.

use std::time::Duration;

use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_kinesis::config::http::HttpResponse;
use aws_sdk_kinesis::config::{Credentials, ProvideCredentials, SharedCredentialsProvider};
use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};
use headwater_connectors::{ConnectorError, Result, fill_from_environment};
use headwater_core::{World, causes};
use headwater_ingest::Options;
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;

/// How long one attempt of a request may take; a long poll takes up to 20 s.
const ATTEMPT: Duration = Duration::from_secs(30);

/// Where a service is, and as whom it is asked.
#[derive(Clone)]
pub(crate) struct Access {
    region: Option<String>,
    endpoint: Option<String>,
    identity: Identity,
}

#[derive(Clone)]
enum Identity {
    Auto,
    Environment,
    Profile(Option<String>),
    Basic(Credentials),
}

impl Access {
    /// Takes the options that all services share. `arn` may name the region, too.
    pub(crate) fn take(options: &mut Options, arn: Option<&str>) -> Result<Self> {
        let region = options.get_any(&["aws.region", "aws-region"]);
        let region = region.or_else(|| arn.and_then(|arn| arn.split(':').nth(3)).map(str::to_owned));
        let endpoint = options.parse_with("aws.endpoint", |text| {
            let url = text.trim();
            match url.starts_with("http://") || url.starts_with("https://") {
                true => Ok(url.to_owned()),
                false => Err("it begins with http:// or https://".to_owned()),
            }
        })?;
        Ok(Self { region, endpoint, identity: Identity::take(options)? })
    }

    /// What the clients are made of. Reads the environment and the profile's files; what nobody will find there later is refused.
    pub(crate) async fn config(&self) -> Result<SdkConfig> {
        let http = aws_smithy_http_client::Builder::new()
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .tls_context(trusted(&std::env::var("AWS_CA_BUNDLE").unwrap_or_default())?)
            .build_https();
        let timeouts = TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT).build();
        let mut loader =
            aws_config::defaults(BehaviorVersion::v2026_01_12()).http_client(http).timeout_config(timeouts);
        if let Some(region) = &self.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(endpoint) = &self.endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        let config = match &self.identity {
            Identity::Auto => loader,
            Identity::Environment => {
                loader.credentials_provider(EnvironmentVariableCredentialsProvider::new())
            }
            Identity::Profile(name) => {
                let mut profile = ProfileFileCredentialsProvider::builder();
                if let Some(name) = name {
                    profile = profile.profile_name(name);
                }
                loader.credentials_provider(profile.build())
            }
            Identity::Basic(credentials) => {
                loader.credentials_provider(SharedCredentialsProvider::new(credentials.clone()))
            }
        }
        .load()
        .await;
        let refused = |reason: &str| ConnectorError::refused("find out where and as whom to ask", reason);
        if config.region().is_none() {
            return Err(refused("no region is known; set aws.region, AWS_REGION, or that of a profile"));
        }
        if let (Identity::Environment, Some(provider)) = (&self.identity, config.credentials_provider())
            && provider.provide_credentials().await.is_err()
        {
            return Err(refused("the environment has no AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"));
        }
        Ok(config)
    }
}

/// Whom clients trust: whom the machine trusts, and the authorities of a file, if one is named. They are looked at here, as the
/// client would panic at what is none.
fn trusted(bundle: &str) -> Result<TlsContext> {
    let mut store = TrustStore::default();
    if !bundle.is_empty() {
        let pem = authorities(bundle).map_err(|why| {
            let reason = format!("AWS_CA_BUNDLE names {bundle}, which cannot be used: {why}");
            ConnectorError::refused("make an HTTPS client", reason)
        })?;
        store = store.with_pem_certificate(pem);
    }
    let context = TlsContext::builder().with_trust_store(store).build();
    context.map_err(|error| ConnectorError::refused("make an HTTPS client", error.to_string()))
}

/// A file's bytes, if they are authorities in PEM.
fn authorities(bundle: &str) -> Result<Vec<u8>, String> {
    let pem = std::fs::read(bundle).map_err(|error| error.to_string())?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    if roots.is_empty() { Err("it has no certificate in PEM".to_owned()) } else { Ok(pem) }
}

impl Identity {
    fn take(options: &mut Options) -> Result<Self> {
        let kind = options.get("aws.credentials.provider");
        let name = options.get("aws.credentials.profile.name");
        let key = options.parse_with("aws.credentials.basic.accesskeyid", fill_from_environment)?;
        let secret = options.parse_with("aws.credentials.basic.secretkey", fill_from_environment)?;
        let given = kind.as_deref().unwrap_or(match (&key, &name) {
            (Some(_), _) => "BASIC",
            (None, Some(_)) => "PROFILE",
            (None, None) => "AUTO",
        });
        match given.trim().to_ascii_uppercase().as_str() {
            "AUTO" => Ok(Self::Auto),
            "ENV_VAR" => Ok(Self::Environment),
            "PROFILE" => Ok(Self::Profile(name)),
            "BASIC" => match (key, secret) {
                (Some(key), Some(secret)) => {
                    Ok(Self::Basic(Credentials::new(key, secret, None, None, "options")))
                }
                _ => Err(options
                    .bad(
                        "aws.credentials.basic.secretkey",
                        "",
                        "BASIC needs aws.credentials.basic.accesskeyid and this",
                    )
                    .into()),
            },
            _ => {
                let reason = "it is AUTO, ENV_VAR, PROFILE or BASIC";
                Err(options.bad("aws.credentials.provider", given, reason).into())
            }
        }
    }
}

/// Waits before another try: longer after each failure in a row, up to 5 s, cut by up to half at random.
pub(crate) async fn pause(world: &World, failures: u32) {
    let full = Duration::from_millis(50 << failures.min(7)).min(Duration::from_secs(5));
    let share = (world.random.next() >> 11) as f64 / (1_u64 << 53) as f64;
    tokio::time::sleep(full.mul_f64(0.5 + share / 2.0)).await;
}

/// Whether an error of this code passes by itself. The services' lists of errors say "retry" of these, and of all with status 5xx.
pub(crate) fn is_passing(code: &str) -> bool {
    const PASSING: [&str; 9] = [
        "ProvisionedThroughputExceeded",
        "Throttl",
        "LimitExceeded",
        "TooManyRequests",
        "ResourceInUse",
        "ExpiredToken",
        "RequestExpired",
        "InternalFailure",
        "TransactionInProgress",
    ];
    PASSING.iter().any(|part| code.contains(part))
}

/// Whether an error says that what was sent is no good, rather than who sent it, or where to: other rows may be taken.
pub(crate) fn is_unfit<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    const UNFIT: [&str; 6] = [
        "Validation",
        "InvalidArgument",
        "InvalidMessageContents",
        "InvalidParameterValue",
        "BatchRequestTooLong",
        "ItemCollectionSizeLimitExceeded",
    ];
    error.code().is_some_and(|code| UNFIT.iter().any(|part| code.contains(part)))
}

/// What an error of a client means for the connector. `what` says what was tried, and on what.
pub(crate) fn failed<E>(what: impl Into<String>, error: &SdkError<E, HttpResponse>) -> ConnectorError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let answer = match error {
        SdkError::ServiceError(answer) => answer,
        // No request could be made of it.
        SdkError::ConstructionFailure(_) => return ConnectorError::refused(what, causes(error)),
        _ => return ConnectorError::outage(what, causes(error)),
    };
    let status = answer.raw().status().as_u16();
    let code = error.code().unwrap_or("an error without a name");
    let reason = match error.message() {
        Some(message) => format!("{code}: {message}"),
        None => format!("{code}, status {status}"),
    };
    if status >= 500 || matches!(status, 408 | 429) || is_passing(code) {
        ConnectorError::outage(what, reason)
    } else {
        ConnectorError::refused(what, reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(entries: &[(&str, &str)]) -> Result<Access> {
        let mut options = Options::new("connector kinesis", entries.iter().copied());
        let access = Access::take(&mut options, Some("arn:aws:kinesis:eu-west-1:123456789012:stream/s"))?;
        options.finish()?;
        Ok(access)
    }

    #[tokio::test]
    async fn the_region_is_that_of_the_arn_unless_said_otherwise() {
        let config = take(&[]).unwrap().config().await.unwrap();
        assert_eq!(config.region().unwrap().as_ref(), "eu-west-1");
        let config = take(&[("aws_region", "us-east-2"), ("aws.endpoint", "http://x")])
            .unwrap()
            .config()
            .await
            .unwrap();
        assert_eq!(config.region().unwrap().as_ref(), "us-east-2");
        assert_eq!(config.endpoint_url(), Some("http://x"));
    }

    #[test]
    fn a_bundle_that_holds_no_authority_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("bundle.pem");
        let told = || trusted(file.to_str().unwrap()).unwrap_err().to_string();
        assert!(told().contains(&format!("AWS_CA_BUNDLE names {}, which cannot be used", file.display())));
        for (content, why) in [
            ("", "no certificate in PEM"),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "certificate"),
        ] {
            std::io::Write::write_all(&mut std::fs::File::create(&file).unwrap(), content.as_bytes())
                .unwrap();
            assert!(told().contains(why), "{}", told());
        }
        assert!(trusted("").is_ok());
    }

    #[test]
    fn a_request_that_cannot_be_made_is_refused_and_one_without_an_answer_is_an_outage() {
        type Error = SdkError<aws_sdk_kinesis::operation::put_records::PutRecordsError, HttpResponse>;
        let error = failed("put", &Error::construction_failure("there is no region"));
        assert!(!error.is_retryable() && error.to_string().contains("there is no region"), "{error}");
        assert!(failed("put", &Error::timeout_error("late")).is_retryable());
    }

    #[test]
    fn mistakes_are_told_without_secrets() {
        let told = |entries: &[(&str, &str)]| take(entries).err().unwrap().to_string();
        let secret = ("aws.credentials.basic.secretkey", "s3cr3t {{ NO_SUCH_VARIABLE_7 }}");
        let error = told(&[("aws.credentials.basic.accesskeyid", "AK"), secret]);
        assert!(error.contains("NO_SUCH_VARIABLE_7") && !error.contains("s3cr3t"), "{error}");
        let error = told(&[("aws.credentials.basic.accesskeyid", "AK")]);
        assert!(error.contains("BASIC needs") && !error.contains("AK"), "{error}");
        assert!(told(&[("aws.credentials.provider", "MAGIC")]).contains("AUTO, ENV_VAR, PROFILE or BASIC"));
        assert!(told(&[("aws.endpoint", "localhost:1")]).contains("begins with http://"));
    }
}

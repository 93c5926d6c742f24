//! S3 as the environment says, for all who keep something there.
//!
//! | variable | meaning |
//! |---|---|
//! | `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN` | as whom |
//! | `AWS_PROFILE`, `AWS_SHARED_CREDENTIALS_FILE` | or as whom by a profile of a file: `default`, `~/.aws/credentials` |
//! | `AWS_REGION`, `AWS_ENDPOINT` | where |
//! | `AWS_CA_BUNDLE` | a file in PEM: authorities that may have signed the server's certificate, beside those that this machine trusts |
//!
//! The others are those of `object_store`. The file is read when a store is opened.

use std::sync::Arc;

use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::path::Path;
use object_store::{Certificate, ClientOptions, RetryConfig};

use crate::location::{ObjectError, Result};
use crate::profile::Profile;

const CA_BUNDLE: &str = "AWS_CA_BUNDLE";

/// The bucket of an address such as `s3://bucket/prefix`, and the prefix. Nothing is touched but the file of `AWS_CA_BUNDLE`.
pub fn s3(address: &str, retry: RetryConfig) -> Result<(Arc<AmazonS3>, Path)> {
    let invalid = |reason: String| ObjectError::Address { address: address.to_owned(), reason };
    let parsed = url::Url::parse(address).map_err(|error| invalid(error.to_string()))?;
    if !parsed.username().is_empty() || parsed.password().is_some() {
        let reason = "credentials do not belong into an address, which is shown; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY";
        return Err(ObjectError::Address { address: "s3://...".to_owned(), reason: reason.to_owned() });
    }
    let Some(bucket) = parsed.host_str() else {
        return Err(invalid("write it as s3://bucket/prefix".to_owned()));
    };
    let prefix = Path::from_url_path(parsed.path()).map_err(|error| invalid(error.to_string()))?;
    let mut builder = AmazonS3Builder::from_env().with_bucket_name(bucket).with_retry(retry);
    let variable = |name: &str| std::env::var(name).ok();
    if variable("AWS_ACCESS_KEY_ID").is_none_or(|key| key.is_empty())
        && let Some(profile) = Profile::of(variable).map_err(invalid)?
    {
        builder = builder.with_credentials(Arc::new(profile));
    }
    let bundle = variable(CA_BUNDLE).unwrap_or_default();
    if !bundle.is_empty() {
        builder = builder.with_client_options(trusting(&bundle, std::env::vars()).map_err(invalid)?);
    }
    let store = builder.build().map_err(|error| invalid(error.to_string()))?;
    Ok((Arc::new(store), prefix))
}

/// What a client is made with that trusts the authorities of a file, and does what the environment says otherwise.
fn trusting(
    bundle: &str,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<ClientOptions, String> {
    let unusable = |reason: String| format!("{CA_BUNDLE} names {bundle}, which cannot be used: {reason}");
    let pem = std::fs::read(bundle).map_err(|error| unusable(error.to_string()))?;
    let found = Certificate::from_pem_bundle(&pem).map_err(|error| unusable(error.to_string()))?;
    if found.is_empty() {
        return Err(unusable("it has no certificate in PEM".to_owned()));
    }
    let options = environment.fold(ClientOptions::default(), |options, (name, value)| {
        let is_ours = name.starts_with("AWS_");
        match name.to_ascii_lowercase().parse() {
            Ok(AmazonS3ConfigKey::Client(key)) if is_ours => options.with_config(key, value),
            _ => options,
        }
    });
    Ok(found.into_iter().fold(options, ClientOptions::with_root_certificate))
}

#[cfg(test)]
mod tests {
    use object_store::ClientConfigKey;

    use super::*;

    fn told(bundle: &str) -> String {
        trusting(bundle, std::iter::empty()).unwrap_err()
    }

    #[test]
    fn a_bundle_that_cannot_be_used_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("missing.pem").to_str().unwrap().to_owned();
        assert!(
            told(&missing).starts_with(&format!("AWS_CA_BUNDLE names {missing}, which cannot be used: "))
        );
        let empty = dir.path().join("empty.pem").to_str().unwrap().to_owned();
        std::fs::File::create(&empty).unwrap();
        assert!(told(&empty).ends_with("it has no certificate in PEM"), "{}", told(&empty));
    }

    #[test]
    fn what_else_the_environment_says_of_the_client_stays() {
        let dir = tempfile::tempdir().unwrap();
        let made = std::process::Command::new("openssl")
            .current_dir(dir.path())
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
            .args(["-subj", "/CN=ca", "-keyout", "ca.key", "-out", "ca.crt"])
            .output();
        if !made.is_ok_and(|made| made.status.success()) {
            return;
        }
        let bundle = dir.path().join("ca.crt").to_str().unwrap().to_owned();
        let pairs = [("AWS_ALLOW_HTTP", "true"), ("AWS_TIMEOUT", "7 seconds"), ("TIMEOUT", "1 second")];
        let environment = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let options = trusting(&bundle, environment.into_iter()).unwrap();
        let value = |key| options.get_config_value(&key);
        assert_eq!(value(ClientConfigKey::AllowHttp).as_deref(), Some("true"));
        assert_eq!(value(ClientConfigKey::Timeout).as_deref(), Some("7 seconds"));
    }
}

//! Credentials of a profile, in the file that Amazon's tools keep them in.
//!
//! ```text
//! [default]
//! aws_access_key_id = AKIA..
//! aws_secret_access_key = ..
//! aws_session_token = ..        only of some
//! ```
//!
//! The file is read for each request: whoever renews it need tell nobody.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use object_store::CredentialProvider;
use object_store::aws::AwsCredential;

/// The profile of a file.
#[derive(Debug)]
pub(crate) struct Profile {
    file: PathBuf,
    name: String,
}

impl Profile {
    /// The profile that the environment means: `AWS_PROFILE` of `AWS_SHARED_CREDENTIALS_FILE`, which are `default` and
    /// `~/.aws/credentials` unless set. None if it is not there and nobody has asked for it.
    pub fn of(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, String> {
        let given = |name| variable(name).filter(|value| !value.is_empty());
        let (file, name) = (given("AWS_SHARED_CREDENTIALS_FILE"), given("AWS_PROFILE"));
        let is_wanted = file.is_some() || name.is_some();
        let usual = || Some(PathBuf::from(given("HOME")?).join(".aws/credentials"));
        let Some(file) = file.map(PathBuf::from).or_else(usual) else { return Ok(None) };
        let profile = Self { file, name: name.unwrap_or_else(|| "default".to_owned()) };
        match profile.read() {
            Ok(_) => Ok(Some(profile)),
            Err(reason) if is_wanted => Err(reason),
            Err(_) => Ok(None),
        }
    }

    fn read(&self) -> Result<AwsCredential, String> {
        let unusable = |why: &str| format!("profile {} of {}: {why}", self.name, self.file.display());
        let text = std::fs::read_to_string(&self.file).map_err(|error| unusable(&error.to_string()))?;
        let (mut is_ours, mut is_there) = (false, false);
        let (mut key_id, mut secret_key, mut token) = (None, None, None);
        for line in text.lines().map(str::trim) {
            if let Some(section) = line.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
                is_ours = section.trim() == self.name;
                is_there |= is_ours;
            } else if let Some((name, value)) = line.split_once('=')
                && is_ours
            {
                let value = Some(value.trim().to_owned());
                match name.trim() {
                    "aws_access_key_id" => key_id = value,
                    "aws_secret_access_key" => secret_key = value,
                    "aws_session_token" => token = value,
                    _ => {}
                }
            }
        }
        match (key_id, secret_key) {
            (Some(key_id), Some(secret_key)) => Ok(AwsCredential { key_id, secret_key, token }),
            _ if is_there => Err(unusable("it has no aws_access_key_id and aws_secret_access_key")),
            _ => Err(unusable("there is no such profile")),
        }
    }
}

#[async_trait]
impl CredentialProvider for Profile {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let failed = |reason: String| object_store::Error::Generic { store: "S3", source: reason.into() };
        self.read().map(Arc::new).map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write as _;

    use super::*;

    /// The key of a profile, of a home directory and what else the environment says.
    fn key(home: &std::path::Path, more: &[(&str, &str)]) -> Result<Option<String>, String> {
        let profile = Profile::of(|name| match name {
            "HOME" => Some(home.to_str().unwrap().to_owned()),
            _ => more.iter().find(|(given, _)| *given == name).map(|(_, value)| (*value).to_owned()),
        });
        Ok(profile?.map(|profile| profile.read().unwrap().key_id))
    }

    #[tokio::test]
    async fn a_profile_is_read_where_amazon_s_tools_keep_it_and_renewed() {
        let home = tempfile::tempdir().unwrap();
        assert_eq!(key(home.path(), &[]), Ok(None));
        assert!(key(home.path(), &[("AWS_PROFILE", "fleet")]).unwrap_err().contains("profile fleet of"));
        std::fs::create_dir(home.path().join(".aws")).unwrap();
        let file = home.path().join(".aws/credentials");
        let text = "# ours\n[default]\naws_access_key_id=A\n aws_secret_access_key = x=y \n\n[fleet]\nregion = eu\n\
                    aws_access_key_id = B\naws_secret_access_key = z\naws_session_token = t\n[half]\naws_access_key_id = C\n";
        File::create(&file).unwrap().write_all(text.as_bytes()).unwrap();
        assert_eq!(key(home.path(), &[("AWS_PROFILE", "")]), Ok(Some("A".to_owned())));
        assert_eq!(key(home.path(), &[("AWS_PROFILE", "fleet")]), Ok(Some("B".to_owned())));
        let half = key(home.path(), &[("AWS_PROFILE", "half")]).unwrap_err();
        assert!(half.contains("no aws_access_key_id and aws_secret_access_key"), "{half}");
        assert!(key(home.path(), &[("AWS_PROFILE", "other")]).unwrap_err().contains("no such profile"));
        let elsewhere = home.path().join("elsewhere");
        let given = [("AWS_SHARED_CREDENTIALS_FILE", elsewhere.to_str().unwrap())];
        assert!(key(home.path(), &given).is_err(), "what was asked for must be there");

        let profile = Profile { file: file.clone(), name: "default".to_owned() };
        assert_eq!(profile.get_credential().await.unwrap().secret_key, "x=y");
        File::create(&file).unwrap().write_all(text.replace("x=y", "new").as_bytes()).unwrap();
        assert_eq!(profile.get_credential().await.unwrap().secret_key, "new");
    }
}

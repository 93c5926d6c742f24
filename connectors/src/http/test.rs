//! What a failed request means, and what is never shown.

use headwater_ingest::Options;

use super::client::Client;

fn client(endpoint: &str, headers: &str) -> Result<Client, crate::ConnectorError> {
    let mut options = Options::new("connector http", [("endpoint", endpoint), ("headers", headers)]);
    Client::take(&mut options, reqwest::Method::GET, &crate::Allowed::default())
}

#[test]
fn secrets_in_a_url_are_not_shown() {
    let client = client("https://me:secret@example.org:8443/hook?token=abc", "").unwrap();
    assert_eq!(client.shown, "https://example.org:8443/hook");
}

#[test]
fn bad_options_are_told_without_their_secrets() {
    let error = client("ftp://example.org", "").err().unwrap().to_string();
    assert_eq!(
        error,
        "connector http: option 'endpoint' cannot be 'ftp://example.org': it begins with http:// or https://"
    );
    let error = client("http://example.org", "Authorization Bearer abc").err().unwrap().to_string();
    assert!(error.contains("(hidden)") && !error.contains("abc"), "{error}");
    let error =
        client("http://example.org", "X: {{ HEADWATER_NO_SUCH_VARIABLE }}").err().unwrap().to_string();
    assert!(error.contains("the environment has no HEADWATER_NO_SUCH_VARIABLE"), "{error}");
}

//! Servers whose certificate a private authority has signed: S3 with archives and checkpoints, and services of Amazon's.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::json;

use crate::aws::peer::Peer;
use crate::found::Keys;
use crate::process::{Process, Server, headwater, until};

/// TLS in front of a server, with keys that were made for it.
struct Tls {
    keys: Keys,
    url: String,
    _proxy: Process,
}

impl Tls {
    fn before(url: &str) -> Option<Self> {
        let keys = Keys::make()?;
        let mut command = Command::new("python3");
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/binary/secure.py"));
        command.args([keys.path("server.crt"), keys.path("server.key")]);
        command.arg(url.trim_start_matches("http://").trim_end_matches('/'));
        let mut proxy = Process::spawn(command);
        let url = format!("https://127.0.0.1:{}", proxy.wait_for("").trim());
        Some(Self { keys, url, _proxy: proxy })
    }

    /// The binary, to which no server may talk without TLS, and which trusts the authorities of a file.
    fn headwater(&self, arguments: &[&str], bundle: Option<&Path>) -> Command {
        let mut command = headwater(arguments);
        command.env("AWS_ENDPOINT", &self.url).env("HEADWATER_LOG_LEVEL", "warn");
        for name in ["AWS_ALLOW_HTTP", "AWS_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"] {
            command.env_remove(name);
        }
        if let Some(bundle) = bundle {
            command.env("AWS_CA_BUNDLE", bundle);
        }
        command
    }
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn archives_and_checkpoints_lie_at_a_server_that_a_private_authority_vouches_for() {
    let Ok(s3) = std::env::var("HEADWATER_TEST_S3") else {
        eprintln!("skipped: HEADWATER_TEST_S3 is not set (tests/run sets it)");
        return;
    };
    let Some(tls) = Tls::before(&s3) else { return };
    let ca = tls.keys.path("ca.crt");
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    // Who may write there a file says.
    let profile = dir.path().join("credentials");
    let secret = |name: &str| std::env::var(name).unwrap();
    let (id, key) = (secret("AWS_ACCESS_KEY_ID"), secret("AWS_SECRET_ACCESS_KEY"));
    let text = format!("[fleet]\naws_access_key_id = {id}\naws_secret_access_key = {key}\n");
    crate::process::write(&profile, &text);
    let headwater = |arguments: &[&str], bundle: Option<&Path>| {
        let mut command = tls.headwater(arguments, bundle);
        command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
        command.env("AWS_SHARED_CREDENTIALS_FILE", &profile).env("AWS_PROFILE", "fleet");
        command
    };
    let place = format!("s3://headwater-tests/private-{}", std::process::id());
    let (archive, checkpoints) = (format!("{place}/archive"), format!("{place}/checkpoints"));
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--checkpoints", &checkpoints];
    let more = ["--checkpoint-seconds", "1", "--data", data.to_str().unwrap()];
    let serve = || Server::of(Process::spawn(headwater(&[&arguments[..], &more[..]].concat(), Some(&ca))));
    let server = serve();
    let sql = format!(
        "CREATE STREAM readings (n BIGINT) WITH (shards = 1);
         CREATE MATERIALIZED VIEW sums AS SELECT SUM(n) AS total FROM readings;
         CREATE ARCHIVE old FOR readings TO '{archive}' WITH ('sink.rolling-policy.row-count' = 5);
         INSERT INTO readings VALUES (1), (2), (3), (4), (5), (6), (7), (8), (9), (10);"
    );
    server.sql(&sql).await;
    let archived = "SELECT state, lag, COALESCE(last_error, '') AS last_error FROM system.archives";
    let is_archived = |rows: &[_]| rows == [json!({"state": "running", "lag": 0, "last_error": ""})];
    server.wait_until(archived, is_archived).await;
    let kept = "SELECT COUNT(*) AS n FROM system.checkpoints WHERE newest_step > 0";
    server.wait_until(kept, |rows| rows == [json!({"n": 1})]).await;
    assert_eq!(server.terminate(), Some(0));
    assert!(!data.join("checkpoints").exists(), "checkpoints are at the server");

    let command =
        |what: &str, bundle: Option<&Path>| headwater(&["archive", what, &archive], bundle).output().unwrap();
    let verified = command("verify", Some(&ca));
    let told = String::from_utf8_lossy(&verified.stdout).into_owned();
    assert!(told.contains(", 10 rows; 0 problems"), "{told}{}", errors(&verified));

    // Nobody vouches for the server.
    let unknown = command("ls", None);
    let told = errors(&unknown).to_lowercase();
    assert!(!unknown.status.success() && told.contains("certificate"), "{told}");
    // An authority that has not signed it.
    let other = Keys::make().unwrap();
    let told = errors(&command("ls", Some(&other.path("ca.crt")))).to_lowercase();
    assert!(told.contains("certificate"), "{told}");
    let missing = dir.path().join("missing.pem");
    let told = errors(&command("ls", Some(&missing)));
    assert!(told.contains(&format!("AWS_CA_BUNDLE names {}", missing.display())), "{told}");
    let empty = dir.path().join("empty.pem");
    crate::process::write(&empty, "nothing\n");
    let told = errors(&command("ls", Some(&empty)));
    assert!(told.contains("no certificate in PEM"), "{told}");

    // What the job had added up comes from the checkpoint.
    let server = serve();
    server.sql("INSERT INTO readings VALUES (45)").await;
    server.wait_until("SELECT total FROM sums", |rows| rows == [json!({"total": 100})]).await;
    assert_eq!(server.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn items_go_to_a_table_that_a_private_authority_vouches_for() {
    let Some(mut dynamodb) = Peer::of("dynamodb", "HEADWATER_TEST_DYNALITE") else { return };
    let Some(tls) = Tls::before(&dynamodb.url) else { return };
    let name = format!("private-{}", std::process::id());
    dynamodb.call(
        "create_table",
        json!({"TableName": name, "BillingMode": "PAY_PER_REQUEST",
               "KeySchema": [{"AttributeName": "device", "KeyType": "HASH"}],
               "AttributeDefinitions": [{"AttributeName": "device", "AttributeType": "S"}]}),
    );
    until("it is active", || {
        let table = dynamodb.call("describe_table", json!({"TableName": name}));
        let state = table["Table"]["TableStatus"].clone();
        if state == "ACTIVE" { Ok(()) } else { Err(state) }
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()];
    let serve = |bundle: &Path| Server::of(Process::spawn(tls.headwater(&arguments, Some(bundle))));
    let sql = format!(
        "CREATE TABLE latest (device STRING, n BIGINT) WITH (connector = 'dynamodb', type = 'sink',
             'table-name' = '{name}', 'aws.endpoint' = '{}', 'aws.region' = 'us-east-1',
             'aws.credentials.basic.accesskeyid' = 'test', 'aws.credentials.basic.secretkey' = 'test')",
        tls.url
    );
    let insert = "INSERT INTO latest VALUES ('a', 1), ('b', 2)";
    let fares = "SELECT state, COALESCE(last_error, '') AS last_error FROM system.connectors";

    // Another's authority: that is told, and tried again.
    let other = Keys::make().unwrap();
    let server = serve(&other.path("ca.crt"));
    server.sql(&sql).await;
    server.sql(insert).await;
    let told = |rows: &[serde_json::Value]| {
        rows.len() == 1 && rows[0]["last_error"].as_str().unwrap().to_lowercase().contains("certificate")
    };
    server.wait_until(fares, told).await;
    assert_eq!(dynamodb.call("scan", json!({"TableName": name}))["Count"], 0);
    assert_eq!(server.terminate(), Some(0));

    let server = serve(&tls.keys.path("ca.crt"));
    until("the items are there", || {
        let found = dynamodb.call("scan", json!({"TableName": name}))["Count"].clone();
        if found == 2 { Ok(()) } else { Err(found) }
    })
    .await;
    server.wait_until(fares, |rows| rows == [json!({"state": "running", "last_error": ""})]).await;
    assert_eq!(server.terminate(), Some(0));
}

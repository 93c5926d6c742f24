//! Kinesis in, DynamoDB out, and an Auto Scaling group, through the binary, which is killed in between.

#[path = "../../connectors/aws/tests/services/peer.rs"]
pub mod peer;

use std::path::Path;

use serde_json::{Value, json};

use crate::process::{Process, Server, headwater, until};
use peer::Peer;

const SECRET: &str = "a-secret-that-nobody-is-shown";

fn serve(data: &Path) -> Server {
    let mut command = headwater(&["serve", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()]);
    command.env("FLEET_SECRET", SECRET);
    Server::of(Process::spawn(command))
}

/// A name of a stream and of a table that no other run has.
fn name() -> String {
    format!("binary-{}", std::process::id())
}

fn put(kinesis: &mut Peer, numbers: std::ops::Range<u32>) {
    let record =
        |n: u32| json!({"Data": format!("{{\"device\":\"d{}\",\"n\":{n}}}", n % 4), "PartitionKey": "k"});
    let records: Vec<Value> = numbers.map(record).collect();
    kinesis.call("put_records", json!({"StreamName": name(), "Records": records}));
}

/// Waits until the items hold the sums of these numbers, by device.
async fn until_added(dynamodb: &mut Peer, numbers: std::ops::Range<u32>) {
    let mut expected: Vec<(String, String)> = (0..4)
        .map(|d| (format!("d{d}"), numbers.clone().filter(|n| n % 4 == d).sum::<u32>().to_string()))
        .collect();
    expected.sort();
    until("the sums are there", || {
        let answer = dynamodb.call("scan", json!({"TableName": name()}));
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let items = answer["Items"].as_array().unwrap().iter();
        let mut found: Vec<_> =
            items.map(|item| (text(&item["device"]["S"]), text(&item["n"]["N"]))).collect();
        found.sort();
        if found == expected { Ok(()) } else { Err(found) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_of_a_stream_are_added_to_items_once_through_a_kill() {
    let Some(mut kinesis) = Peer::of("kinesis", "HEADWATER_TEST_KINESALITE") else { return };
    let Some(mut dynamodb) = Peer::of("dynamodb", "HEADWATER_TEST_DYNALITE") else { return };
    let name = name();
    kinesis.call("create_stream", json!({"StreamName": name, "ShardCount": 1}));
    dynamodb.call(
        "create_table",
        json!({"TableName": name, "BillingMode": "PAY_PER_REQUEST",
               "KeySchema": [{"AttributeName": "device", "KeyType": "HASH"}],
               "AttributeDefinitions": [{"AttributeName": "device", "AttributeType": "S"}]}),
    );
    until("both are active", || {
        let stream = kinesis.call("describe_stream_summary", json!({"StreamName": name}));
        let table = dynamodb.call("describe_table", json!({"TableName": name}));
        let states = [&stream["StreamDescriptionSummary"]["StreamStatus"], &table["Table"]["TableStatus"]];
        let states: Vec<Value> = states.into_iter().cloned().collect();
        if states.iter().all(|state| state == "ACTIVE") { Ok(()) } else { Err(states) }
    })
    .await;
    put(&mut kinesis, 0..200);

    let dir = tempfile::tempdir().unwrap();
    let server = serve(dir.path());
    let access = |url: &str| {
        format!(
            "'aws.endpoint' = '{url}', 'aws.region' = 'us-east-1', 'aws.credentials.basic.accesskeyid' = 'test', \
             'aws.credentials.basic.secretkey' = '{{{{ FLEET_SECRET }}}}'"
        )
    };
    let sql = format!(
        "CREATE TABLE readings (device STRING, n BIGINT, shard STRING METADATA FROM 'shard-id')
         WITH (connector = 'kinesis', type = 'source', stream = '{name}', 'source.init.position' = 'TRIM_HORIZON', {});
         CREATE TABLE totals (device STRING, n BIGINT)
         WITH (connector = 'dynamodb', type = 'sink', 'table-name' = '{name}', 'sink.add' = 'n', {});
         CREATE JOB adding AS INSERT INTO totals SELECT device, n FROM readings;",
        access(&kinesis.url),
        access(&dynamodb.url)
    );
    server.sql(&sql).await;
    let misspelt =
        sql.replace("CREATE TABLE readings", "CREATE TABLE others").replace("init.position", "init.positoin");
    let told = server.refusal(misspelt.split(';').next().unwrap()).await.to_string();
    assert!(told.contains("positoin") && !told.contains(SECRET), "{told}");
    until_added(&mut dynamodb, 0..200).await;
    let shards = server.rows("SELECT DISTINCT shard FROM readings").await;
    assert_eq!(shards, [json!({"shard": "shardId-000000000000"})]);
    server.kill();

    put(&mut kinesis, 200..300);
    let server = serve(dir.path());
    until_added(&mut dynamodb, 0..300).await;
    let running = "SELECT connector, state, last_error FROM system.connectors ORDER BY connector";
    let both = |rows: &[Value]| rows.len() == 2 && rows.iter().all(|row| row["state"] == "running");
    server.wait_until(running, both).await;
    for statement in ["SHOW TABLES", "SELECT * FROM system.connectors"] {
        assert!(!server.sql(statement).await.contains(SECRET), "{statement}");
    }
    assert!(!server.get("/metrics").await.contains(SECRET));
    let process = server.into_process();
    process.signal("TERM");
    let (code, out, errors) = process.end();
    assert_eq!(code, Some(0), "{errors}");
    assert!(!out.contains(SECRET) && !errors.contains(SECRET), "{out}{errors}");
}

/// The desired capacity of an Auto Scaling group, and how many instances are in service.
fn sizes(scaling: &mut Peer, group: &str) -> (Value, usize) {
    let answer = scaling.call("describe_auto_scaling_groups", json!({"AutoScalingGroupNames": [group]}));
    let group = &answer["AutoScalingGroups"][0];
    let instances = group["Instances"].as_array().unwrap();
    let serving = instances.iter().filter(|instance| instance["LifecycleState"] == "InService");
    (group["DesiredCapacity"].clone(), serving.count())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_scaling_group_decides_is_done_by_an_auto_scaling_group_once_through_a_kill() {
    let Some(mut scaling) = Peer::of("autoscaling", "HEADWATER_TEST_MOTO") else { return };
    let group = &format!("binary-{}", std::process::id());
    let launch =
        json!({"LaunchConfigurationName": group, "ImageId": "ami-12c6146b", "InstanceType": "t2.micro"});
    scaling.call("create_launch_configuration", launch);
    let ask = json!({"AutoScalingGroupName": group, "LaunchConfigurationName": group, "MinSize": 0, "MaxSize": 5,
                     "DesiredCapacity": 0, "AvailabilityZones": ["us-east-1a"]});
    scaling.call("create_auto_scaling_group", ask);

    let dir = tempfile::tempdir().unwrap();
    let server = serve(dir.path());
    let sql = format!(
        "CREATE STREAM cpu (ts TIMESTAMP(3), used DOUBLE, WATERMARK FOR ts AS ts) WITH ('clock.guard' = 'none');
         CREATE ALARM busy ON cpu STATISTIC average(used) PERIOD INTERVAL '1' MINUTE
         WITH (comparison = '>', threshold = 70, evaluation_periods = 1);
         CREATE SCALING POLICY add_one ON ALARM busy WITH (type = simple, adjustment = ChangeInCapacity, by = 1);
         CREATE SCALING GROUP servers POLICIES (add_one)
         WITH (min = 1, max = 4, desired = 2, cooldown = '1 day', actuator = 'ec2_auto_scaling',
               'auto-scaling-group' = '{group}', 'poll-interval' = '100 ms', 'restore-interval' = '500 ms', 'aws.endpoint' = '{}',
               'aws.region' = 'us-east-1', 'aws.credentials.basic.accesskeyid' = 'test',
               'aws.credentials.basic.secretkey' = '{{{{ FLEET_SECRET }}}}');",
        scaling.url
    );
    server.sql(&sql).await;
    let done = "SELECT activity, size FROM system.scaling_attempts WHERE action = 'scale' AND outcome = 'done' ORDER BY activity";
    server.wait_until(done, |rows| rows == [json!({"activity": 0, "size": 2})]).await;
    assert_eq!(sizes(&mut scaling, group), (json!(2), 2));

    let used = (0..5).map(|minute| format!("{{\"ts\":\"2026-03-01T10:0{minute}:00Z\",\"used\":90}}\n"));
    server.post("/v1/streams/cpu", &used.collect::<String>()).await;
    let both = [json!({"activity": 0, "size": 2}), json!({"activity": 1, "size": 3})];
    server.wait_until(done, |rows| rows == both).await;
    assert_eq!(sizes(&mut scaling, group), (json!(3), 3));
    server.kill();

    let server = serve(dir.path());
    // Somebody turns it up by hand, which the next life sees, as it knows what was decided.
    let ask = json!({"AutoScalingGroupName": group, "DesiredCapacity": 5});
    scaling.call("set_desired_capacity", ask);
    let restored = "SELECT size, outcome FROM system.scaling_attempts WHERE action = 'restore'";
    server.wait_until(restored, |rows| rows == [json!({"size": 3, "outcome": "done"})]).await;
    assert_eq!(server.rows(done).await, both);
    assert_eq!(sizes(&mut scaling, group), (json!(3), 3));
    assert!(!server.sql("SHOW SCALING GROUPS").await.contains(SECRET));
}

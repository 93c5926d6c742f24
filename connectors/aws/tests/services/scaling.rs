//! EC2 Auto Scaling: moto, which launches and terminates instances that are only numbers.

use std::collections::BTreeMap;
use std::time::Duration;

use headwater_aws::ACTUATOR;
use headwater_connectors::{Activity, Actuator, ActuatorContext, Allowed, Result};
use headwater_core::{EventTime, World};
use headwater_ingest::Options;
use serde_json::{Value, json};

use crate::lab::runtime;
use crate::peer::Peer;

const MOTO: &str = "HEADWATER_TEST_MOTO";

/// A group with this many instances, of a name that no other run has.
fn create(peer: &mut Peer, name: &str, size: u64) -> String {
    let group = format!("{name}-{}", std::process::id());
    // An image that moto has from the start.
    let launch =
        json!({"LaunchConfigurationName": group, "ImageId": "ami-12c6146b", "InstanceType": "t2.micro"});
    peer.call("create_launch_configuration", launch);
    let ask = json!({"AutoScalingGroupName": group, "LaunchConfigurationName": group, "MinSize": 0, "MaxSize": 5,
                     "DesiredCapacity": size, "AvailabilityZones": ["us-east-1a"]});
    peer.call("create_auto_scaling_group", ask);
    group
}

fn look(peer: &mut Peer, group: &str) -> Value {
    let answer = peer.call("describe_auto_scaling_groups", json!({"AutoScalingGroupNames": [group]}));
    answer["AutoScalingGroups"][0].clone()
}

fn instances(group: &Value) -> Vec<String> {
    let all = group["Instances"].as_array().unwrap();
    assert!(all.iter().all(|instance| instance["LifecycleState"] == "InService"), "{group}");
    all.iter().map(|instance| instance["InstanceId"].as_str().unwrap().to_owned()).collect()
}

fn make(peer: &Peer, group: &str, allowed: Allowed) -> Result<Box<dyn Actuator>> {
    let context = ActuatorContext {
        world: World::real(),
        group: "ours".to_owned(),
        token: "token".to_owned(),
        allowed,
        set_workers: std::sync::Arc::new(|job, _| Err(format!("there is no job {job}"))),
    };
    let entries = peer.options(&[("auto-scaling-group", group), ("poll-interval", "50 ms")]);
    let mut options = Options::new("scaling group ours", entries);
    let made = (ACTUATOR.make)(context, &mut options)?;
    options.finish()?;
    Ok(made)
}

fn activity(number: u64, size: u64) -> Activity {
    Activity {
        group: "ours".to_owned(),
        id: format!("ours/7/{number}"),
        number,
        at: EventTime(0),
        by: "more".to_owned(),
        before: 1,
        size,
        bounds: (0, 5),
        reason: "simple".to_owned(),
    }
}

#[test]
fn a_decision_is_over_when_the_instances_are_in_service_and_is_the_same_again() {
    let Some(mut peer) = Peer::of("autoscaling", MOTO) else { return };
    let group = create(&mut peer, "sized", 1);
    let runtime = runtime();
    let mut actuator = make(&peer, &group, Allowed::default()).unwrap();
    let done = runtime.block_on(actuator.scale(&activity(1, 3))).unwrap();
    assert_eq!(done, "the desired capacity was 1; 3 instances are in service");
    let before = instances(&look(&mut peer, &group));
    assert_eq!(before.len(), 3);
    // After a crash another life carries the same decision out: nothing is launched again.
    let mut next = make(&peer, &group, Allowed::default()).unwrap();
    let done = runtime.block_on(next.scale(&activity(1, 3))).unwrap();
    assert_eq!(done, "the desired capacity was 3; 3 instances are in service");
    assert_eq!(instances(&look(&mut peer, &group)), before);
    let reference = |peer: &mut Peer, ids: &[String]| {
        let mut ec2 = Peer::of("ec2", MOTO).unwrap();
        let answer = ec2.call("describe_instances", json!({"InstanceIds": ids}));
        let states: Vec<String> = answer["Reservations"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|reservation| reservation["Instances"].as_array().unwrap().clone())
            .map(|instance| instance["State"]["Name"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(states.len(), ids.len(), "{}", peer.url);
        states.into_iter().fold(BTreeMap::<String, usize>::new(), |mut counts, state| {
            *counts.entry(state).or_default() += 1;
            counts
        })
    };
    assert_eq!(reference(&mut peer, &before), [("running".to_owned(), 3)].into());
    runtime.block_on(next.scale(&activity(2, 1))).unwrap();
    assert_eq!(
        reference(&mut peer, &before),
        [("running".to_owned(), 1), ("terminated".to_owned(), 2)].into()
    );
    runtime.block_on(next.scale(&activity(3, 0))).unwrap();
    assert_eq!(look(&mut peer, &group)["Instances"], json!([]));
}

#[test]
fn a_size_that_somebody_else_has_set_is_restored() {
    let Some(mut peer) = Peer::of("autoscaling", MOTO) else { return };
    let group = create(&mut peer, "restored", 2);
    let runtime = runtime();
    let mut actuator = make(&peer, &group, Allowed::default()).unwrap();
    assert_eq!(actuator.tends_every(), Some(Duration::from_secs(60)));
    // It does not know yet what size there should be.
    assert!(runtime.block_on(actuator.tend()).unwrap().is_empty());
    runtime.block_on(actuator.resume(2)).unwrap();
    assert!(runtime.block_on(actuator.tend()).unwrap().is_empty());
    peer.call("set_desired_capacity", json!({"AutoScalingGroupName": group, "DesiredCapacity": 4}));
    let deeds = runtime.block_on(actuator.tend()).unwrap();
    assert_eq!((deeds.len(), deeds[0].action, deeds[0].succeeded), (1, "restore", true));
    assert!(deeds[0].detail.contains("to 4; it is 2 again"), "{}", deeds[0].detail);
    assert_eq!(look(&mut peer, &group)["DesiredCapacity"], 2);
}

#[test]
fn what_is_not_there_is_refused_what_is_away_is_tried_again_and_what_is_not_allowed_is_not_made() {
    let Some(peer) = Peer::of("autoscaling", MOTO) else { return };
    let runtime = runtime();
    let mut actuator = make(&peer, "nowhere", Allowed::default()).unwrap();
    let error = runtime.block_on(actuator.scale(&activity(1, 3))).unwrap_err();
    assert!(!error.is_retryable() && error.to_string().contains("there is none of that name"), "{error}");
    // Between decisions a failure is told once, and stops nothing.
    runtime.block_on(actuator.resume(3)).unwrap();
    let deeds = runtime.block_on(actuator.tend()).unwrap();
    assert!(deeds.len() == 1 && !deeds[0].succeeded, "{deeds:?}");
    assert!(runtime.block_on(actuator.tend()).unwrap().is_empty());
    let mut away = Peer::of("autoscaling", MOTO).unwrap();
    away.url = "http://127.0.0.1:9".to_owned();
    let mut actuator = make(&away, "nowhere", Allowed::default()).unwrap();
    let error = runtime.block_on(actuator.scale(&activity(1, 3))).unwrap_err();
    assert!(error.is_retryable(), "{error}");
    let allowed = |names: &[&str]| Allowed {
        auto_scaling: Some(names.iter().map(|name| (*name).to_owned()).collect()),
        ..Allowed::default()
    };
    assert!(make(&peer, "web", allowed(&["web"])).is_ok());
    let error = make(&peer, "web", allowed(&["db"])).err().unwrap().to_string();
    assert!(error.contains("allows no Auto Scaling group 'web'"), "{error}");
}

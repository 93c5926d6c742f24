//! What groups decide: the examples of the service's documentation, one test each.

use super::*;
use crate::alarm::Side;
use crate::scaling::{AdjustmentType, Cron, Recurrence, Step, Steps, TargetTracking};

const SECOND: i64 = 1_000_000_000;

fn at(seconds: i64) -> EventTime {
    EventTime(seconds * SECOND)
}

fn group(min: i64, max: i64, desired: i64, policies: Vec<PolicyKind>) -> Group {
    let name = |nth: usize| ["first", "second", "third"][nth].to_owned();
    let policies =
        policies.into_iter().enumerate().map(|(nth, kind)| Policy { name: name(nth), kind }).collect();
    let cooldown = Duration::from_secs(300);
    let rules = GroupRules { min, max, desired, cooldown, warmup: None, policies, schedules: Vec::new() };
    rules.check().unwrap();
    Group::new(rules)
}

fn simple(kind: AdjustmentType, by: f64, cooldown: Option<u64>) -> PolicyKind {
    let adjustment = Adjustment { kind, by, magnitude_min: None };
    PolicyKind::Simple { adjustment, cooldown: cooldown.map(Duration::from_secs) }
}

fn change(by: f64) -> PolicyKind {
    simple(AdjustmentType::ChangeInCapacity, by, None)
}

fn steps(side: Side, steps: &[(Option<f64>, Option<f64>, f64)]) -> PolicyKind {
    let steps = steps.iter().map(|(lower, upper, by)| Step { lower: *lower, upper: *upper, by: *by });
    PolicyKind::Step {
        kind: AdjustmentType::PercentChangeInCapacity,
        steps: Steps::try_new(steps.collect()).unwrap(),
        magnitude_min: None,
        warmup: Some(Duration::from_secs(60)),
        threshold: 50.0,
        side,
    }
}

fn target(target: f64, disable_scale_in: bool) -> PolicyKind {
    PolicyKind::Target { tracking: TargetTracking { target, disable_scale_in }, warmup: None }
}

fn out() -> PolicyKind {
    steps(
        Side::Above,
        &[(Some(0.0), Some(10.0), 0.0), (Some(10.0), Some(20.0), 10.0), (Some(20.0), None, 30.0)],
    )
}

fn fewer() -> PolicyKind {
    steps(
        Side::Below,
        &[(Some(-10.0), Some(0.0), 0.0), (Some(-20.0), Some(-10.0), -10.0), (None, Some(-20.0), -30.0)],
    )
}

fn on(policy: usize, metric: f64) -> Ask {
    Ask { policy, metric: Some(metric), alarm: AlarmState::Alarm, low: AlarmState::Ok }
}

fn low(policy: usize, metric: f64) -> Ask {
    Ask { policy, metric: Some(metric), alarm: AlarmState::Ok, low: AlarmState::Alarm }
}

/// Decides, and lets what was begun be over at once.
fn now(group: &mut Group, seconds: i64, asks: &[Ask]) -> Vec<String> {
    let decisions = group.decide(at(seconds), asks);
    decisions
        .iter()
        .map(|decision| {
            if let Outcome::Scaled(activity) = decision.outcome {
                group.finish(activity, at(seconds), true);
                return format!("{} to {}", decision.before, decision.after);
            }
            decision.outcome.to_string()
        })
        .collect()
}

#[test]
fn steps_add_and_remove_by_distance() {
    let mut group = group(1, 100, 10, vec![out(), fewer()]);
    assert_eq!(now(&mut group, 0, &[on(0, 60.0)]), ["10 to 11"]);
    assert_eq!(now(&mut group, 100, &[on(0, 70.0)]), ["11 to 14"], "30% of 11 are 3.3");
    assert_eq!(now(&mut group, 200, &[on(1, 40.0)]), ["14 to 13"], "10% of 14 are 1.4");
    assert_eq!(now(&mut group, 300, &[on(1, 30.0)]), ["13 to 10"], "30% of 13 are 3.9");
    assert_eq!(now(&mut group, 400, &[on(0, 55.0)]), ["the size is what is asked for"]);
}

#[test]
fn the_same_step_twice_is_one_activity_and_a_larger_one_adds_the_rest() {
    let mut group = group(1, 100, 10, vec![out(), fewer()]);
    assert_eq!(now(&mut group, 0, &[on(0, 60.0)]), ["10 to 11"]);
    assert_eq!(now(&mut group, 30, &[on(0, 60.0)]), ["warming up: 1, which count already"]);
    assert_eq!(now(&mut group, 40, &[on(0, 75.0)]), ["11 to 13"], "30% of the 10 that have warmed up");
    let blocked = "warming up: 3, nothing is taken away meanwhile";
    assert_eq!(now(&mut group, 50, &[on(1, 30.0)]), [blocked]);
    assert_eq!(now(&mut group, 99, &[on(1, 30.0)]), ["warming up: 2, nothing is taken away meanwhile"]);
    assert_eq!(now(&mut group, 100, &[on(1, 30.0)]), ["13 to 10"]);
}

#[test]
fn launching_instances_count_like_those_that_warm_up() {
    let mut group = group(1, 100, 10, vec![out()]);
    let decided = group.decide(at(0), &[on(0, 60.0)]);
    assert_eq!(decided[0].outcome, Outcome::Scaled(1));
    assert_eq!(now(&mut group, 1_000, &[on(0, 60.0)]), ["warming up: 1, which count already"]);
    group.finish(1, at(1_000), true);
    assert_eq!(now(&mut group, 1_059, &[on(0, 60.0)]), ["warming up: 1, which count already"]);
    assert_eq!(now(&mut group, 1_060, &[on(0, 60.0)]), ["11 to 12"]);
}

#[test]
fn a_group_at_two_of_three_grows_to_three_only() {
    let mut group = group(0, 3, 2, vec![change(3.0)]);
    assert_eq!(now(&mut group, 0, &[on(0, 0.0)]), ["2 to 3"]);
    assert_eq!(now(&mut group, 1_000, &[on(0, 0.0)]), ["at the maximum of 3"]);
}

#[test]
fn a_group_of_three_with_a_minimum_of_two_shrinks_to_two() {
    let mut group = group(2, 9, 3, vec![change(-2.0)]);
    assert_eq!(now(&mut group, 0, &[on(0, 0.0)]), ["3 to 2"]);
    assert_eq!(now(&mut group, 1_000, &[on(0, 0.0)]), ["at the minimum of 2"]);
}

#[test]
fn of_several_policies_the_largest_capacity_wins() {
    let quarter = simple(AdjustmentType::PercentChangeInCapacity, -25.0, None);
    let mut group = group(0, 9, 8, vec![change(-3.0), quarter]);
    assert_eq!(now(&mut group, 0, &[on(0, 0.0), on(1, 0.0)]), ["second asks for a larger size", "8 to 6"]);
}

#[test]
fn a_policy_that_wants_more_at_the_maximum_keeps_another_from_taking_away() {
    let mut group = group(0, 8, 8, vec![change(2.0), change(-3.0)]);
    let said = now(&mut group, 0, &[on(0, 0.0), on(1, 0.0)]);
    assert_eq!(said, ["at the maximum of 8", "first asks for a larger size"]);
}

#[test]
fn a_cooldown_counts_from_the_end_of_the_activity_and_holds_back_simple_policies_only() {
    let own = simple(AdjustmentType::ChangeInCapacity, 1.0, Some(180));
    let mut group = group(1, 100, 10, vec![own, out()]);
    assert_eq!(group.decide(at(0), &[on(0, 0.0)])[0].outcome, Outcome::Scaled(1));
    assert_eq!(now(&mut group, 60, &[on(0, 0.0)]), ["activity 1 is in progress"]);
    group.finish(1, at(90), true);
    assert_eq!(now(&mut group, 120, &[on(0, 0.0)]), ["in cooldown until 1970-01-01T00:04:30Z"]);
    assert_eq!(now(&mut group, 269, &[on(0, 0.0)]), ["in cooldown until 1970-01-01T00:04:30Z"]);
    assert_eq!(now(&mut group, 269, &[on(1, 70.0)]), ["11 to 13"], "a step policy does not wait");
    assert_eq!(now(&mut group, 270, &[on(0, 0.0)]), ["13 to 14"]);
}

#[test]
fn the_cooldown_of_the_group_goes_where_the_policy_has_none() {
    let mut group = group(1, 100, 10, vec![change(1.0)]);
    assert_eq!(now(&mut group, 0, &[on(0, 0.0)]), ["10 to 11"]);
    assert_eq!(now(&mut group, 299, &[on(0, 0.0)]), ["in cooldown until 1970-01-01T00:05:00Z"]);
    assert_eq!(now(&mut group, 300, &[on(0, 0.0)]), ["11 to 12"]);
}

#[test]
fn a_failed_activity_begins_no_cooldown() {
    let mut group = group(1, 100, 10, vec![change(1.0)]);
    group.decide(at(0), &[on(0, 0.0)]);
    group.finish(1, at(10), false);
    assert_eq!(now(&mut group, 20, &[on(0, 0.0)]), ["11 to 12"]);
}

#[test]
fn target_tracking_goes_out_if_any_and_in_if_all_want() {
    let mut group = group(1, 100, 10, vec![target(50.0, false), target(100.0, false)]);
    assert_eq!(now(&mut group, 0, &[low(0, 20.0), on(1, 150.0)]), ["second does not want fewer", "10 to 15"]);
    let calm = Ask { policy: 1, metric: Some(95.0), alarm: AlarmState::Ok, low: AlarmState::Ok };
    assert_eq!(now(&mut group, 1_000, &[low(0, 20.0), calm]), ["second does not want fewer"]);
    assert_eq!(
        now(&mut group, 2_000, &[low(0, 20.0), low(1, 80.0)]),
        ["second asks for a larger size", "15 to 12"]
    );
}

#[test]
fn without_data_target_tracking_does_nothing() {
    let mut group = group(1, 100, 10, vec![target(50.0, false)]);
    let unknown = AlarmState::InsufficientData;
    let nothing = Ask { policy: 0, metric: None, alarm: unknown, low: unknown };
    assert!(now(&mut group, 0, &[nothing]).is_empty());
    let gap = Ask { metric: None, ..on(0, 0.0) };
    assert_eq!(now(&mut group, 60, &[gap]), ["the newest point is missing"]);
}

#[test]
fn scale_in_can_be_disabled_and_then_does_not_hold_back_others() {
    let mut group = group(1, 100, 10, vec![target(50.0, true), target(100.0, false)]);
    assert_eq!(now(&mut group, 0, &[low(0, 20.0), low(1, 50.0)]), ["the policy never takes away", "10 to 5"]);
}

#[test]
fn target_tracking_waits_for_its_instances_to_warm_up() {
    let mut group = group(1, 100, 10, vec![target(50.0, false)]);
    assert_eq!(now(&mut group, 0, &[on(0, 75.0)]), ["10 to 15"]);
    assert_eq!(now(&mut group, 60, &[on(0, 75.0)]), ["warming up: 5, which count already"]);
    assert_eq!(now(&mut group, 120, &[on(0, 100.0)]), ["15 to 20"], "twice the 10 that have warmed up");
    assert_eq!(now(&mut group, 299, &[low(0, 10.0)]), ["warming up: 10, nothing is taken away meanwhile"]);
    assert_eq!(
        now(&mut group, 420, &[low(0, 10.0)]),
        ["20 to 4"],
        "the group's cooldown of 300 s is the warm-up"
    );
}

fn scheduled(schedules: &[(&str, &str, Option<i64>, Option<i64>, Option<i64>)]) -> Group {
    let schedule =
        |(name, cron, min, max, desired): &(&str, &str, Option<i64>, Option<i64>, Option<i64>)| Schedule {
            name: (*name).to_owned(),
            times: Times::Again(Recurrence::new(Cron::parse(cron).unwrap())),
            min: *min,
            max: *max,
            desired: *desired,
        };
    let schedules = schedules.iter().map(schedule).collect();
    let rules = GroupRules { schedules, ..group(1, 10, 2, Vec::new()).rules().clone() };
    Group::new(rules)
}

fn run(group: &mut Group, until: i64) -> Vec<String> {
    let mut said = Vec::new();
    while let Some((due, _)) = group.next_scheduled(at(until)) {
        said.extend(group.run_scheduled(due).iter().map(|decision| {
            format!("{} {} {} to {}: {}", due, decision.by, decision.before, decision.after, decision.outcome)
        }));
    }
    said
}

#[test]
fn scheduled_actions_set_bounds_and_size_in_order() {
    let day = ("day", "0 8 * * *", Some(4), None, None);
    let rush = ("rush", "0 8 * * *", None, Some(20), Some(15));
    let night = ("night", "0 20 * * *", Some(0), Some(3), None);
    let mut group = scheduled(&[day, rush, night]);
    assert!(run(&mut group, 0).is_empty(), "time begins here");
    assert_eq!(
        run(&mut group, 86_400),
        [
            "1970-01-01T08:00:00Z day 2 to 4: activity 1",
            "1970-01-01T08:00:00Z rush 4 to 15: activity 2",
            "1970-01-01T20:00:00Z night 15 to 3: activity 3",
        ]
    );
    assert_eq!((group.state().min, group.state().max, group.state().desired), (0, 3, 3));
}

#[test]
fn a_schedule_that_contradicts_itself_does_nothing() {
    let mut group = scheduled(&[("wrong", "0 8 * * *", Some(30), None, None)]);
    run(&mut group, 0);
    let said = run(&mut group, 86_400);
    assert_eq!(said, ["1970-01-01T08:00:00Z wrong 2 to 2: the minimum would be greater than the maximum"]);
}

#[test]
fn a_group_goes_on_where_its_state_was_saved() {
    let mut group = group(1, 100, 10, vec![change(1.0), out()]);
    group.decide(at(0), &[on(1, 70.0)]);
    group.finish(1, at(5), true);
    now(&mut group, 10, &[on(0, 0.0)]);
    let text = serde_json::to_string(group.state()).unwrap();
    let again = Group::restore(group.rules().clone(), serde_json::from_str(&text).unwrap());
    assert_eq!(again.state(), group.state());
}

#[test]
fn bounds_have_to_fit() {
    let check = |min, max, desired| {
        let rules = GroupRules { min, max, desired, ..group(0, 1, 1, Vec::new()).rules().clone() };
        rules.check().is_ok()
    };
    assert!(check(1, 2, 1) && check(0, 0, 0));
    assert!(!check(2, 1, 2) && !check(1, 2, 3) && !check(1, 2, 0) && !check(-1, 2, 0));
}

/// SetDesiredCapacity: the cooldown is honored only if that is asked for.
#[test]
fn a_size_set_by_hand_honors_a_cooldown_only_if_asked_to() {
    let more = PolicyKind::Simple {
        adjustment: Adjustment { kind: AdjustmentType::ChangeInCapacity, by: 1.0, magnitude_min: None },
        cooldown: None,
    };
    let mut group = group(1, 10, 2, vec![more]);
    let ask = Ask { policy: 0, metric: Some(1.0), alarm: AlarmState::Alarm, low: AlarmState::Ok };
    assert_eq!(group.decide(at(0), &[ask])[0].outcome, Outcome::Scaled(1));
    let resize =
        |desired, honor_cooldown| Resize { desired: Some(desired), honor_cooldown, ..Resize::default() };
    let in_progress = group.resize(at(10), &resize(5, true));
    assert_eq!(in_progress.outcome, Outcome::Nothing(WhyNot::InProgress(1)));
    group.finish(1, at(20), true);
    let cooling = group.resize(at(319), &resize(5, true));
    assert_eq!(cooling.outcome, Outcome::Nothing(WhyNot::Cooldown(at(320))));
    assert_eq!((cooling.before, cooling.wanted, cooling.after), (3, Some(5), 3));
    let at_once = group.resize(at(319), &resize(5, false));
    assert_eq!((at_once.by.as_str(), at_once.after), ("ALTER SCALING GROUP", 5));
    assert_eq!(at_once.outcome, Outcome::Scaled(2));
    group.finish(2, at(319), true);
    assert_eq!(group.resize(at(320), &resize(4, true)).outcome, Outcome::Scaled(3));
}

/// A size outside of the bounds is a ValidationError; bounds bring the size within them.
#[test]
fn a_size_set_by_hand_lies_within_the_bounds_and_bounds_move_the_size() {
    let mut group = group(2, 4, 3, Vec::new());
    let desired = |desired| Resize { desired: Some(desired), ..Resize::default() };
    for wrong in [1, 5] {
        assert_eq!(group.resize(at(0), &desired(wrong)).outcome, Outcome::Nothing(WhyNot::OutOfBounds(2, 4)));
    }
    assert_eq!(group.state().desired, 3);
    let both = Resize { max: Some(6), desired: Some(5), ..Resize::default() };
    assert_eq!((group.resize(at(1), &both).after, group.state().max), (5, 6));
    let lower = Resize { max: Some(4), ..Resize::default() };
    assert_eq!(group.resize(at(2), &lower).after, 4);
    let wider = Resize { max: Some(9), ..Resize::default() };
    assert_eq!(group.resize(at(3), &wider).outcome, Outcome::Bounds);
    let crossed = Resize { min: Some(10), ..Resize::default() };
    assert_eq!(group.resize(at(4), &crossed).outcome, Outcome::Nothing(WhyNot::BadBounds));
    assert_eq!(group.resize(at(5), &desired(4)).outcome, Outcome::Nothing(WhyNot::Same));
}

#[test]
fn a_warm_up_is_the_policys_then_the_groups_then_the_cooldown() {
    let warm_after = |own: Option<u64>, of_group: Option<u64>| {
        let tracking = TargetTracking { target: 50.0, disable_scale_in: false };
        let tracked = PolicyKind::Target { tracking, warmup: own.map(Duration::from_secs) };
        let warmup = of_group.map(Duration::from_secs);
        let rules = GroupRules { warmup, ..group(1, 100, 10, vec![tracked]).rules().clone() };
        let mut group = Group::new(rules);
        assert_eq!(now(&mut group, 0, &[on(0, 100.0)]), ["10 to 20"]);
        (1..1_000).find(|second| {
            group.state.activities.pass(at(*second));
            group.state.activities.warming() == 0
        })
    };
    assert_eq!(warm_after(Some(60), Some(120)), Some(60));
    assert_eq!(warm_after(None, Some(120)), Some(120));
    assert_eq!(warm_after(None, None), Some(300));
}

#[test]
fn a_schedule_does_not_wait_for_a_cooldown() {
    let schedules = scheduled(&[("minute", "* * * * *", None, None, Some(5))]).rules().schedules.clone();
    let mut group =
        Group::new(GroupRules { schedules, ..group(1, 100, 10, vec![change(1.0)]).rules().clone() });
    assert!(run(&mut group, 0).is_empty());
    assert_eq!(now(&mut group, 30, &[on(0, 0.0)]), ["10 to 11"]);
    assert_eq!(now(&mut group, 59, &[on(0, 0.0)]), ["in cooldown until 1970-01-01T00:05:30Z"]);
    assert_eq!(run(&mut group, 60), ["1970-01-01T00:01:00Z minute 11 to 5: activity 2"]);
}

#[test]
fn a_group_under_other_rules_keeps_what_it_has_come_to() {
    let mut before = group(1, 100, 10, vec![change(1.0)]);
    assert_eq!(now(&mut before, 0, &[on(0, 0.0)]), ["10 to 11"]);
    let cooldown = Duration::from_secs(60);
    let rules = GroupRules { cooldown, ..group(1, 100, 10, vec![change(2.0)]).rules().clone() };
    let mut after = Group::go_on(rules, before.state().clone(), at(100));
    assert_eq!(now(&mut after, 299, &[on(0, 0.0)]), ["in cooldown until 1970-01-01T00:05:00Z"]);
    assert_eq!(now(&mut after, 300, &[on(0, 0.0)]), ["11 to 13"]);
    assert_eq!(now(&mut after, 359, &[on(0, 0.0)]), ["in cooldown until 1970-01-01T00:06:00Z"]);
    assert_eq!(now(&mut after, 360, &[on(0, 0.0)]), ["13 to 15"]);
}

#[test]
fn what_was_due_before_a_schedule_was_there_is_not_made_up_for() {
    let mut before = scheduled(&[("late", "0 20 * * *", None, None, Some(5))]);
    assert!(run(&mut before, 0).is_empty());
    let rules = scheduled(&[("early", "0 8 * * *", None, None, Some(7))]).rules().clone();
    let mut after = Group::go_on(rules, before.state().clone(), at(9 * 3_600));
    assert!(run(&mut after, 20 * 3_600).is_empty());
    assert_eq!(run(&mut after, 33 * 3_600), ["1970-01-02T08:00:00Z early 2 to 7: activity 1"]);
}

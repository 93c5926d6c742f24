//! CREATE SCALING POLICY, CREATE SCALING GROUP and ALTER SCALING GROUP.
//!
//! ```text
//!  CREATE [OR REPLACE] SCALING POLICY name ON ALARM alarm WITH (type = simple, adjustment = ..., by = ..., cooldown = ...)
//!  CREATE SCALING POLICY name ON ALARM alarm WITH (type = step, adjustment = ..., steps = '0..10: 0, 10..: 30', warmup = ...)
//!  CREATE SCALING POLICY name ON stream STATISTIC ... PERIOD ... WITH (type = target, target = 50, ...)
//!  CREATE SCALING POLICY name SCHEDULE '0 8 * * MON-FRI' WITH (min = ..., max = ..., desired = ..., time_zone = ..., ...)
//!  CREATE SCALING POLICY name SCHEDULE AT '2026-03-01 08:00:00' WITH (min = ..., max = ..., desired = ...)
//!  CREATE [OR REPLACE] SCALING GROUP name POLICIES (a, b) WITH (min = ..., max = ..., desired = ..., cooldown = ..., actuator = ...)
//!  ALTER SCALING GROUP name SET (min = ..., max = ..., desired = ..., honor_cooldown = ...)
//!  ALTER SCALING GROUP name SET (cooldown = ..., warmup = ...)
//! ```

use std::time::Duration;

use headwater_core::EventTime;
use headwater_decide::DecideError;
use headwater_decide::scaling::{
    Adjustment, AdjustmentType, Cron, GroupRules, Recurrence, Resize, Steps, TargetTracking, Times, zone,
};

use super::alarms::{read_source, wrong};
use super::create::{if_not_exists, new_name};
use super::given::Options;
use super::reader::Reader;
use super::statements::{read_time, time_of};
use crate::error::{Mistake, Result, SqlError};
use crate::scaling::{Actuator, GroupDef, PolicyDef, PolicyWhat};
use crate::script::Position;
use crate::statement::{
    AlterScalingGroup, CreateScalingGroup, CreateScalingPolicy, GroupChange, Name, Statement,
};
use crate::trigger::StartAt;

/// The cooldown of a group that says nothing else.
const COOLDOWN: Duration = Duration::from_secs(300);

/// Reads what follows `CREATE`.
pub(super) fn read_scaling(reader: &mut Reader, or_replace: bool) -> Result<Statement> {
    reader.expect_words("SCALING")?;
    if reader.take_words("GROUP") {
        return read_group(reader, or_replace);
    }
    if !reader.take_words("POLICY") {
        return Err(reader.expected("GROUP or POLICY"));
    }
    let if_not_exists = if_not_exists(reader);
    let name = new_name(reader, "a name")?;
    let what = read_policy(reader, &name)?;
    let definition = PolicyDef { name: name.value.clone(), what };
    Ok(Statement::CreateScalingPolicy(CreateScalingPolicy { name, definition, or_replace, if_not_exists }))
}

fn read_policy(reader: &mut Reader, name: &Name) -> Result<PolicyWhat> {
    if reader.take_words("SCHEDULE") {
        return read_schedule(reader, name);
    }
    if reader.take_words("ON ALARM") {
        let alarm = reader.name("an alarm")?.value;
        let options = Options::read(reader)?;
        return read_on_alarm(alarm, options, reader, name.position);
    }
    let at = reader.position();
    let source = read_source(reader)?;
    let mut options = Options::read(reader)?;
    let metric = source.metric(&mut options, reader, at)?;
    let kind = options.text("type");
    let target = options.number("target")?;
    let (None | Some("target" | "target_tracking"), Some(target)) = (kind.as_deref(), target) else {
        return Err(SqlError::new(Mistake::Option, "a policy on a metric has a target")
            .at(at, reader.script())
            .hint("WITH (type = target, target = 50); simple and step policies are ON ALARM name"));
    };
    let disable_scale_in = options.truth("disable_scale_in")?.unwrap_or(false);
    let tracking = TargetTracking { target, disable_scale_in };
    tracking.check().map_err(|error| wrong(error, reader, at))?;
    let warmup = options.duration("warmup")?;
    options.finish("a target policy", &["type", "target", "disable_scale_in", "warmup", "period", "unit"])?;
    Ok(PolicyWhat::Target { metric, tracking, warmup })
}

fn read_schedule(reader: &mut Reader, name: &Name) -> Result<PolicyWhat> {
    let at = reader.position();
    let mut times = if reader.take_words("AT") {
        Times::Once(read_time(reader)?)
    } else {
        let text = reader.string("a schedule such as '0 8 * * MON-FRI', or AT and a time")?;
        Times::Again(Recurrence::new(Cron::parse(&text).map_err(|error| wrong(error, reader, at))?))
    };
    let mut options = Options::read(reader)?;
    let (min, max, desired) = (options.whole("min")?, options.whole("max")?, options.whole("desired")?);
    let mut known = vec!["min", "max", "desired"];
    if let Times::Again(again) = &mut times {
        again.zone = options.parsed("time_zone", zone)?.unwrap_or(again.zone);
        again.start = options.parsed("start_time", moment)?;
        again.end = options.parsed("end_time", moment)?;
        again.check().map_err(|error| wrong(error, reader, at))?;
        known.extend(["time_zone", "start_time", "end_time"]);
    }
    options.finish("a schedule", &known)?;
    if [min, max, desired].into_iter().flatten().any(|size: i64| size < 0) {
        return Err(
            SqlError::new(Mistake::Option, "a size is not negative").at(name.position, reader.script())
        );
    }
    if (min, max, desired) == (None, None, None) {
        return Err(SqlError::new(Mistake::Option, "the schedule sets nothing")
            .at(name.position, reader.script())
            .hint("WITH (min = ..., max = ..., desired = ...), at least one of them"));
    }
    Ok(PolicyWhat::Schedule { times, min, max, desired })
}

fn moment(text: &str) -> std::result::Result<EventTime, DecideError> {
    time_of(text).ok_or_else(|| {
        DecideError::new(format!("'{text}' is no time: write it as '2026-03-01 08:00:00', in UTC"))
    })
}

fn read_on_alarm(alarm: String, mut options: Options, reader: &Reader, at: Position) -> Result<PolicyWhat> {
    let kind = options.text("type");
    let adjustment = options.parsed("adjustment", AdjustmentType::parse)?;
    let adjustment = adjustment.unwrap_or(AdjustmentType::ChangeInCapacity);
    let magnitude_min = options.whole("min_adjustment_magnitude")?;
    match kind.as_deref() {
        Some("simple") | None => {
            let by = options.number("by")?.ok_or_else(|| {
                SqlError::new(Mistake::Option, "the policy does not say by how much")
                    .at(at, reader.script())
                    .hint("WITH (by = 1)")
            })?;
            let adjustment = Adjustment { kind: adjustment, by, magnitude_min };
            adjustment.check().map_err(|error| wrong(error, reader, at))?;
            let cooldown = options.duration("cooldown")?;
            options.finish(
                "a simple policy",
                &["type", "adjustment", "by", "min_adjustment_magnitude", "cooldown"],
            )?;
            Ok(PolicyWhat::Simple { alarm, adjustment, cooldown })
        }
        Some("step") => {
            let steps = options.parsed("steps", Steps::parse)?.ok_or_else(|| {
                SqlError::new(Mistake::Option, "the policy has no steps")
                    .at(at, reader.script())
                    .hint("WITH (steps = '0..10: 1, 10..: 2')")
            })?;
            for step in steps.as_slice() {
                let adjustment = Adjustment { kind: adjustment, by: step.by, magnitude_min };
                adjustment.check().map_err(|error| wrong(error, reader, at))?;
            }
            let warmup = options.duration("warmup")?;
            options.finish(
                "a step policy",
                &["type", "adjustment", "steps", "min_adjustment_magnitude", "warmup"],
            )?;
            Ok(PolicyWhat::Step { alarm, kind: adjustment, steps, magnitude_min, warmup })
        }
        Some(other) => {
            let error = DecideError::new(format!("there is no policy '{other}' on an alarm: simple or step"));
            Err(wrong(error, reader, at))
        }
    }
}

/// Reads what follows `ALTER SCALING GROUP`.
pub(super) fn read_alter_group(reader: &mut Reader) -> Result<Statement> {
    let name = reader.name("a scaling group")?;
    reader.expect_words("SET")?;
    let mut options = Options::expect(reader)?;
    let resize = Resize {
        min: options.whole("min")?,
        max: options.whole("max")?,
        desired: options.whole("desired")?,
        honor_cooldown: options.truth("honor_cooldown")?.unwrap_or(false),
    };
    let (cooldown, warmup) = (options.duration("cooldown")?, options.duration("warmup")?);
    let known = ["min", "max", "desired", "honor_cooldown", "cooldown", "warmup"];
    options.finish("a scaling group that is there", &known)?;
    let wrong = |message: &str| {
        Err(SqlError::new(Mistake::Option, message)
            .at(name.position, reader.script())
            .hint("SET (desired = 2)"))
    };
    let sizes = [resize.min, resize.max, resize.desired];
    let rules = cooldown.or(warmup).is_some();
    if rules && (resize.honor_cooldown || sizes.iter().flatten().next().is_some()) {
        return wrong("sizes and rules are set by a statement each, as a size may be refused");
    }
    if rules {
        let change = GroupChange::Rules { cooldown, warmup };
        return Ok(Statement::AlterScalingGroup(AlterScalingGroup { name, change }));
    }
    if sizes.iter().flatten().next().is_none() {
        return wrong("min, max, desired, cooldown or warmup: one of them is to be set");
    }
    if sizes.into_iter().flatten().any(|size| size < 0) {
        return wrong("a size is not negative");
    }
    Ok(Statement::AlterScalingGroup(AlterScalingGroup { name, change: GroupChange::Resize(resize) }))
}

fn read_group(reader: &mut Reader, or_replace: bool) -> Result<Statement> {
    let if_not_exists = if_not_exists(reader);
    let name = new_name(reader, "a name")?;
    reader.expect_words("POLICIES")?;
    let policies = reader.columns()?;
    let mut options = Options::read(reader)?;
    let min = options.whole("min")?;
    let max = options.whole("max")?;
    let (Some(min), Some(max)) = (min, max) else {
        return Err(SqlError::new(Mistake::Option, "a scaling group needs its bounds")
            .at(name.position, reader.script())
            .hint("WITH (min = 1, max = 4)"));
    };
    let actuator = options.text("actuator").unwrap_or_else(|| "dry_run".to_owned());
    let start = options.parsed("start", |text| match text.to_lowercase().as_str() {
        "latest" => Ok(StartAt::Latest),
        "earliest" => Ok(StartAt::Earliest),
        _ => Err(DecideError::new(format!("'{text}' is no value for 'start': latest or earliest"))),
    })?;
    let (desired, cooldown, warmup) =
        (options.whole("desired")?, options.duration("cooldown")?, options.duration("warmup")?);
    let actuator = match actuator.as_str() {
        "dry_run" => Actuator::DryRun,
        "external" => Actuator::External,
        _ => Actuator::Host { name: actuator, options: options.rest() },
    };
    // One that acts must not act on what is long past.
    let start = start.unwrap_or(if actuator.is_host() { StartAt::Latest } else { StartAt::Earliest });
    let definition = GroupDef {
        name: name.value.clone(),
        min,
        max,
        desired: desired.unwrap_or(min),
        cooldown: cooldown.unwrap_or(COOLDOWN),
        warmup,
        policies: policies.iter().map(|policy| policy.value.clone()).collect(),
        actuator,
        start,
    };
    let known = ["min", "max", "desired", "cooldown", "warmup", "actuator", "start"];
    options.finish("a scaling group", &known)?;
    let rules = GroupRules {
        min: definition.min,
        max: definition.max,
        desired: definition.desired,
        cooldown: definition.cooldown,
        warmup: definition.warmup,
        policies: Vec::new(),
        schedules: Vec::new(),
    };
    rules.check().map_err(|error| wrong(error, reader, name.position))?;
    Ok(Statement::CreateScalingGroup(CreateScalingGroup {
        name,
        policies,
        definition,
        or_replace,
        if_not_exists,
    }))
}

//! What an alarm or a scaling group had come to when another definition took its place. It is read out of the checkpoint of the old one and
//! told to the new one, so that it is in the journal like everything that people say.

use std::collections::BTreeMap;

use headwater_decide::alarm::AlarmState;
use headwater_decide::scaling::GroupState;
use serde::{Deserialize, Serialize};

/// What a definition had come to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Former {
    /// An alarm, for one value of its dimensions.
    Alarm(FormerAlarm),
    /// A scaling group.
    Group(Box<FormerGroup>),
}

/// What an alarm had come to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormerAlarm {
    /// Which of its metrics, such as `host=a`.
    pub dimensions: String,
    /// Its state.
    pub state: AlarmState,
    /// Of a composite alarm: the states of the alarms that it has heard.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub alarms: BTreeMap<String, AlarmState>,
}

/// What a scaling group had come to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormerGroup {
    /// Size and bounds, activities and cooldowns.
    pub state: GroupState,
    /// What its policies have heard, by their names.
    pub policies: BTreeMap<String, Heard>,
}

/// What a policy has heard of its alarms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heard {
    /// The state of its alarm; of target tracking, of the one that says that there are too few.
    pub alarm: AlarmState,
    /// Of target tracking: the state of the one that says that there are too many.
    pub low: AlarmState,
    /// When it last asked for something.
    pub asked: Option<i64>,
}

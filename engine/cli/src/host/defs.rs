//! What was defined in SQL, as the library of connectors takes it.

use std::collections::BTreeMap;

use headwater_connectors::{ActuatorDef, ConnectorDef, DeliveryDef, Target};
use headwater_core::StreamName;
use headwater_plan::{Action, Actuator, StreamDef};
use headwater_run::{GroupActuator, TriggerDelivery};

/// Options of a table that are its stream's and not its connector's.
const OF_THE_STREAM: [&str; 8] = [
    "connector",
    "shards",
    "retention",
    "retention.age",
    "retention.bytes",
    "durability",
    "scan.watermark.idle-timeout",
    "clock.guard",
];

/// The connector of a table, with the options that are its own.
pub(super) fn def_of(table: &StreamDef) -> Result<ConnectorDef, String> {
    let of_the_connector = |(key, _): &(&String, &String)| !OF_THE_STREAM.contains(&key.as_str());
    let options = table.options.iter().filter(of_the_connector);
    let mut options: BTreeMap<_, _> = options.map(|(key, value)| (key.clone(), value.clone())).collect();
    if table.connector.as_deref() == Some("filesystem") && !table.partition_by.is_empty() {
        options.entry("partition-by".to_owned()).or_insert_with(|| table.partition_by.join(","));
    }
    Ok(ConnectorDef {
        name: table.name.clone(),
        connector: table.connector.clone().unwrap_or_default(),
        stream: StreamName::new(&table.name).map_err(|error| error.to_string())?,
        key: table.primary_key.clone(),
        options,
        metadata: table.metadata.clone(),
    })
}

/// The delivery of a trigger's firings.
pub(super) fn delivery_of(delivery: &TriggerDelivery) -> Result<DeliveryDef, String> {
    let target = match &delivery.def.action {
        Action::Webhook { url } => Target::Webhook { url: url.clone() },
        Action::Publish { topic } => Target::Publish { topic: topic.clone() },
        Action::Command { name, arguments } => {
            Target::Command { name: name.clone(), arguments: arguments.clone() }
        }
        other => return Err(format!("{} delivers nothing", other.describe())),
    };
    Ok(DeliveryDef {
        trigger: delivery.def.name.clone(),
        keys: delivery.keys.clone(),
        target,
        options: delivery.def.options.clone(),
    })
}

/// The actuator of a scaling group.
pub(super) fn actuator_of(actuator: &GroupActuator) -> Result<ActuatorDef, String> {
    let group = &actuator.def;
    let Actuator::Host { name, options } = &group.actuator else {
        return Err(format!("nothing is carried out by {}", group.actuator.as_str()));
    };
    let size = |size: i64| u64::try_from(size).unwrap_or(0);
    Ok(ActuatorDef {
        group: group.name.clone(),
        identity: actuator.identity.clone(),
        actuator: name.clone(),
        size: size(group.desired),
        bounds: (size(group.min), size(group.max)),
        options: options.clone(),
    })
}

//! Lets the engine run the connectors of `headwater-connectors`, of which it knows nothing itself.

mod asked;
mod defs;
mod running;

use std::sync::{Arc, OnceLock};

use arrow::datatypes::SchemaRef;
use headwater_connectors::registry::{connector, make_lookup, make_sink, make_source};
use headwater_connectors::{
    ATTEMPTS, Allowed, ConnectorDef, ConnectorError, ConnectorSupervisor, Context, DELIVERIES, Wanted,
    attempts_schema, deliveries_schema,
};
use headwater_core::World;
use headwater_ingest::Ingest;
use headwater_plan::{MapReduceDef, SCALING_ACTIVITIES, StreamDef};
use headwater_run::{
    ConnectorHost, ConnectorTable, GroupActuator, LookupTable, Result, Role, RunError, RunningConnector,
    RunningPrograms, TriggerDelivery,
};
use parking_lot::Mutex;

use self::asked::Asked;
use self::defs::{actuator_of, def_of, delivery_of};
use self::running::Running;
use crate::programs;

/// The connectors of this binary.
pub(crate) struct Connectors {
    world: World,
    /// What triggers, actuators and sinks may reach.
    allowed: Allowed,
    /// Made with the first connector: it needs the way into the log, which the engine makes.
    supervisor: OnceLock<ConnectorSupervisor>,
}

impl Connectors {
    pub fn new(world: World, allowed: Allowed) -> Self {
        Self { world, allowed, supervisor: OnceLock::new() }
    }

    fn supervisor(&self, ingest: &Arc<Ingest>) -> std::result::Result<&ConnectorSupervisor, ConnectorError> {
        if let Some(supervisor) = self.supervisor.get() {
            return Ok(supervisor);
        }
        let supervisor = ConnectorSupervisor::new(Arc::clone(ingest), tokio::runtime::Handle::current())?;
        let supervisor = supervisor.with_allowed(self.allowed.clone());
        Ok(self.supervisor.get_or_init(|| supervisor))
    }

    fn context_of(&self, table: &StreamDef, def: &ConnectorDef) -> Context {
        def.context(&self.world, &self.allowed, &table.schema, table.stored_event_time())
    }

    /// Checks a connector's name and options by making it; whether its input ends by itself.
    fn check(&self, table: &ConnectorTable) -> std::result::Result<bool, String> {
        let def = def_of(&table.def)?;
        let context = self.context_of(&table.def, &def);
        let bounded = match table.role {
            Role::Source => {
                make_source(&def.connector, context, def.options()).map(|source| source.is_bounded())
            }
            // What is only read is no column of what is written, as in Flink.
            Role::Sink => {
                make_sink(&def.connector, context.without(&table.def.read_only), def.options()).map(|_| false)
            }
        };
        bounded.map_err(|error| error.to_string())
    }
}

impl ConnectorHost for Connectors {
    fn streams(&self) -> Vec<(&'static str, SchemaRef)> {
        vec![(DELIVERIES, deliveries_schema()), (ATTEMPTS, attempts_schema())]
    }

    fn start_programs(
        &self,
        def: &Arc<MapReduceDef>,
        work: std::path::PathBuf,
        again: bool,
        failed: Box<dyn FnOnce(String) + Send>,
    ) -> std::result::Result<Box<dyn RunningPrograms>, String> {
        programs::start(&self.world, &self.allowed, def, work, again, failed)
    }

    fn validate(&self, table: &ConnectorTable) -> std::result::Result<(), String> {
        self.check(table).map(|_| ())
    }

    fn only_role(&self, table: &StreamDef) -> Option<Role> {
        if let Some(said) = table.options.get("type") {
            return Some(if said.eq_ignore_ascii_case("source") { Role::Source } else { Role::Sink });
        }
        let connector = connector(table.connector.as_deref().unwrap_or_default()).ok()?;
        match (connector.source, connector.sink) {
            (Some(_), None) => Some(Role::Source),
            (None, Some(_)) => Some(Role::Sink),
            _ => None,
        }
    }

    fn start(
        &self,
        table: ConnectorTable,
        ingest: Arc<Ingest>,
        ended: Box<dyn FnOnce() + Send>,
    ) -> Result<Box<dyn RunningConnector>> {
        let failed = |reason: String| RunError::Connector { table: table.def.name.clone(), reason };
        let bounded = self.check(&table).map_err(failed)?;
        let def = def_of(&table.def).map_err(failed)?;
        let supervisor = self.supervisor(&ingest).map_err(|error| failed(error.to_string()))?;
        let handle = match table.role {
            Role::Source => supervisor.start_source(def, move |_| ended()),
            Role::Sink => supervisor.start_sink_told(def, &table.def.read_only, table.watermark),
        };
        let handle = Mutex::new(Some(handle.map_err(|error| failed(error.to_string()))?));
        let stream = ingest.log().stream_named(&table.def.name)?.id;
        let (role, log, follows) = (table.role, Arc::clone(ingest.log()), table.role == Role::Sink);
        Ok(Box::new(Running { handle, role, bounded, log, stream, follows }))
    }

    fn look_up(
        &self,
        table: &StreamDef,
        columns: SchemaRef,
        key: Vec<String>,
    ) -> std::result::Result<Box<dyn LookupTable>, String> {
        let def = def_of(table)?;
        let context = self.context_of(table, &def);
        let lookup = make_lookup(&def.connector, context, Wanted { columns, key }, def.options());
        let lookup = lookup.map_err(|error| error.to_string())?;
        Ok(Box::new(Asked { lookup, runtime: tokio::runtime::Handle::current() }))
    }

    fn forget(&self, table: &str, ingest: &Arc<Ingest>) -> Result<()> {
        let failed = |error: ConnectorError| RunError::Connector {
            table: table.to_owned(),
            reason: error.to_string(),
        };
        headwater_mqtt::connector::forget(table);
        headwater_wamp::connector::forget(table);
        let supervisor = self.supervisor(ingest).map_err(failed)?;
        supervisor.forget_source(table).and_then(|()| supervisor.forget_sink(table)).map_err(failed)
    }

    fn validate_delivery(&self, delivery: &TriggerDelivery) -> std::result::Result<(), String> {
        let def = delivery_of(delivery)?;
        ConnectorSupervisor::validate_delivery(&def, &delivery.schema, &self.allowed, &self.world)
            .map_err(|error| error.to_string())
    }

    fn begin_delivery(&self, trigger: &str, ingest: &Arc<Ingest>) -> Result<()> {
        let failed = |error: ConnectorError| RunError::Delivery {
            trigger: trigger.to_owned(),
            reason: error.to_string(),
        };
        let supervisor = self.supervisor(ingest).map_err(failed)?;
        supervisor.begin_delivery(trigger).map_err(failed)
    }

    fn start_delivery(
        &self,
        delivery: TriggerDelivery,
        ingest: Arc<Ingest>,
    ) -> Result<Box<dyn RunningConnector>> {
        let failed = |reason: String| RunError::Delivery { trigger: delivery.def.name.clone(), reason };
        let def = delivery_of(&delivery).map_err(failed)?;
        let supervisor = self.supervisor(&ingest).map_err(|error| failed(error.to_string()))?;
        let handle = supervisor.start_delivery(&def, &self.allowed);
        let handle = Mutex::new(Some(handle.map_err(|error| failed(error.to_string()))?));
        let (log, stream) = (Arc::clone(ingest.log()), ingest.log().stream_named(&delivery.def.name)?.id);
        Ok(Box::new(Running { handle, role: Role::Sink, bounded: false, log, stream, follows: true }))
    }

    fn validate_actuator(&self, actuator: &GroupActuator) -> std::result::Result<(), String> {
        let checked = ConnectorSupervisor::validate_actuator(
            &actuator_of(actuator)?,
            &self.world,
            &self.allowed,
            Arc::clone(&actuator.set_workers),
        );
        checked.map_err(|error| error.to_string())
    }

    fn start_actuator(
        &self,
        actuator: GroupActuator,
        ingest: Arc<Ingest>,
    ) -> Result<Box<dyn RunningConnector>> {
        let failed = |reason: String| RunError::Actuator { group: actuator.def.name.clone(), reason };
        let def = actuator_of(&actuator).map_err(failed)?;
        let supervisor = self.supervisor(&ingest).map_err(|error| failed(error.to_string()))?;
        let handle = supervisor.start_actuator(def, &self.allowed, Arc::clone(&actuator.set_workers));
        let handle = Mutex::new(Some(handle.map_err(|error| failed(error.to_string()))?));
        let (log, stream) = (Arc::clone(ingest.log()), ingest.log().stream_named(SCALING_ACTIVITIES)?.id);
        Ok(Box::new(Running { handle, role: Role::Sink, bounded: false, log, stream, follows: false }))
    }
}

#[cfg(test)]
mod tests;

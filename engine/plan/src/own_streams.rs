//! The engine's own streams: which there are, and that nobody else writes into them.

use headwater_core::StreamName;

use crate::decision::alarm_history;
use crate::definition::StreamDef;
use crate::error::{Mistake, Result, SqlError};
use crate::job_metrics::job_metrics;
use crate::scaling::scaling_streams;
use crate::statement::{Name, Parsed, Query, Statement};
use crate::trigger::Action;

/// The engine's own streams that alarms, groups and measurements go to. They are in a log from the start, and in the catalog as soon as
/// something there names them.
pub fn own_streams() -> Vec<StreamDef> {
    let mut streams = scaling_streams().to_vec();
    streams.extend([alarm_history(), job_metrics()]);
    streams
}

/// Refuses a definition that would have rows written into a stream of the engine's own, or that would change or drop one. Statements that
/// stand in a catalog already are not asked: a log with such a definition still opens.
pub fn check_own_streams(parsed: &Parsed) -> Result<()> {
    let late_of = |query: &Query| query.options.late.as_deref().cloned();
    let written: Vec<Name> = match &parsed.statement {
        Statement::CreateJob(job) => {
            [job.target.clone()].into_iter().chain(late_of(&job.definition.query)).collect()
        }
        Statement::CreateMaterializedView(view) => late_of(&view.definition.query).into_iter().collect(),
        Statement::CreateTrigger(trigger) => match &trigger.definition.action {
            Action::Insert { target, position, .. } => {
                vec![Name { value: target.clone(), position: *position }]
            }
            _ => Vec::new(),
        },
        Statement::AlterStream(alter) => vec![alter.name.clone()],
        Statement::Drop(drop) => vec![drop.name.clone()],
        _ => Vec::new(),
    };
    let is_own = |name: &&Name| StreamName::new(&name.value).is_ok_and(|name| name.is_system());
    match written.iter().find(is_own) {
        None => Ok(()),
        Some(name) => {
            let message =
                format!("'{}' is the engine's own: others read it, and do not change it", name.value);
            Err(SqlError::new(Mistake::Definition, message)
                .at(name.position, &parsed.script)
                .hint("write into a stream of your own: CREATE STREAM"))
        }
    }
}

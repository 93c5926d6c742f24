//! What is said about something that has just been defined.

use std::collections::BTreeSet;
use std::sync::Arc;

use headwater_operators::StateBound;
use headwater_plan::statement::Kind;
use headwater_plan::{Catalog, Dataflow, Entry, Parsed, Statement};

use super::{Inner, writes_into};

impl Inner {
    /// What should be said about a new definition: of a job, state that grows without end, and rows that come back to it.
    pub(super) fn warnings(self: &Arc<Self>, parsed: &Parsed) -> Vec<String> {
        let catalog = self.catalog();
        if let Statement::Drop(drop) = &parsed.statement
            && drop.kind == Kind::Archive
        {
            return vec![
                "its files stay; rows that only it holds are no longer read with the stream".to_owned(),
            ];
        }
        if let Statement::CreateFunction(create) = &parsed.statement {
            let users = catalog.users_of_function(&create.name.value);
            let note = || format!("{} keep the definition that they were made with", users.join(", "));
            return if users.is_empty() { Vec::new() } else { vec![note()] };
        }
        let name = match &parsed.statement {
            Statement::CreateJob(job) => &job.name.value,
            Statement::CreateMaterializedView(view) => &view.name.value,
            Statement::CreateAlarm(alarm) => &alarm.name.value,
            Statement::CreateTrigger(trigger) => &trigger.name.value,
            _ => return Vec::new(),
        };
        let Some(entry) = catalog.get(name) else { return Vec::new() };
        let Ok(dataflow) = self.plan_of(&catalog, entry, None) else { return Vec::new() };
        let operators = dataflow.stages.iter().flat_map(|stage| &stage.operators);
        let grows = operators.filter_map(|operator| match operator.state_bound() {
            StateBound::Grows(columns) => Some(format!(
                "the state of {} grows with the distinct values of {}",
                operator.name(),
                columns.join(", ")
            )),
            StateBound::GrowsWithRows => {
                Some(format!("the state of {} grows with the rows that it reads", operator.name()))
            }
            _ => None,
        });
        let round = round_trip(entry, sources_of(&dataflow), &catalog, |writer| {
            self.plan_of(&catalog, writer, None).map_or_else(|_| Vec::new(), |dataflow| sources_of(&dataflow))
        });
        let comes_back = round.map(|path| {
            format!(
                "what it writes comes back to it ({}): unless a condition ends that, it goes on for ever",
                path.join(" -> ")
            )
        });
        grows.chain(comes_back).chain(dataflow.notes.iter().cloned()).collect()
    }
}

fn sources_of(dataflow: &Dataflow) -> Vec<String> {
    dataflow.sources.iter().map(|source| source.stream.to_string()).collect()
}

/// By which streams, jobs and triggers the rows that an entry writes come back to it: `[job, stream, job]` if it writes into what it reads.
/// `sources`: what it reads; `reads`: what another one does.
fn round_trip(
    entry: &Entry,
    sources: Vec<String>,
    catalog: &Catalog,
    reads: impl Fn(&Entry) -> Vec<String>,
) -> Option<Vec<String>> {
    if !matches!(entry.kind(), Kind::Job | Kind::Trigger) {
        return None;
    }
    // Ways to the entry, each with what its first one reads.
    let mut pending = vec![(vec![entry.name().to_owned()], sources)];
    let mut seen = BTreeSet::new();
    while let Some((way, sources)) = pending.pop() {
        for stream in sources.into_iter().filter(|stream| seen.insert(stream.clone())).collect::<Vec<_>>() {
            let is_kept_as =
                |writer: &Entry| writer.kind() == Kind::MaterializedView && writer.name() == stream;
            for writer in catalog.entries().filter(|other| writes_into(other, &stream) || is_kept_as(other)) {
                let mut longer = vec![writer.name().to_owned(), stream.clone()];
                longer.extend(way.iter().cloned());
                if writer.name() == entry.name() {
                    return Some(longer);
                }
                pending.push((longer, reads(writer)));
            }
        }
    }
    None
}

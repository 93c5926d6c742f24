//! How errors are shown, and which exit code they end in.

use std::io::Write;
use std::process::ExitCode;

use datafusion::error::DataFusionError;
use headwater_archive::ArchiveError;
use headwater_ingest::IngestError;
use headwater_log::{LogError, TopicError};
use headwater_operators::plainly;
use headwater_plan::SqlError;
use headwater_run::RunError;
use headwater_serve::ServeError;

use crate::config::ConfigError;
use crate::log_mark::MarkError;

/// Data is damaged, or was refused.
pub(crate) const DATA: u8 = 3;
/// The broker that keeps the log could not be reached: nothing is damaged, and the same command may do later.
pub(crate) const AWAY: u8 = 4;
/// Ended by Ctrl-C before the work was done.
pub(crate) const INTERRUPTED: u8 = 130;

/// The command found the data damaged or refused, and has said so already.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct BadData(pub String);

/// Shows an error on standard error and chooses the exit code.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    if is_closed_pipe(error) {
        // `headwater sql ... | head` is no failure.
        return ExitCode::SUCCESS;
    }
    // If standard error is gone there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "{}", describe(error));
    ExitCode::from(code_of(error))
}

/// The error for people: code, message, place, hint, page of remedy.
pub(crate) fn describe(error: &anyhow::Error) -> String {
    if let Some(of_sql) = sql_error(error) {
        // What comes before it says in which file it is.
        let own = of_sql.to_string();
        let places = error.chain().map(ToString::to_string).take_while(|cause| *cause != own);
        return places.fold(of_sql.render(), |shown, place| format!("{shown}\n  in {place}"));
    }
    match error_code(error) {
        Some(code) => format!("error {code}: {}\n  help: docs/errors/{code}.md", told(error)),
        None => format!("error: {}", told(error)),
    }
}

/// What went wrong, and why. An error that has told its cause is not followed by it.
fn told(error: &anyhow::Error) -> String {
    let text = |cause: &(dyn std::error::Error + 'static)| {
        cause.downcast_ref::<DataFusionError>().map_or_else(|| cause.to_string(), plainly)
    };
    error.chain().map(text).fold(String::new(), |told, cause| {
        if told.contains(&cause) {
            return told;
        }
        let between = if told.is_empty() { "" } else { ": " };
        format!("{told}{between}{cause}")
    })
}

/// The error with its code, in one line.
pub(crate) fn coded(error: &anyhow::Error) -> String {
    let told = told(error);
    error_code(error).map_or_else(|| told.clone(), |code| format!("{code}: {told}"))
}

fn sql_error(error: &anyhow::Error) -> Option<&SqlError> {
    error.chain().find_map(|cause| match cause.downcast_ref::<RunError>() {
        Some(RunError::Sql(error)) => Some(error),
        _ => cause.downcast_ref::<SqlError>(),
    })
}

fn error_code(error: &anyhow::Error) -> Option<headwater_core::Code> {
    error.chain().find_map(|cause| {
        let run = cause.downcast_ref::<RunError>().map(RunError::code);
        let log = || cause.downcast_ref::<LogError>().map(LogError::code);
        let archive = || cause.downcast_ref::<ArchiveError>().map(ArchiveError::code);
        let ingest = || cause.downcast_ref::<IngestError>().map(IngestError::code);
        let serve = || cause.downcast_ref::<ServeError>().map(ServeError::code);
        let config = || cause.downcast_ref::<ConfigError>().map(ConfigError::code);
        let mark = || cause.downcast_ref::<MarkError>().map(MarkError::code);
        run.or_else(log).or_else(archive).or_else(ingest).or_else(serve).or_else(config).or_else(mark)
    })
}

/// Whether the broker that keeps the log could not be reached.
pub(crate) fn is_away(error: &anyhow::Error) -> bool {
    code_of(error) == AWAY
}

fn code_of(error: &anyhow::Error) -> u8 {
    let code = error.chain().find_map(|cause| {
        let log = match cause.downcast_ref::<RunError>() {
            Some(RunError::Log(error)) => Some(error),
            _ => cause.downcast_ref::<LogError>(),
        };
        let is_bad = cause.is::<BadData>();
        log.and_then(code_of_log).or_else(|| is_bad.then_some(DATA))
    });
    code.unwrap_or(1)
}

fn code_of_log(error: &LogError) -> Option<u8> {
    match error {
        LogError::Corrupt { .. } => Some(DATA),
        LogError::Topics(TopicError::Outage { .. }) => Some(AWAY),
        LogError::Poisoned { cause } => match &**cause {
            // A broker that was away, refused something or had another writer has damaged nothing.
            cause @ LogError::Topics(_) => code_of_log(cause),
            _ => Some(DATA),
        },
        _ => None,
    }
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let kind = |cause: &(dyn std::error::Error + 'static)| {
        cause.downcast_ref::<std::io::Error>().map(|io| io.kind())
    };
    error.chain().any(|cause| kind(cause) == Some(std::io::ErrorKind::BrokenPipe))
}

#[cfg(test)]
mod tests {
    use arrow::error::ArrowError;

    use super::*;

    #[test]
    fn damage_ends_in_a_code_of_its_own() {
        let damage = anyhow::Error::new(RunError::Log(LogError::corrupt("a", 7, "checksum"))).context("open");
        assert_eq!(code_of(&damage), DATA);
        assert!(
            describe(&damage).starts_with("error HW1012: open: a is damaged at byte 7"),
            "{}",
            describe(&damage)
        );
        assert_eq!(code_of(&anyhow::anyhow!("anything")), 1);
    }

    #[test]
    fn a_cause_is_told_once() {
        let divided = || DataFusionError::from(ArrowError::DivideByZero);
        let failed = anyhow::Error::new(RunError::Query(divided())).context("a.sql");
        let shown = "error HW4010: a.sql: query failed: Divide by zero error\n  help: docs/errors/HW4010.md";
        assert_eq!(describe(&failed), shown);
        let disk = LogError::io("create directory", "/a/log", std::io::ErrorKind::PermissionDenied.into());
        let opening = anyhow::Error::new(disk).context("cannot open /a");
        assert_eq!(describe(&opening).matches("permission denied").count(), 1, "{}", describe(&opening));
    }

    #[test]
    fn a_broker_that_is_away_has_damaged_nothing() {
        let outage =
            || TopicError::Outage { what: "commit to log a".to_owned(), reason: "nobody answers".to_owned() };
        let opening = anyhow::Error::new(LogError::Topics(outage())).context("cannot open log a on Kafka");
        assert_eq!(code_of(&opening), AWAY);
        let poisoned = |cause: LogError| LogError::Poisoned { cause: cause.into() };
        let ending = anyhow::Error::new(RunError::Log(poisoned(LogError::Topics(outage()))));
        assert_eq!(code_of(&ending), AWAY);
        assert!(describe(&ending).starts_with("error HW1017: "), "{}", describe(&ending));
        assert!(describe(&ending).contains("nobody answers"), "{}", describe(&ending));
        let fenced = TopicError::Fenced { log: "a".to_owned() };
        assert_eq!(code_of(&anyhow::Error::new(poisoned(LogError::Topics(fenced)))), 1);
        let disk = LogError::io("write", "a", std::io::ErrorKind::StorageFull.into());
        assert_eq!(code_of(&anyhow::Error::new(poisoned(disk))), DATA);
    }
}

//! Log lines, as text for people or JSON for machines, on standard error.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::args::{LogFormat, Logging};

/// Starts logging for the whole process. `RUST_LOG` wins over `--log-level`.
pub(crate) fn start(options: &Logging) {
    let level = options.log_level.as_deref().unwrap_or("warn,headwater=info");
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Colours are for people who look at it now.
    let builder = builder.with_ansi(std::io::stderr().is_terminal());
    match options.log_format {
        LogFormat::Text => builder.with_target(false).init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
}

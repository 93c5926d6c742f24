//! Which connectors there are. Adding one is a folder and a line here, or a crate and a call of [`add`].

use headwater_ingest::{FormatOptions, Options, nearest};
use parking_lot::Mutex;

use crate::connector::{Context, Gateway, Sink, Source};
use crate::error::{ConnectorError, Result};
use crate::lookup::{Lookup, Wanted};
use crate::{blackhole, datagen, files, http, nexmark, stdout};

/// A connector: what it is called, and how to make one. Making one checks its options and touches nothing outside.
#[derive(Clone, Copy)]
pub struct Connector {
    /// The name, as `connector = '…'` has it.
    pub name: &'static str,
    /// What it is, in a few words.
    pub summary: &'static str,
    /// Makes a source, if it can be one.
    pub source: Option<fn(Context, &mut Options) -> Result<Box<dyn Source>>>,
    /// Makes a sink, if it can be one.
    pub sink: Option<fn(Context, &mut Options) -> Result<Box<dyn Sink>>>,
    /// Makes a gateway, if it can be one.
    pub gateway: Option<fn(Context, &mut Options) -> Result<Box<dyn Gateway>>>,
}

/// All connectors, by name.
pub const CONNECTORS: &[Connector] = &[
    blackhole::CONNECTOR,
    datagen::CONNECTOR,
    files::FILESYSTEM,
    files::SINGLE_FILE,
    http::POLLING_HTTP,
    http::HTTP,
    http::WEBHOOK,
    nexmark::CONNECTOR,
    stdout::CONNECTOR,
    stdout::PRINT,
];

/// Those that live in crates of their own, as the binary has added them.
static ADDED: Mutex<Vec<&'static Connector>> = Mutex::new(Vec::new());

/// Adds a connector that lives in a crate of its own. The binary does it before anything is made; twice is once.
pub fn add(connector: &'static Connector) {
    let mut added = ADDED.lock();
    if added.iter().all(|known| known.name != connector.name) {
        added.push(connector);
    }
}

/// Makes a table to look rows up in; checks its options and touches nothing outside.
pub type MakeLookup = fn(Context, Wanted, &mut Options) -> Result<Box<dyn Lookup>>;

/// Connectors in whose tables rows can be looked up, by name.
const LOOKUPS: &[(&str, MakeLookup)] = &[("filesystem", files::lookup), ("single_file", files::lookup)];

/// Those of crates of their own.
static ADDED_LOOKUPS: Mutex<Vec<(&'static str, MakeLookup)>> = Mutex::new(Vec::new());

/// Says that rows can be looked up in the tables of a connector; twice is once.
pub fn add_lookup(name: &'static str, make: MakeLookup) {
    let mut lookups = ADDED_LOOKUPS.lock();
    if lookups.iter().all(|(known, _)| *known != name) {
        lookups.push((name, make));
    }
}

/// How a table of a connector is made in which rows are looked up.
fn lookup_of(name: &str) -> Option<MakeLookup> {
    let added = ADDED_LOOKUPS.lock().clone();
    LOOKUPS.iter().chain(&added).find(|(known, _)| *known == name).map(|(_, make)| *make)
}

/// Makes a table to look rows up in.
pub fn make_lookup(
    name: &str,
    context: Context,
    wanted: Wanted,
    options: Options,
) -> Result<Box<dyn Lookup>> {
    let found = connector(name)?;
    let Some(make) = lookup_of(found.name) else {
        return Err(wrong_role(found, "table to look rows up in", |one| lookup_of(one.name).is_some()));
    };
    make_with(|context, options| make(context, wanted, options), context, options, "lookup")
}

/// All connectors that there are.
fn all() -> impl Iterator<Item = &'static Connector> {
    let added = ADDED.lock().clone();
    CONNECTORS.iter().chain(added)
}

/// The connector of this name.
pub fn connector(name: &str) -> Result<&'static Connector> {
    let wanted = name.trim().to_ascii_lowercase();
    all().find(|connector| connector.name == wanted).ok_or_else(|| ConnectorError::Unknown {
        name: name.to_owned(),
        nearest: nearest(&wanted, all().map(|connector| connector.name)).map(str::to_owned),
        known: names(|_| true),
    })
}

/// Makes a source. `options` are those of the connector and of its format; one that nobody knows is an error.
pub fn make_source(name: &str, context: Context, options: Options) -> Result<Box<dyn Source>> {
    let found = connector(name)?;
    let Some(make) = found.source else {
        return Err(wrong_role(found, "source", |one| one.source.is_some()));
    };
    make_with(make, context, options, "source")
}

/// Makes a sink. `options` are those of the connector and of its format; one that nobody knows is an error.
pub fn make_sink(name: &str, context: Context, options: Options) -> Result<Box<dyn Sink>> {
    let found = connector(name)?;
    let Some(make) = found.sink else { return Err(wrong_role(found, "sink", |one| one.sink.is_some())) };
    make_with(make, context, options, "sink")
}

fn make_with<T>(
    make: impl FnOnce(Context, &mut Options) -> Result<T>,
    mut context: Context,
    mut options: Options,
    role: &str,
) -> Result<T> {
    // Arroyo says the role in the options; it must be the one in which the table is used.
    if let Some(given) = options.get("type")
        && given != role
    {
        return Err(options.bad("type", &given, format!("the table is used as a {role}")).into());
    }
    (context.format, context.format_options) = FormatOptions::take(&mut options)?;
    let made = make(context, &mut options)?;
    options.finish()?;
    Ok(made)
}

fn wrong_role(found: &Connector, role: &'static str, able: fn(&Connector) -> bool) -> ConnectorError {
    ConnectorError::WrongRole { name: found.name.to_owned(), role, able: names(able) }
}

fn names(which: impl Fn(&Connector) -> bool) -> String {
    let names: Vec<_> = all().filter(|one| which(one)).map(|one| one.name).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_each_connector_can_do_something() {
        for (at, one) in CONNECTORS.iter().enumerate() {
            assert!(CONNECTORS[..at].iter().all(|other| other.name != one.name), "{}", one.name);
            assert!(one.source.is_some() || one.sink.is_some() || one.gateway.is_some(), "{}", one.name);
            assert!(!one.summary.is_empty());
        }
    }

    #[test]
    fn an_unknown_name_gets_the_nearest() {
        let error = connector("filesytem").err().unwrap();
        assert!(
            error
                .to_string()
                .starts_with("there is no connector \"filesytem\", did you mean \"filesystem\"?"),
            "{error}"
        );
    }
}

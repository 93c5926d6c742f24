//! What triggers, actuators and tables of HTTP may reach: the operator's configuration decides, not the statement.

use std::collections::BTreeMap;

use reqwest::Url;

/// What triggers and actuators may reach.
#[derive(Clone, Debug, Default)]
pub struct Allowed {
    /// The URLs that webhooks may go to, and that sources may ask: scheme, host and port must be equal, the path must begin so; a host may
    /// begin with `*.`.
    /// `None`: anywhere.
    pub webhooks: Option<Vec<String>>,
    /// The programs that triggers may run, by the name that statements use: the program and its first arguments. None unless given.
    pub commands: BTreeMap<String, Vec<String>>,
    /// The programs that actuators may start as workers, or run as their health checks, likewise.
    pub workers: BTreeMap<String, Vec<String>>,
    /// The groups of EC2 Auto Scaling whose size actuators may set, by name. `None`: any that the credentials allow.
    pub auto_scaling: Option<Vec<String>>,
    /// The programs that MapReduce jobs may run, by name, as `commands` are.
    pub programs: BTreeMap<String, Vec<String>>,
}

impl Allowed {
    /// Whether a webhook may go there; the error says why not.
    pub fn check_url(&self, url: &Url) -> Result<(), String> {
        let Some(allowed) = &self.webhooks else { return Ok(()) };
        for pattern in allowed {
            let pattern = parse(pattern)?;
            if pattern.covers(url) {
                return Ok(());
            }
        }
        Err(format!(
            "the configuration does not allow webhooks to {}://{}{}",
            url.scheme(),
            url.host_str().unwrap_or_default(),
            url.port().map(|port| format!(":{port}")).unwrap_or_default()
        ))
    }

    /// The program of a command; the error says why there is none.
    pub fn command(&self, name: &str) -> Result<&[String], String> {
        match self.commands.get(name) {
            Some(program) if !program.is_empty() => Ok(program),
            _ => Err(format!("the configuration allows no command '{name}'")),
        }
    }

    /// The program that an actuator may run; the error says why there is none.
    pub fn worker(&self, name: &str) -> Result<&[String], String> {
        match self.workers.get(name) {
            Some(program) if !program.is_empty() => Ok(program),
            _ => Err(format!("the configuration allows scaling groups no command '{name}'")),
        }
    }

    /// Whether the size of this group of EC2 Auto Scaling may be set; the error says why not.
    pub fn check_auto_scaling(&self, name: &str) -> Result<(), String> {
        match &self.auto_scaling {
            Some(names) if names.iter().all(|allowed| allowed != name) => {
                Err(format!("the configuration allows no Auto Scaling group '{name}'"))
            }
            _ => Ok(()),
        }
    }

    /// A program of a MapReduce job; the error says why there is none.
    pub fn program(&self, name: &str) -> Result<&[String], String> {
        match self.programs.get(name) {
            Some(program) if !program.is_empty() => Ok(program),
            _ => Err(format!("the configuration allows no program '{name}' under [mapreduce.programs]")),
        }
    }
}

struct Pattern {
    /// The host without `*.`.
    host: String,
    any_below: bool,
    url: Url,
}

fn parse(text: &str) -> Result<Pattern, String> {
    let (plain, any_below) = match text.split_once("://*.") {
        Some((scheme, rest)) => (format!("{scheme}://{rest}"), true),
        None => (text.to_owned(), false),
    };
    let url =
        Url::parse(&plain).map_err(|error| format!("the allowed webhook '{text}' is no URL: {error}"))?;
    Ok(Pattern { host: url.host_str().unwrap_or_default().to_owned(), any_below, url })
}

impl Pattern {
    fn covers(&self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default();
        let same_host = if self.any_below {
            host.strip_suffix(&self.host).is_some_and(|below| below.ends_with('.'))
        } else {
            host == self.host
        };
        let path = self.url.path();
        let same_path = url
            .path()
            .strip_prefix(path)
            .is_some_and(|rest| rest.is_empty() || path.ends_with('/') || rest.starts_with('/'));
        same_host
            && same_path
            && url.scheme() == self.url.scheme()
            && url.port_or_known_default() == self.url.port_or_known_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_url_is_covered_by_its_origin_and_the_beginning_of_its_path() {
        let patterns = ["https://hooks.example.org/team", "http://127.0.0.1:9000/", "https://*.example.net/"];
        let webhooks = Some(patterns.map(str::to_owned).to_vec());
        let allowed = Allowed { webhooks, ..Allowed::default() };
        let check = |url: &str| allowed.check_url(&Url::parse(url).unwrap()).is_ok();
        for good in [
            "https://hooks.example.org/team",
            "https://hooks.example.org/team/7?x=1",
            "https://hooks.example.org:443/team",
            "http://127.0.0.1:9000/any",
            "https://a.b.example.net/x",
        ] {
            assert!(check(good), "{good}");
        }
        for bad in [
            "https://hooks.example.org/teams",
            "https://hooks.example.org/",
            "http://hooks.example.org/team",
            "https://hooks.example.org:8443/team",
            "https://hooks.example.org.evil.net/team",
            "https://evil@127.0.0.1:9000/",
            "http://127.0.0.1:9001/any",
            "https://example.net/x",
            "https://evilexample.net/x",
        ] {
            assert!(!check(bad), "{bad}");
        }
        assert!(Allowed::default().check_url(&Url::parse("http://anywhere/").unwrap()).is_ok());
        assert!(Allowed::default().command("siren").is_err());
    }
}

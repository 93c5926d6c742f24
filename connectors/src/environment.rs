//! Secrets that options name instead of holding them.

/// A text in which each `{{ VARIABLE }}` is taken from the environment, as options with credentials have it. What a variable holds is
/// taken as it is.
pub fn fill_from_environment(text: &str) -> Result<String, String> {
    fill(text, |variable| std::env::var(variable).map_err(|_| format!("the environment has no {variable}")))
}

fn fill(text: &str, value_of: impl Fn(&str) -> Result<String, String>) -> Result<String, String> {
    let (mut filled, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once("{{") {
        let (variable, after) = after.split_once("}}").ok_or("{{ is not closed")?;
        filled.push_str(before);
        filled.push_str(&value_of(variable.trim())?);
        rest = after;
    }
    filled.push_str(rest);
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variable_is_filled_in() {
        let value_of = |variable: &str| match variable {
            "USER" => Ok("fleet".to_owned()),
            "PASSWORD" => Ok("{{ USER }}".to_owned()),
            other => Err(format!("the environment has no {other}")),
        };
        let check = |text: &str, expected: Result<&str, &str>| {
            assert_eq!(fill(text, value_of), expected.map(str::to_owned).map_err(str::to_owned), "{text}");
        };
        check("plain }} text", Ok("plain }} text"));
        check("{{USER}}:{{ PASSWORD }}!", Ok("fleet:{{ USER }}!"));
        check("username=\"{{ USER }}\" password=\"{{ USER }}\"", Ok("username=\"fleet\" password=\"fleet\""));
        check("{{ USER }} {{ NOBODY }}", Err("the environment has no NOBODY"));
        check("{{ USER }} {{ PASSWORD", Err("{{ is not closed"));
    }
}

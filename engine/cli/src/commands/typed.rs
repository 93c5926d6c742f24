//! Whether what was typed so far is whole: a statement ends with a `;` that lies in no text and no comment, and a set of statements with
//! the one behind its END.

/// Whether whole statements were typed, and nothing behind them.
pub(super) fn is_whole(sql: &str) -> bool {
    let (mut rest, mut statement, mut whole) = (sql, Begun::default(), false);
    while let Some(first) = rest.chars().next() {
        let Some(len) = token(rest, first) else { return false };
        let (token, behind) = rest.split_at(len);
        rest = behind;
        match first {
            _ if first.is_whitespace() || token.starts_with("--") || token.starts_with("/*") => {}
            ';' if statement.may_end() => (statement, whole) = (Begun::default(), true),
            _ => {
                statement.take(token);
                whole = false;
            }
        }
    }
    whole
}

/// How long the token is that a text begins with; `None` if it is a text or a comment that is not closed.
fn token(text: &str, first: char) -> Option<usize> {
    let until = |from: usize, close: &str| Some(from + text[from..].find(close)? + close.len());
    match first {
        '\'' | '"' | '`' => until(1, &text[..1]),
        '-' if text.starts_with("--") => Some(text.find('\n').unwrap_or(text.len())),
        '/' if text.starts_with("/*") => until(2, "*/"),
        '$' => match dollars(text) {
            Some(quote) => until(quote.len(), quote),
            None => Some(1),
        },
        _ if is_of_word(first) => Some(text.find(|c| !is_of_word(c)).unwrap_or(text.len())),
        _ => Some(first.len_utf8()),
    }
}

/// The quote of dollars that a text begins with: `$$`, or `$name$`.
fn dollars(text: &str) -> Option<&str> {
    let name = &text[1..=text[1..].find('$')?];
    let is_name = name.chars().all(is_of_word) && !name.starts_with(|c: char| c.is_ascii_digit());
    is_name.then(|| &text[..name.len() + 2])
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// A statement that has begun.
#[derive(Default)]
struct Begun {
    /// Its first three tokens, in upper case.
    first: Vec<String>,
    /// How many CASE wait for their END.
    cases: usize,
    /// Whether the last token was the END of the whole.
    at_end: bool,
}

impl Begun {
    fn take(&mut self, token: &str) {
        let word = token.to_uppercase();
        self.at_end = word == "END" && self.cases == 0;
        match &*word {
            "CASE" => self.cases += 1,
            "END" => self.cases = self.cases.saturating_sub(1),
            _ => {}
        }
        if self.first.len() < 3 {
            self.first.push(word);
        }
    }

    /// Whether it is over if a `;` comes now.
    fn may_end(&self) -> bool {
        let words: Vec<&str> = self.first.iter().map(String::as_str).collect();
        let is_set = matches!(&words[..], ["BEGIN" | "EXECUTE" | "EXPLAIN", "STATEMENT", "SET"]);
        !is_set || self.at_end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_semicolon_ends_a_statement_where_it_is_one() {
        for whole in [
            "SELECT 1;",
            "SELECT 1; -- that was it",
            "SELECT 1 /* one; */ ;\n",
            "SELECT 'it''s'; SELECT \"a;b\";",
            "-- ;\nSELECT 1;",
            "CREATE FUNCTION f(x INT) RETURNS INT AS $$ x; $$;",
            "SELECT $1 + $2;",
            "SELECT CASE WHEN 1 < 2 THEN 3 END;",
        ] {
            assert!(is_whole(whole), "{whole}");
        }
        for open in [
            "",
            "SELECT 1",
            "SELECT 'a;",
            "SELECT 1; -- that was it\nSELECT",
            "-- SELECT 1;",
            "SELECT /* one;",
            "SELECT \"a;",
            "CREATE FUNCTION f(x INT) RETURNS INT AS $body$\n  x;\n  $$;",
        ] {
            assert!(!is_whole(open), "{open}");
        }
    }

    #[test]
    fn a_set_of_statements_ends_with_its_end() {
        for begin in ["EXECUTE STATEMENT SET BEGIN", "BEGIN STATEMENT SET;", "explain statement set begin"] {
            let open =
                format!("{begin}\nINSERT INTO a SELECT CASE WHEN x THEN 1 END;\nINSERT INTO b SELECT 2;\n");
            assert!(!is_whole(&open) && !is_whole(&format!("{open}END")), "{begin}");
            assert!(is_whole(&format!("{open}END;")), "{begin}");
        }
    }
}

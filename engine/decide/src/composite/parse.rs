//! Reads expressions: recursive descent, one function per level.
//!
//! ```text
//!  or      := and  (OR and)*
//!  and     := not  (AND not)*
//!  not     := NOT not | '(' or ')' | TRUE | FALSE | state '(' name ')'
//!  state   := ALARM | OK | INSUFFICIENT_DATA
//!  name    := word | "anything" | 'anything'
//! ```

use super::expression::Expression;
use crate::alarm::AlarmState;
use crate::error::{DecideError, Result};

/// Deeper ones are refused, so that no text can exhaust the stack.
const DEPTH_MAX: usize = 64;

pub(super) fn parse(text: &str) -> Result<Expression> {
    let mut reader = Reader { tokens: tokens(text)?, next: 0, depth: 0 };
    let expression = reader.or()?;
    match reader.peek() {
        None => Ok(expression),
        Some(token) => Err(DecideError::new(format!("expected AND, OR or the end, found {token}"))),
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Quoted(String),
    Open,
    Close,
}

impl std::fmt::Display for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Word(text) | Self::Quoted(text) => write!(f, "'{text}'"),
            Self::Open => f.write_str("'('"),
            Self::Close => f.write_str("')'"),
        }
    }
}

fn tokens(text: &str) -> Result<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            c if c.is_whitespace() => {}
            '(' => tokens.push(Token::Open),
            ')' => tokens.push(Token::Close),
            '"' | '\'' => {
                let mut name = String::new();
                loop {
                    match chars.next() {
                        Some(end) if end == c => break,
                        Some(inner) => name.push(inner),
                        None => return Err(DecideError::new(format!("the quoted name '{name}' has no end"))),
                    }
                }
                tokens.push(Token::Quoted(name));
            }
            c if is_of_word(c) => {
                let mut word = String::from(c);
                while let Some(c) = chars.next_if(|c| is_of_word(*c)) {
                    word.push(c);
                }
                tokens.push(Token::Word(word));
            }
            other => {
                return Err(DecideError::new(format!("'{other}' has no meaning in an alarm's expression")));
            }
        }
    }
    Ok(tokens)
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '$')
}

struct Reader {
    tokens: Vec<Token>,
    next: usize,
    depth: usize,
}

impl Reader {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next)
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Word(text)) if text.eq_ignore_ascii_case(word));
        self.next += usize::from(found);
        found
    }

    fn expect(&mut self, token: &Token) -> Result<()> {
        if self.peek() == Some(token) {
            self.next += 1;
            return Ok(());
        }
        Err(self.expected(&token.to_string()))
    }

    fn expected(&self, what: &str) -> DecideError {
        let found = self.peek().map_or("the end".to_owned(), Token::to_string);
        DecideError::new(format!("expected {what}, found {found}"))
    }

    fn or(&mut self) -> Result<Expression> {
        let mut left = self.and()?;
        while self.take_word("OR") {
            left = Expression::Or(Box::new(left), Box::new(self.and()?));
        }
        Ok(left)
    }

    fn and(&mut self) -> Result<Expression> {
        let mut left = self.not()?;
        while self.take_word("AND") {
            left = Expression::And(Box::new(left), Box::new(self.not()?));
        }
        Ok(left)
    }

    fn not(&mut self) -> Result<Expression> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(DecideError::new(format!("the expression is nested more than {DEPTH_MAX} deep")));
        }
        let read = self.operand();
        self.depth -= 1;
        read
    }

    fn operand(&mut self) -> Result<Expression> {
        if self.take_word("NOT") {
            return Ok(Expression::Not(Box::new(self.not()?)));
        }
        if self.peek() == Some(&Token::Open) {
            self.next += 1;
            let inner = self.or()?;
            self.expect(&Token::Close)?;
            return Ok(inner);
        }
        for constant in [true, false] {
            if self.take_word(if constant { "TRUE" } else { "FALSE" }) {
                return Ok(Expression::Constant(constant));
            }
        }
        for state in [AlarmState::Alarm, AlarmState::Ok, AlarmState::InsufficientData] {
            if self.take_word(state.as_str()) {
                self.expect(&Token::Open)?;
                let name = self.name()?;
                self.expect(&Token::Close)?;
                return Ok(Expression::Is(state, name));
            }
        }
        Err(self.expected("ALARM(..), OK(..), INSUFFICIENT_DATA(..), NOT, TRUE, FALSE or '('"))
    }

    /// A name without quotes is in lower case, as everywhere in SQL.
    fn name(&mut self) -> Result<String> {
        let name = match self.peek() {
            Some(Token::Word(word)) => word.to_lowercase(),
            Some(Token::Quoted(text)) => text.clone(),
            _ => return Err(self.expected("the name of an alarm")),
        };
        self.next += 1;
        Ok(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(name: &str) -> AlarmState {
        match name {
            "high" => AlarmState::Alarm,
            "calm" => AlarmState::Ok,
            _ => AlarmState::InsufficientData,
        }
    }

    fn holds(text: &str) -> bool {
        Expression::parse(text).unwrap().holds(&state)
    }

    #[test]
    fn states_are_asked_for() {
        assert!(holds("ALARM(high)") && !holds("ALARM(calm)") && !holds("ALARM(new)"));
        assert!(holds("OK(calm)") && !holds("OK(high)") && !holds("OK(new)"));
        assert!(holds("insufficient_data('new')") && !holds("INSUFFICIENT_DATA(\"high\")"));
        assert!(holds("TRUE") && !holds("FALSE"));
    }

    #[test]
    fn not_binds_before_and_and_before_or() {
        let shown = |text: &str| Expression::parse(text).unwrap().to_string();
        assert_eq!(
            shown("ALARM(A) OR ALARM(b) AND NOT OK(c)"),
            "(ALARM(\"a\") OR (ALARM(\"b\") AND NOT OK(\"c\")))"
        );
        assert_eq!(shown("(ALARM(a) OR TRUE) AND FALSE"), "((ALARM(\"a\") OR TRUE) AND FALSE)");
        assert_eq!(shown("NOT NOT ALARM(\"A b\")"), "NOT NOT ALARM(\"A b\")");
        for (a, b, both, either) in
            [("TRUE", "TRUE", true, true), ("TRUE", "FALSE", false, true), ("FALSE", "FALSE", false, false)]
        {
            assert_eq!((holds(&format!("{a} AND {b}")), holds(&format!("{a} OR {b}"))), (both, either));
        }
    }

    #[test]
    fn an_outcome_names_the_states() {
        let expression = Expression::parse("ALARM(high) AND NOT ALARM(calm)").unwrap();
        let outcome = expression.evaluate(&state);
        assert_eq!(outcome.state, AlarmState::Alarm);
        assert_eq!(outcome.because, "calm is OK, high is ALARM");
        assert_eq!(Expression::parse("OK(high)").unwrap().evaluate(&state).state, AlarmState::Ok);
    }

    #[test]
    fn composites_of_composites_are_one_expression() {
        let inner = Expression::parse("ALARM(a) OR ALARM(b)").unwrap();
        let inlined = |text: &str| Expression::parse(text).unwrap().inline("c", &inner).to_string();
        assert_eq!(inlined("ALARM(c) AND OK(d)"), "((ALARM(\"a\") OR ALARM(\"b\")) AND OK(\"d\"))");
        assert_eq!(inlined("NOT OK(c)"), "NOT NOT (ALARM(\"a\") OR ALARM(\"b\"))");
        assert_eq!(inlined("INSUFFICIENT_DATA(c) OR TRUE"), "(FALSE OR TRUE)");
    }

    #[test]
    fn mistakes_say_what_was_expected() {
        let mistake = |text: &str| Expression::parse(text).unwrap_err().to_string();
        assert_eq!(mistake("ALARM(a) ALARM(b)"), "expected AND, OR or the end, found 'ALARM'");
        assert_eq!(mistake("ALARM a"), "expected '(', found 'a'");
        assert_eq!(mistake("ALARM(a"), "expected ')', found the end");
        assert_eq!(mistake("ALARM()"), "expected the name of an alarm, found ')'");
        assert_eq!(mistake("ALARM(a) & b"), "'&' has no meaning in an alarm's expression");
        assert!(mistake(&"NOT ".repeat(100)).contains("nested"));
        assert!(mistake("").starts_with("expected ALARM(..)"));
    }
}

//! PATTERN and AFTER MATCH SKIP: from the syntax tree to the operator's terms.

use std::collections::BTreeSet;

use datafusion::sql::sqlparser::ast::{
    AfterMatchSkip, Ident, MatchRecognizePattern, MatchRecognizeSymbol, RepetitionQuantifier,
};
use headwater_operators::patterns::{Pattern, Skip};

use crate::error::{Mistake, Result, SqlError, did_you_mean};
use crate::parse::{normal, position};
use crate::script::Script;

/// How many variables PERMUTE may have: it stands for all their orders.
const PERMUTED_MAX: usize = 6;

/// The variables of a pattern, by number.
pub(super) struct Variables {
    /// As they are compared.
    names: Vec<String>,
    /// As the pattern writes them.
    pub(super) written: Vec<String>,
}

impl Variables {
    /// Those that a pattern names, in the order in which it does.
    pub(super) fn of(pattern: &MatchRecognizePattern) -> Self {
        let mut variables = Self { names: Vec::new(), written: Vec::new() };
        variables.collect(pattern);
        variables
    }

    fn collect(&mut self, pattern: &MatchRecognizePattern) {
        match pattern {
            MatchRecognizePattern::Symbol(symbol) | MatchRecognizePattern::Exclude(symbol) => {
                self.add(symbol)
            }
            MatchRecognizePattern::Permute(symbols) => symbols.iter().for_each(|symbol| self.add(symbol)),
            MatchRecognizePattern::Concat(parts) | MatchRecognizePattern::Alternation(parts) => {
                parts.iter().for_each(|part| self.collect(part));
            }
            MatchRecognizePattern::Group(inner) | MatchRecognizePattern::Repetition(inner, _) => {
                self.collect(inner);
            }
        }
    }

    fn add(&mut self, symbol: &MatchRecognizeSymbol) {
        if let MatchRecognizeSymbol::Named(ident) = symbol
            && self.find(ident).is_none()
        {
            self.names.push(normal(ident));
            self.written.push(ident.value.clone());
        }
    }

    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    pub(super) fn find(&self, ident: &Ident) -> Option<u16> {
        let name = normal(ident);
        self.names.iter().position(|known| *known == name).and_then(|nth| u16::try_from(nth).ok())
    }

    /// A variable that must be there.
    pub(super) fn get(&self, ident: &Ident, script: &Script) -> Result<u16> {
        self.find(ident).ok_or_else(|| {
            wrong(format!("the pattern has no variable '{}'", ident.value))
                .at(position(ident.span.start), script)
                .hint_if(did_you_mean(&ident.value, self.written.iter().map(String::as_str)))
        })
    }
}

pub(super) fn wrong(message: impl Into<String>) -> SqlError {
    SqlError::new(Mistake::Pattern, message)
}

/// What a pattern means.
pub(super) fn pattern_of(
    pattern: &MatchRecognizePattern,
    variables: &Variables,
    script: &Script,
) -> Result<Pattern> {
    let all = |parts: &[MatchRecognizePattern]| {
        parts.iter().map(|part| pattern_of(part, variables, script)).collect::<Result<Vec<_>>>()
    };
    Ok(match pattern {
        MatchRecognizePattern::Symbol(symbol) => Pattern::Variable(variable_of(symbol, variables, script)?),
        MatchRecognizePattern::Exclude(_) => {
            return Err(wrong("{- .. -} is not there: all rows of a match come out, or one for it")
                .hint("filter the rows that come out by CLASSIFIER()"));
        }
        MatchRecognizePattern::Permute(symbols) => permuted(symbols, variables, script)?,
        MatchRecognizePattern::Concat(parts) => Pattern::Concat(all(parts)?),
        MatchRecognizePattern::Alternation(parts) => Pattern::Alternation(all(parts)?),
        MatchRecognizePattern::Group(inner) => pattern_of(inner, variables, script)?,
        MatchRecognizePattern::Repetition(inner, quantifier) => match (&**inner, quantifier) {
            // `A+?`: the quantifier of a quantifier says that it is reluctant.
            (MatchRecognizePattern::Repetition(inner, quantifier), RepetitionQuantifier::AtMostOne) => {
                repeated(pattern_of(unquantified(inner)?, variables, script)?, quantifier, false)?
            }
            (inner, quantifier) => {
                repeated(pattern_of(unquantified(inner)?, variables, script)?, quantifier, true)?
            }
        },
    })
}

fn unquantified(pattern: &MatchRecognizePattern) -> Result<&MatchRecognizePattern> {
    match pattern {
        MatchRecognizePattern::Repetition(..) => {
            Err(wrong(format!("a quantifier follows another one in '{pattern}'"))
                .hint("group what is repeated: (A+){2}"))
        }
        other => Ok(other),
    }
}

fn variable_of(symbol: &MatchRecognizeSymbol, variables: &Variables, script: &Script) -> Result<u16> {
    match symbol {
        MatchRecognizeSymbol::Named(ident) => variables.get(ident, script),
        MatchRecognizeSymbol::Start | MatchRecognizeSymbol::End => {
            Err(wrong("^ and $ are not there: a stream has no end that a match could be tied to")
                .hint("leave them out, or say in DEFINE what the first row is: PREV(ts) IS NULL"))
        }
    }
}

fn repeated(inner: Pattern, quantifier: &RepetitionQuantifier, greedy: bool) -> Result<Pattern> {
    let (min, max) = match *quantifier {
        RepetitionQuantifier::ZeroOrMore => (0, None),
        RepetitionQuantifier::OneOrMore => (1, None),
        RepetitionQuantifier::AtMostOne => (0, Some(1)),
        RepetitionQuantifier::Exactly(times) => (times, Some(times)),
        RepetitionQuantifier::AtLeast(times) => (times, None),
        RepetitionQuantifier::AtMost(times) => (0, Some(times)),
        RepetitionQuantifier::Range(min, max) => (min, Some(max)),
    };
    if max.is_some_and(|max| max == 0 || max < min) {
        return Err(wrong(format!("the quantifier {quantifier} lets nothing through"))
            .hint("{n}, {n,} or {n,m} with n no greater than m, and m at least 1"));
    }
    Ok(Pattern::Repeat { inner: Box::new(inner), min, max, greedy })
}

/// All orders of some variables; those are preferred that keep the order in which they are written.
fn permuted(symbols: &[MatchRecognizeSymbol], variables: &Variables, script: &Script) -> Result<Pattern> {
    if symbols.len() > PERMUTED_MAX {
        return Err(wrong(format!("PERMUTE takes at most {PERMUTED_MAX} variables, not {}", symbols.len())));
    }
    let all =
        symbols.iter().map(|symbol| variable_of(symbol, variables, script)).collect::<Result<Vec<_>>>()?;
    let mut orders = Vec::new();
    arrange(&mut Vec::new(), &all, &mut orders);
    Ok(Pattern::Alternation(orders))
}

fn arrange(taken: &mut Vec<u16>, left: &[u16], orders: &mut Vec<Pattern>) {
    if left.is_empty() {
        orders.push(Pattern::Concat(taken.iter().map(|variable| Pattern::Variable(*variable)).collect()));
    }
    for nth in 0..left.len() {
        let mut others = left.to_vec();
        taken.push(others.remove(nth));
        arrange(taken, &others, orders);
        taken.pop();
    }
}

/// Where the next match begins.
pub(super) fn skip_of(skip: Option<&AfterMatchSkip>, variables: &Variables, script: &Script) -> Result<Skip> {
    Ok(match skip {
        None | Some(AfterMatchSkip::PastLastRow) => Skip::PastLastRow,
        Some(AfterMatchSkip::ToNextRow) => Skip::ToNextRow,
        Some(AfterMatchSkip::ToFirst(to)) => Skip::ToFirst(variables.get(to, script)?),
        Some(AfterMatchSkip::ToLast(to)) => Skip::ToLast(variables.get(to, script)?),
    })
}

/// Definitions of variables that are not in the pattern, and of variables twice.
pub(super) fn check_definitions(defined: &[&Ident], variables: &Variables, script: &Script) -> Result<()> {
    let mut seen = BTreeSet::new();
    for ident in defined {
        variables.get(ident, script)?;
        if !seen.insert(normal(ident)) {
            return Err(
                wrong(format!("'{}' is defined twice", ident.value)).at(position(ident.span.start), script)
            );
        }
    }
    Ok(())
}

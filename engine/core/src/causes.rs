//! Errors as text, with what lies beneath them.

use std::error::Error;

/// An error with what caused it, the outermost first. Where a client reaches another machine the outermost says only that sending failed.
/// What an error has said of its cause already is not said again.
///
/// ```
/// use std::io::{Error, ErrorKind};
///
/// let refused = Error::new(ErrorKind::ConnectionRefused, "connection refused");
/// assert_eq!(headwater_core::causes(&Error::other(refused)), "connection refused");
/// ```
pub fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let said = inner.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Layer {
        #[error("put a/b: {source}")]
        Outer { source: Box<Self> },
        #[error("error sending request")]
        Middle { source: Box<Self> },
        #[error("connection refused")]
        Root,
    }

    #[test]
    fn every_cause_is_said_once() {
        let error = Layer::Outer { source: Box::new(Layer::Middle { source: Box::new(Layer::Root) }) };
        assert_eq!(error.to_string(), "put a/b: error sending request");
        assert_eq!(causes(&error), "put a/b: error sending request: connection refused");
        assert_eq!(causes(&Layer::Root), "connection refused");
    }
}

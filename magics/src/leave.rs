//! Leaves a result as a Rust variable of the notebook.

use crate::error::Failure;
use crate::{Call, Session};

/// Binds `--as NAME` to `rust_type::from_json(json)`.
///
/// # Errors
/// The session's own, at the name.
pub(crate) fn from_json(
    rust_type: &str,
    json: &str,
    name: &str,
    call: &Call,
    cx: &mut dyn Session,
) -> Result<(), Failure> {
    value(rust_type, &format!("{rust_type}::from_json({})?", literal(json)), name, call, cx)
}

/// Binds `--as NAME` to the value of a Rust expression, which may use `?`.
///
/// # Errors
/// The session's own, at the name.
pub(crate) fn value(
    rust_type: &str,
    expr: &str,
    name: &str,
    call: &Call,
    cx: &mut dyn Session,
) -> Result<(), Failure> {
    cx.bind(name, rust_type, expr).map_err(|fault| call.fault(fault.about("as")).into())
}

/// A text as a raw string literal, with as many hashes as it cannot hold behind a quote.
fn literal(text: &str) -> String {
    let after_quotes = text.split('"').map(|part| part.len() - part.trim_start_matches('#').len());
    let hashes = "#".repeat(after_quotes.max().unwrap_or(0) + 1);
    format!("r{hashes}\"{text}\"{hashes}")
}

#[cfg(test)]
mod tests {
    use super::literal;

    #[test]
    fn a_literal_cannot_be_ended_from_inside() {
        assert_eq!(literal("a"), "r#\"a\"#");
        assert_eq!(literal("{\"a\":\"#\"}"), "r##\"{\"a\":\"#\"}\"##");
        assert_eq!(literal("\"##"), "r###\"\"##\"###");
    }
}

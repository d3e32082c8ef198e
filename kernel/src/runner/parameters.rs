//! Parameters given on the command line, written into the notebook the way papermill does: a cell after the one
//! tagged `parameters`, so that the notebook still runs without us.

use crate::runner::notebook::{Notebook, code_cell, has_tag};

/// The tag of the cell with the defaults.
const DEFAULTS_TAG: &str = "parameters";

/// The tag of the cell written here.
const INJECTED_TAG: &str = "injected-parameters";

/// One `-p name=value`, with its type read off the value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Parameter {
    name: String,
    value: Literal,
}

#[derive(Debug, Clone, PartialEq)]
enum Literal {
    Int(i64),
    Float(f64),
    Bool(bool),
    Text(String),
}

/// A `-p` that makes no Rust variable.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ParameterError {
    #[error("-p {0:?}: expected name=value\nhelp: write for example -p seed=7 or -p topic=\"Ferris at sea\"")]
    NoEquals(String),
    #[error(
        "-p {0:?}: {1:?} is no Rust variable name\nhelp: use letters, digits and _, beginning with a letter"
    )]
    BadName(String, String),
}

/// Words that name no variable.
const RESERVED: &str = " _ as async await break const continue crate dyn else enum extern false fn for if impl in let loop \
    match mod move mut pub ref return self Self static struct super trait true type unsafe use where while abstract become \
    box do final gen macro override priv try typeof unsized virtual yield ";

impl std::str::FromStr for Parameter {
    type Err = ParameterError;

    fn from_str(given: &str) -> Result<Self, ParameterError> {
        let (name, value) =
            given.split_once('=').ok_or_else(|| ParameterError::NoEquals(given.to_owned()))?;
        let first_fits = name.chars().next().is_some_and(|c| c.is_alphabetic() || c == '_');
        let rest_fits = name.chars().all(|c| c.is_alphanumeric() || c == '_');
        if !first_fits || !rest_fits || RESERVED.contains(&format!(" {name} ")) {
            return Err(ParameterError::BadName(given.to_owned(), name.to_owned()));
        }
        Ok(Parameter { name: name.to_owned(), value: Literal::infer(value) })
    }
}

impl Literal {
    /// Whole numbers are `i64`, other numbers `f64`, `true` and `false` are `bool`; everything else, and whatever
    /// is in double quotes, is text.
    fn infer(value: &str) -> Literal {
        if let Some(inner) = value.strip_prefix('"').and_then(|v| v.strip_suffix('"')) {
            return Literal::Text(inner.to_owned());
        }
        if let Ok(whole) = value.parse() {
            return Literal::Int(whole);
        }
        // `parse` would also take "inf", "nan" and "infinity", which are words here.
        let numeric = value.chars().all(|c| c.is_ascii_digit() || "+-.eE".contains(c));
        match (value.parse::<f64>(), value) {
            (Ok(number), _) if numeric && number.is_finite() => Literal::Float(number),
            (_, "true") => Literal::Bool(true),
            (_, "false") => Literal::Bool(false),
            _ => Literal::Text(value.to_owned()),
        }
    }
}

impl Parameter {
    fn statement(&self) -> String {
        let name = &self.name;
        match &self.value {
            Literal::Int(v) => format!("let {name}: i64 = {v};"),
            // Debug writes what Rust reads: `1.0`, not `1`; quotes and escapes around text.
            Literal::Float(v) => format!("let {name}: f64 = {v:?};"),
            Literal::Bool(v) => format!("let {name}: bool = {v};"),
            Literal::Text(v) => format!("let {name}: String = String::from({v:?});"),
        }
    }
}

/// Puts the parameters into the notebook: in place of an earlier injected cell, else after the cell with the
/// defaults, else first.
pub(crate) fn inject(notebook: &mut Notebook, parameters: &[Parameter]) {
    if parameters.is_empty() {
        return;
    }
    let statements: Vec<String> = parameters.iter().map(Parameter::statement).collect();
    let mut cell = code_cell(&format!("// Parameters\n{}", statements.join("\n")), &[INJECTED_TAG]);
    let cells = notebook.cells_mut();
    if let Some(at) = cells.iter().position(|cell| has_tag(cell, INJECTED_TAG)) {
        if let Some(id) = cells[at].get("id").cloned() {
            cell["id"] = id;
        }
        cells[at] = cell;
    } else {
        let at = cells.iter().position(|cell| has_tag(cell, DEFAULTS_TAG)).map_or(0, |defaults| defaults + 1);
        cells.insert(at, cell);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_become_the_rust_they_look_like() {
        for (given, expected) in [
            ("n=3", "let n: i64 = 3;"),
            ("n=-3", "let n: i64 = -3;"),
            ("rate=1e-4", "let rate: f64 = 0.0001;"),
            ("x=2.0", "let x: f64 = 2.0;"),
            ("x=.5", "let x: f64 = 0.5;"),
            ("big=99999999999999999999", "let big: f64 = 1e20;"),
            ("on=true", "let on: bool = true;"),
            ("w=True", "let w: String = String::from(\"True\");"),
            ("w=nan", "let w: String = String::from(\"nan\");"),
            ("w=1e999", "let w: String = String::from(\"1e999\");"),
            ("w=", "let w: String = String::from(\"\");"),
            ("w=\"3\"", "let w: String = String::from(\"3\");"),
            ("topic=a=b", "let topic: String = String::from(\"a=b\");"),
            ("t=say \"hi\"\\\n", "let t: String = String::from(\"say \\\"hi\\\"\\\\\\n\");"),
            ("größe=1", "let größe: i64 = 1;"),
        ] {
            assert_eq!(given.parse::<Parameter>().unwrap().statement(), expected);
        }
        for bad in ["n", "=3", "1n=3", "a b=3", "fn=3", "_=1", "x;y=1", ""] {
            let error = bad.parse::<Parameter>().unwrap_err().to_string();
            assert!(error.contains("help:"), "{error}");
        }
    }

    #[test]
    fn parameters_come_after_their_defaults_and_replace_earlier_ones() {
        let cell = |id: &str, tag: &str| json!({"cell_type": "code", "id": id, "metadata": {"tags": [tag]}, "source": id, "outputs": [], "execution_count": null});
        let cases: [(Vec<serde_json::Value>, usize, usize); 4] = [
            (vec![cell("a", "x"), cell("p", "parameters"), cell("b", "y")], 2, 4),
            (vec![cell("a", "x"), cell("b", "y")], 0, 3),
            (vec![cell("p", "parameters"), cell("a", "x"), cell("old", "injected-parameters")], 2, 3),
            (vec![], 0, 1),
        ];
        for (cells, at, count) in cases {
            let raw = json!({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells});
            let mut notebook = Notebook::from_json(raw).unwrap();
            inject(&mut notebook, &["n=3".parse().unwrap(), "t=x".parse().unwrap()]);
            let cells = notebook.cells_mut();
            assert_eq!(cells.len(), count);
            assert_eq!(
                cells[at]["source"],
                "// Parameters\nlet n: i64 = 3;\nlet t: String = String::from(\"x\");"
            );
            assert_eq!(cells[at]["metadata"]["tags"], json!(["injected-parameters"]));
        }
    }
}

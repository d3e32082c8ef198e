//! A notebook file: read, kept as it is but for what a run changes, written whole.
//!
//! Cells stay JSON, so that fields nobody here knows survive. How outputs come about is `outputs`' business.

use serde::Serialize;
use serde_json::{Map, Value, json};
use std::path::Path;

/// A notebook larger than this is refused before it is read: JSON takes several times its size in memory.
const FILE_CAP: u64 = 1 << 30;

/// A file that is no notebook this kernel can run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotebookError {
    #[error("{path}: {reason}\nhelp: give the path of a notebook, e.g. notebooks/tour.ipynb")]
    Io { path: String, reason: std::io::Error },
    #[error("{path}: expected a notebook under 1 GB, got {bytes} bytes")]
    TooLarge { path: String, bytes: u64 },
    #[error(
        "{path}: this is no notebook: {reason}\nhelp: a notebook is JSON with a list of cells, as Jupyter saves it"
    )]
    NotOne { path: String, reason: String },
    #[error("{path}: expected notebook format 4, got {got}\nhelp: open it in JupyterLab and save it again")]
    OldFormat { path: String, got: String },
}

/// A notebook of format 4 whose cells all have ids.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Notebook {
    /// Everything but the cells.
    rest: Map<String, Value>,
    cells: Vec<Value>,
}

impl Notebook {
    /// Reads a notebook file.
    ///
    /// # Errors
    /// When it cannot be read or is no notebook of format 4.
    pub(crate) fn read(path: &Path) -> Result<Self, NotebookError> {
        let name = path.display().to_string();
        let io = |reason| NotebookError::Io { path: name.clone(), reason };
        let bytes = std::fs::metadata(path).map_err(io)?.len();
        if bytes > FILE_CAP {
            return Err(NotebookError::TooLarge { path: name, bytes });
        }
        let text = std::fs::read(path).map_err(io)?;
        let json = serde_json::from_slice(&text)
            .map_err(|e| NotebookError::NotOne { path: name.clone(), reason: e.to_string() })?;
        Notebook::from_json(json).map_err(|e| match e {
            NotebookError::NotOne { reason, .. } => NotebookError::NotOne { path: name, reason },
            NotebookError::OldFormat { got, .. } => NotebookError::OldFormat { path: name, got },
            other => other,
        })
    }

    /// Takes a notebook's JSON, brought to format 4.5: cells get ids where they have none.
    pub(crate) fn from_json(json: Value) -> Result<Self, NotebookError> {
        let not_one = |reason: &str| NotebookError::NotOne { path: String::new(), reason: reason.to_owned() };
        let Value::Object(mut rest) = json else { return Err(not_one("expected a JSON object")) };
        let format = rest.get("nbformat").cloned().unwrap_or_default();
        if format != json!(4) {
            return Err(NotebookError::OldFormat { path: String::new(), got: format.to_string() });
        }
        let Some(Value::Array(mut cells)) = rest.get_mut("cells").map(Value::take) else {
            return Err(not_one("it has no list of cells"));
        };
        for cell in &mut cells {
            let Some(cell) = cell.as_object_mut() else { return Err(not_one("a cell is no JSON object")) };
            cell.entry("id").or_insert_with(new_id);
            cell.entry("metadata").or_insert_with(|| json!({}));
        }
        let minor = rest.get("nbformat_minor").and_then(Value::as_u64).unwrap_or(0).max(5);
        rest.insert("nbformat_minor".to_owned(), minor.into());
        if !rest.get("metadata").is_some_and(Value::is_object) {
            rest.insert("metadata".to_owned(), json!({}));
        }
        Ok(Notebook { rest, cells })
    }

    /// The whole notebook as JSON, its cells in their place.
    pub(crate) fn to_json(&self) -> Value {
        let mut whole = self.rest.clone();
        whole.insert("cells".to_owned(), Value::Array(self.cells.clone()));
        Value::Object(whole)
    }

    pub(crate) fn cells(&self) -> &[Value] {
        &self.cells
    }

    pub(crate) fn cells_mut(&mut self) -> &mut Vec<Value> {
        &mut self.cells
    }

    /// The notebook's metadata.
    pub(crate) fn metadata(&self) -> &Value {
        self.rest.get("metadata").unwrap_or(&Value::Null)
    }

    /// Says which kernel and language it was run with.
    pub(crate) fn set_kernel(&mut self, language_info: &Value) {
        if let Some(metadata) = self.rest.get_mut("metadata") {
            metadata["kernelspec"] =
                json!({"display_name": crate::install::DISPLAY_NAME, "language": "rust", "name": "spinbot"});
            if language_info.is_object() {
                metadata["language_info"] = language_info.clone();
            }
        }
    }

    /// Forgets what earlier runs left.
    pub(crate) fn clear_outputs(&mut self) {
        for cell in self.cells.iter_mut().filter(|cell| is_code(cell)) {
            cell["outputs"] = json!([]);
            cell["execution_count"] = Value::Null;
        }
    }

    /// Writes the file whole: a reader sees the old one or the new one.
    ///
    /// # Errors
    /// When the folder cannot be written to.
    pub(crate) fn write(&self, path: &Path) -> Result<(), NotebookError> {
        // One space of indent and a last newline, as Jupyter writes it, so that diffs stay small.
        let mut bytes = Vec::new();
        let format = serde_json::ser::PrettyFormatter::with_indent(b" ");
        let failed = |reason: std::io::Error| NotebookError::Io { path: path.display().to_string(), reason };
        self.to_json()
            .serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, format))
            .map_err(|e| failed(e.into()))?;
        bytes.push(b'\n');
        write_whole(path, &bytes).map_err(failed)
    }
}

/// Writes a file beside its place, then moves it there.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // 0644 less the user's mask: these files are meant to be passed on, unlike other temporary files.
    let mut file =
        tempfile::Builder::new().permissions(PermissionsExt::from_mode(0o644)).tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|e| e.error)?;
    Ok(())
}

pub(crate) fn is_code(cell: &Value) -> bool {
    cell["cell_type"] == "code"
}

pub(crate) fn has_tag(cell: &Value, tag: &str) -> bool {
    cell["metadata"]["tags"].as_array().is_some_and(|tags| tags.iter().any(|t| t == tag))
}

/// Text that a notebook holds as one string or as a list of lines.
pub(crate) fn joined(text: &Value) -> String {
    match text {
        Value::String(text) => text.clone(),
        Value::Array(lines) => lines.iter().filter_map(Value::as_str).collect(),
        _ => String::new(),
    }
}

/// Text as a list of lines, each with its newline, as Jupyter saves it.
pub(crate) fn lines(text: &str) -> Value {
    text.split_inclusive('\n').collect()
}

/// A new code cell.
pub(crate) fn code_cell(source: &str, tags: &[&str]) -> Value {
    json!({
        "cell_type": "code", "execution_count": null, "id": new_id(), "metadata": {"tags": tags}, "outputs": [],
        "source": source,
    })
}

fn new_id() -> Value {
    // The format allows 1 to 64 letters, digits, - and _; eight hex digits are what Jupyter makes.
    uuid::Uuid::new_v4().to_string()[..8].into()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_here_knows_survives() {
        let raw = json!({
            "nbformat": 4, "nbformat_minor": 5, "future": {"z": 1, "a": 2},
            "metadata": {"title": "tour", "kernelspec": {"name": "python3"}},
            "cells": [
                {"cell_type": "markdown", "id": "m", "metadata": {}, "source": ["a\n", "b"],
                 "attachments": {"p.png": {"image/png": "aGk="}}},
                {"cell_type": "code", "id": "c", "metadata": {"own": true}, "source": "1", "outputs": [{"old": 1}],
                 "execution_count": 9, "extra": [1, 2]},
            ],
        });
        let mut notebook = Notebook::from_json(raw.clone()).unwrap();
        assert_eq!(notebook.to_json(), raw);
        notebook.clear_outputs();
        notebook.set_kernel(&json!({"name": "rust"}));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.ipynb");
        notebook.write(&path).unwrap();
        let back = Notebook::read(&path).unwrap().to_json();
        assert_eq!(back["cells"][0], raw["cells"][0]);
        assert_eq!(back["cells"][1]["extra"], json!([1, 2]));
        assert_eq!(back["cells"][1]["outputs"], json!([]));
        assert_eq!(back["metadata"]["title"], "tour");
        assert_eq!(back["metadata"]["kernelspec"]["name"], "spinbot");
        assert_eq!(back["future"].to_string(), "{\"z\":1,\"a\":2}");
    }

    #[test]
    fn what_is_no_notebook_is_refused_in_a_sentence() {
        let folder = tempfile::tempdir().unwrap();
        let cases = [
            ("", "no notebook"),
            ("[]", "no notebook"),
            ("{\"nbformat\": 4}", "list of cells"),
            ("{\"nbformat\": 3, \"worksheets\": []}", "format 4, got 3"),
            ("{}", "format 4"),
            ("{\"nbformat\": 4, \"cells\": [1]}", "a cell is no JSON object"),
        ];
        for (text, expected) in cases {
            let path = folder.path().join("x.ipynb");
            std::fs::write(&path, text).unwrap();
            let error = Notebook::read(&path).unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains("x.ipynb"), "{text}: {error}");
        }
        let missing = Notebook::read(&folder.path().join("none.ipynb")).unwrap_err().to_string();
        assert!(missing.contains("help:"), "{missing}");
    }

    #[test]
    fn cells_without_ids_get_them() {
        let raw = json!({"nbformat": 4, "nbformat_minor": 2, "cells": [{"cell_type": "raw", "source": ""}]});
        let notebook = Notebook::from_json(raw).unwrap().to_json();
        assert_eq!(notebook["nbformat_minor"], 5);
        assert_eq!(notebook["cells"][0]["id"].as_str().unwrap().len(), 8);
    }
}

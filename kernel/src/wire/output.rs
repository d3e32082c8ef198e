//! What a running cell shows: the handle given to a session.

use crate::wire::coalesce::{Publication, Stream};
use crate::wire::contract::CellError;
use crate::wire::iopub::Iopub;
use crate::wire::message::{Outgoing, Parent};
use serde_json::{Map, Value, json};
use spinbot::bundle::Bundle;

/// Shows things under one cell. Cheap to clone, usable from any thread, also after the cell has ended.
#[derive(Clone)]
pub(crate) struct Output {
    iopub: Iopub,
    parent: Parent,
    /// A silent cell's result is not shown.
    silent: bool,
}

impl Output {
    pub(super) fn new(iopub: Iopub, parent: Parent, silent: bool) -> Self {
        Output { iopub, parent, silent }
    }

    /// Prints text. Small pieces are gathered; order with everything else shown is kept.
    pub(crate) fn stream(&self, stream: Stream, text: &str) {
        if !text.is_empty() {
            self.iopub.publish(Publication::Text {
                parent: self.parent.clone(),
                stream,
                text: text.to_owned(),
            });
        }
    }

    /// Shows something; with an id it can be replaced later.
    pub(crate) fn display_data(&self, bundle: Bundle, display_id: Option<&str>) {
        self.send("display_data", display(bundle, display_id));
    }

    /// Replaces what is shown under the id, wherever it is.
    pub(crate) fn update_display_data(&self, bundle: Bundle, display_id: &str) {
        self.iopub.publish(Publication::Update {
            parent: self.parent.clone(),
            display_id: display_id.to_owned(),
            content: display(bundle, Some(display_id)),
        });
    }

    /// Shows the value of the cell, with the number of the request it answers.
    pub(crate) fn execute_result(&self, bundle: Bundle, execution_count: u64) {
        if !self.silent {
            let mut content = display(bundle, None);
            content["execution_count"] = json!(execution_count);
            self.send("execute_result", content);
        }
    }

    /// Clears the cell's output; with `wait`, only when something new comes.
    pub(crate) fn clear_output(&self, wait: bool) {
        self.send("clear_output", json!({"wait": wait}));
    }

    /// Shows an error without ending the cell. [`super::contract::ExecuteOutcome::Error`] is shown by the wire.
    pub(crate) fn error(&self, error: &CellError) {
        self.send(
            "error",
            json!({"ename": error.ename, "evalue": error.evalue, "traceback": error.traceback}),
        );
    }

    fn send(&self, kind: &'static str, content: Value) {
        self.iopub.publish(Publication::Message(Outgoing::new(kind, self.parent.clone(), content)));
    }
}

/// The schema wants `transient` to be an object, so it is one even when empty.
fn display(bundle: Bundle, display_id: Option<&str>) -> Value {
    let mut transient = Map::new();
    if let Some(id) = display_id {
        transient.insert("display_id".to_owned(), id.into());
    }
    json!({"data": bundle.data, "metadata": bundle.metadata, "transient": transient})
}

//! From the messages of running cells to the outputs a notebook keeps: a fold, as nbclient does it.

use crate::runner::notebook::lines;
use serde_json::{Map, Value, json};

/// The outputs of all cells run so far. All, because a display may be replaced long after its cell ended.
#[derive(Debug, Default)]
pub(crate) struct Outputs {
    cells: Vec<CellOutputs>,
}

#[derive(Debug, Default)]
struct CellOutputs {
    shown: Vec<Shown>,
    /// Clear when the next output comes.
    clear_next: bool,
}

#[derive(Debug)]
enum Shown {
    /// Neighbouring text of one stream.
    Text {
        name: String,
        text: String,
    },
    /// A display or a result, replaceable under its id.
    Rich {
        display_id: Option<String>,
        output: Map<String, Value>,
    },
    Error(Value),
}

impl Outputs {
    /// For as many cells.
    pub(crate) fn new(cells: usize) -> Self {
        Outputs { cells: (0..cells).map(|_| CellOutputs::default()).collect() }
    }

    /// Takes one iopub message of the cell at `index`; those that show nothing are ignored.
    pub(crate) fn take(&mut self, index: usize, kind: &str, content: &Value) {
        let id = content["transient"]["display_id"].as_str();
        if let Some(id) = id
            && matches!(kind, "display_data" | "execute_result" | "update_display_data")
        {
            self.replace(id, content);
        }
        let Some(cell) = self.cells.get_mut(index) else { return };
        let rich = |kind: &str| Map::from_iter([("output_type".to_owned(), Value::from(kind))]);
        let shown = match kind {
            "clear_output" => {
                if content["wait"] == true {
                    cell.clear_next = true;
                } else {
                    *cell = CellOutputs::default();
                }
                return;
            }
            "stream" => Shown::Text { name: text_of(&content["name"]), text: text_of(&content["text"]) },
            "display_data" => {
                Shown::Rich { display_id: id.map(str::to_owned), output: with_data(rich(kind), content) }
            }
            "execute_result" => {
                let mut output = with_data(rich(kind), content);
                output.insert("execution_count".to_owned(), content["execution_count"].clone());
                Shown::Rich { display_id: id.map(str::to_owned), output }
            }
            "error" => Shown::Error(json!({
                "output_type": "error",
                "ename": text_of(&content["ename"]),
                "evalue": text_of(&content["evalue"]),
                "traceback": content["traceback"].as_array().cloned().unwrap_or_default(),
            })),
            _ => return,
        };
        if std::mem::take(&mut cell.clear_next) {
            cell.shown.clear();
        }
        match (cell.shown.last_mut(), shown) {
            (Some(Shown::Text { name, text }), Shown::Text { name: same, text: more }) if *name == same => {
                text.push_str(&more);
            }
            (_, shown) => cell.shown.push(shown),
        }
    }

    /// Replaces every output under this id, in whichever cell.
    fn replace(&mut self, id: &str, content: &Value) {
        for shown in self.cells.iter_mut().flat_map(|cell| &mut cell.shown) {
            if let Shown::Rich { display_id: Some(own), output } = shown
                && own == id
            {
                *output = with_data(std::mem::take(output), content);
            }
        }
    }

    /// The `outputs` of one cell as a notebook holds them.
    pub(crate) fn of(&self, index: usize) -> Value {
        let shown = self.cells.get(index).map_or(&[][..], |cell| &cell.shown);
        shown
            .iter()
            .map(|shown| match shown {
                Shown::Text { name, text } => {
                    json!({"name": name, "output_type": "stream", "text": lines(text)})
                }
                Shown::Rich { output, .. } => Value::Object(output.clone()),
                Shown::Error(output) => output.clone(),
            })
            .collect()
    }
}

fn with_data(mut output: Map<String, Value>, content: &Value) -> Map<String, Value> {
    let data = content["data"].as_object().cloned().unwrap_or_default();
    let data = data.into_iter().map(|(mime, value)| {
        let text = mime.starts_with("text/") || mime == "image/svg+xml";
        let value = value.as_str().filter(|_| text).map_or(value.clone(), lines);
        (mime, value)
    });
    output.insert("data".to_owned(), Value::Object(data.collect()));
    output.insert("metadata".to_owned(), content["metadata"].as_object().cloned().unwrap_or_default().into());
    output
}

fn text_of(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn text(name: &str, text: &str) -> (usize, &'static str, Value) {
        (0, "stream", json!({"name": name, "text": text}))
    }
    fn shown(cell: usize, kind: &'static str, id: Option<&str>, plain: &str) -> (usize, &'static str, Value) {
        let transient = id.map_or(json!({}), |id| json!({"display_id": id}));
        (cell, kind, json!({"data": {"text/plain": plain}, "metadata": {}, "transient": transient}))
    }
    fn clear(wait: bool) -> (usize, &'static str, Value) {
        (0, "clear_output", json!({"wait": wait}))
    }

    /// One short line an output: `stdout:text`, `display:text`, `result:text`, `error:name`.
    fn summary(outputs: &Value) -> Vec<String> {
        let plain = |o: &Value| crate::runner::notebook::joined(&o["data"]["text/plain"]);
        outputs
            .as_array()
            .unwrap()
            .iter()
            .map(|o| match o["output_type"].as_str().unwrap() {
                "stream" => {
                    format!("{}:{}", o["name"].as_str().unwrap(), crate::runner::notebook::joined(&o["text"]))
                }
                "display_data" => format!("display:{}", plain(o)),
                "execute_result" => format!("result:{}", plain(o)),
                _ => format!("error:{}", o["ename"].as_str().unwrap()),
            })
            .collect()
    }

    #[test]
    fn messages_fold_into_what_nbclient_would_keep() {
        type Case<'a> = (&'a str, Vec<(usize, &'static str, Value)>, &'a [&'a str], &'a [&'a str]);
        let error = || (0, "error", json!({"ename": "E", "evalue": "v", "traceback": ["t"]}));
        let cases: Vec<Case> = vec![
            ("streams merge", vec![text("stdout", "a\n"), text("stdout", "b")], &["stdout:a\nb"], &[]),
            (
                "streams stay apart",
                vec![text("stdout", "a"), text("stderr", "b"), text("stdout", "c")],
                &["stdout:a", "stderr:b", "stdout:c"],
                &[],
            ),
            (
                "a display parts text",
                vec![text("stdout", "a"), shown(0, "display_data", None, "D"), text("stdout", "b")],
                &["stdout:a", "display:D", "stdout:b"],
                &[],
            ),
            (
                "an update replaces in place",
                vec![
                    shown(0, "display_data", Some("x"), "1"),
                    text("stdout", "a"),
                    shown(0, "update_display_data", Some("x"), "2"),
                ],
                &["display:2", "stdout:a"],
                &[],
            ),
            (
                "an update from a later cell reaches the earlier one",
                vec![
                    shown(0, "display_data", Some("x"), "1"),
                    shown(1, "update_display_data", Some("x"), "2"),
                ],
                &["display:2"],
                &[],
            ),
            (
                "the same id shown twice is replaced in both",
                vec![
                    shown(0, "display_data", Some("x"), "1"),
                    shown(1, "display_data", Some("x"), "2"),
                    shown(1, "update_display_data", Some("x"), "3"),
                ],
                &["display:3"],
                &["display:3"],
            ),
            (
                "an update of nothing shows nothing",
                vec![shown(0, "update_display_data", Some("x"), "1")],
                &[],
                &[],
            ),
            ("clear now", vec![text("stdout", "a"), clear(false), text("stdout", "b")], &["stdout:b"], &[]),
            ("clear now and nothing after", vec![text("stdout", "a"), clear(false)], &[], &[]),
            (
                "clear and wait",
                vec![text("stdout", "a"), clear(true), text("stdout", "b"), text("stdout", "c")],
                &["stdout:bc"],
                &[],
            ),
            ("clear and wait for ever", vec![text("stdout", "a"), clear(true)], &["stdout:a"], &[]),
            (
                "an update is no output a clear waits for",
                vec![
                    shown(0, "display_data", Some("x"), "1"),
                    clear(true),
                    shown(0, "update_display_data", Some("x"), "2"),
                ],
                &["display:2"],
                &[],
            ),
            (
                "a cleared display is updated no more",
                vec![
                    shown(0, "display_data", Some("x"), "1"),
                    clear(false),
                    shown(0, "update_display_data", Some("x"), "2"),
                ],
                &[],
                &[],
            ),
            (
                "results and errors",
                vec![shown(0, "execute_result", None, "4"), error()],
                &["result:4", "error:E"],
                &[],
            ),
            (
                "others show nothing",
                vec![(0, "status", json!({})), (0, "comm_open", json!({})), (9, "stream", json!({}))],
                &[],
                &[],
            ),
        ];
        for (story, messages, first, second) in cases {
            let mut outputs = Outputs::new(2);
            for (cell, kind, content) in messages {
                outputs.take(cell, kind, &content);
            }
            assert_eq!(summary(&outputs.of(0)), first, "{story}");
            assert_eq!(summary(&outputs.of(1)), second, "{story}");
        }
    }

    #[test]
    fn outputs_have_the_fields_the_format_asks_for() {
        let mut outputs = Outputs::new(1);
        let data = json!({"text/plain": "a\nb", "image/png": "aGk=", "application/json": {"a": 1}});
        outputs.take(
            0,
            "execute_result",
            &json!({"data": data, "metadata": {"image/png": {"width": 1}}, "execution_count": 3}),
        );
        outputs.take(0, "stream", &json!({"name": "stdout", "text": "x\ny\n"}));
        assert_eq!(
            outputs.of(0),
            json!([
                {"output_type": "execute_result", "execution_count": 3, "metadata": {"image/png": {"width": 1}},
                 "data": {"text/plain": ["a\n", "b"], "image/png": "aGk=", "application/json": {"a": 1}}},
                {"name": "stdout", "output_type": "stream", "text": ["x\n", "y\n"]},
            ])
        );
    }
}

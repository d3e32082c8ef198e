//! A notebook as one static page that needs nothing else: no script, no font, no file beside it.
//!
//! Markup that a notebook's author or a cell wrote is shown as such; a content policy in the page keeps scripts in
//! it from running. Everything else is escaped.

use crate::runner::ansi;
use crate::runner::notebook::{Notebook, is_code, joined};
use pulldown_cmark::{CowStr, Event, Options, Parser, Tag};
use serde_json::Value;
use spinbot::bundle::escape;

const STYLE: &str = include_str!("page.css");

/// What of an output is shown: the first of these it has.
const PREFERRED: [&str; 10] = [
    "text/html",
    "text/markdown",
    "image/svg+xml",
    "image/png",
    "image/jpeg",
    "image/gif",
    "image/webp",
    "text/latex",
    "text/plain",
    "application/json",
];

/// The page.
pub(super) fn page(notebook: &Notebook, title: &str) -> String {
    let title = notebook.metadata()["title"].as_str().unwrap_or(title);
    let cells: String = notebook.cells().iter().map(cell).collect();
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; \
         img-src * data:; media-src * data:\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{}</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n{cells}</body>\n</html>\n",
        escape(title)
    )
}

fn cell(cell: &Value) -> String {
    let source = joined(&cell["source"]);
    if is_code(cell) {
        let outputs: String = cell["outputs"].as_array().into_iter().flatten().map(output).collect();
        let count = cell["execution_count"].as_u64().map_or_else(|| " ".to_owned(), |n| n.to_string());
        return format!(
            "<section class=\"cell\"><div class=\"in\"><span class=\"count\">[{count}]</span><pre>{}</pre></div>{outputs}</section>\n",
            escape(&source)
        );
    }
    let inner = match cell["cell_type"].as_str() {
        Some("markdown") => markdown(&source, &cell["attachments"]),
        _ => format!("<pre>{}</pre>", escape(&source)),
    };
    format!("<section class=\"cell text\">{inner}</section>\n")
}

fn output(output: &Value) -> String {
    let (class, inner) = match output["output_type"].as_str() {
        Some("stream") => {
            let class = if output["name"] == "stderr" { "stderr" } else { "stdout" };
            (class, format!("<pre>{}</pre>", ansi::to_html(&joined(&output["text"]))))
        }
        Some("error") => {
            let lines: Vec<&str> =
                output["traceback"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            ("error", format!("<pre>{}</pre>", ansi::to_html(&lines.join("\n"))))
        }
        _ => {
            let data = &output["data"];
            let Some(mime) = PREFERRED.into_iter().find(|mime| data.get(mime).is_some()) else {
                return String::new();
            };
            ("rich", rich(mime, &data[mime], &output["metadata"][mime]))
        }
    };
    format!("<div class=\"out {class}\">{inner}</div>")
}

fn rich(mime: &str, content: &Value, metadata: &Value) -> String {
    let text = joined(content);
    match mime {
        "text/html" => text,
        "text/markdown" => markdown(&text, &Value::Null),
        // As a picture: a browser runs no script in it there.
        "image/svg+xml" => {
            let encoded: String = text.bytes().map(percent).collect();
            format!("<img alt=\"drawing\" src=\"data:image/svg+xml,{encoded}\">")
        }
        _ if mime.starts_with("image/") => {
            let bytes: String = text.chars().filter(|c| !c.is_whitespace()).collect();
            let side =
                |name: &str| metadata[name].as_u64().map_or_else(String::new, |n| format!(" {name}=\"{n}\""));
            let size = side("width") + &side("height");
            format!("<img alt=\"picture\"{size} src=\"data:{mime};base64,{}\">", escape(&bytes))
        }
        "application/json" => format!("<pre>{}</pre>", escape(&format!("{content:#}"))),
        _ => format!("<pre>{}</pre>", ansi::to_html(&text)),
    }
}

/// A byte of a data URL inside quotes.
fn percent(byte: u8) -> String {
    match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'/' | b':' | b'=' | b' ' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    }
}

/// Markdown as JupyterLab reads it, with the cell's attached pictures put in.
fn markdown(source: &str, attachments: &Value) -> String {
    let options = Options::ENABLE_TABLES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_FOOTNOTES;
    let events = Parser::new_ext(source, options).map(|event| match event {
        Event::Start(Tag::Image { link_type, dest_url, title, id }) => {
            let dest_url = attached(&dest_url, attachments).map_or(dest_url, CowStr::from);
            Event::Start(Tag::Image { link_type, dest_url, title, id })
        }
        other => other,
    });
    let mut html = String::new();
    pulldown_cmark::html::push_html(&mut html, events);
    html
}

fn attached(url: &str, attachments: &Value) -> Option<String> {
    let bundle = attachments.get(url.strip_prefix("attachment:")?)?.as_object()?;
    let (mime, bytes) = bundle.iter().find(|(mime, _)| mime.starts_with("image/"))?;
    Some(format!("data:{mime};base64,{}", joined(bytes).split_whitespace().collect::<String>()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(cell: Value) -> String {
        let notebook = json!({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [cell]});
        page(&Notebook::from_json(notebook).unwrap(), "a <title>")
    }
    fn showing(data: Value) -> String {
        let output =
            json!({"output_type": "display_data", "metadata": {"image/png": {"width": 9}}, "data": data});
        of(json!({"cell_type": "code", "source": "x", "execution_count": 2, "outputs": [output]}))
    }

    #[test]
    fn a_page_holds_what_the_notebook_shows() {
        let code = json!({"cell_type": "code", "source": ["if a < b {\n", "}"], "execution_count": 3, "outputs": [
            {"output_type": "stream", "name": "stderr", "text": ["<warn>\n"]},
            {"output_type": "error", "ename": "E", "evalue": "v", "traceback": ["\u{1b}[31mE\u{1b}[0m: <v>"]},
        ]});
        let markdown = json!({"cell_type": "markdown", "source": "# Hi\n\n![p](attachment:p.png) | `x<y`\n\n|a|b|\n|-|-|\n|1|2|",
            "attachments": {"p.png": {"image/png": "aG\nk="}}});
        let cases: Vec<(String, &[&str])> = vec![
            (
                of(code),
                &[
                    "<title>a &lt;title&gt;</title>",
                    "[3]",
                    "if a &lt; b {\n}",
                    "&lt;warn&gt;",
                    "<span class=\"a1\">E</span>: &lt;v&gt;",
                ],
            ),
            (of(markdown), &["<h1>Hi</h1>", "src=\"data:image/png;base64,aGk=\"", "x&lt;y", "<td>1</td>"]),
            (of(json!({"cell_type": "raw", "source": "<raw>"})), &["<pre>&lt;raw&gt;</pre>"]),
            (showing(json!({"text/plain": "p", "text/html": ["<b>", "h</b>"]})), &["<b>h</b>"]),
            (
                showing(json!({"text/plain": "p", "image/png": "aG\nk="})),
                &["width=\"9\" src=\"data:image/png;base64,aGk=\""],
            ),
            (showing(json!({"image/jpeg": "\"><script>"})), &["base64,&quot;&gt;&lt;script&gt;"]),
            (
                showing(json!({"image/svg+xml": "<svg a='\"'/>"})),
                &["data:image/svg+xml,%3Csvg a=%27%22%27/%3E"],
            ),
            (showing(json!({"text/plain": "<plain>"})), &["<pre>&lt;plain&gt;</pre>"]),
            (showing(json!({"application/json": {"a": 1}})), &["&quot;a&quot;: 1"]),
        ];
        for (html, expected) in cases {
            for part in expected {
                assert!(html.contains(part), "{part} is missing in {html}");
            }
        }
        assert!(!showing(json!({"text/plain": "only this", "text/html": "that"})).contains("only this"));
    }
}

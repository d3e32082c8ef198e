//! `%%html`: shows HTML.

use crate::error::Failure;
use crate::spec::{Arg, BodyKind, Example, Kind};
use crate::{Call, Magic, Session};
use spinbot::Show;

pub(crate) struct Html;

const ARGS: &[Arg] = &[Arg::positional("text", "TEXT", Kind::Code, "The HTML to show.").required()];

impl Magic for Html {
    fn name(&self) -> &'static str {
        "html"
    }

    fn summary(&self) -> &'static str {
        "Shows the lines below it as HTML."
    }

    fn details(&self) -> &'static str {
        "JupyterLab strips scripts from it in a notebook that is not trusted."
    }

    fn args(&self) -> &'static [Arg] {
        ARGS
    }

    fn body(&self) -> BodyKind {
        BodyKind::TextOnly("text")
    }

    fn examples(&self) -> &'static [Example] {
        &[Example { cell: "%%html\n<b>Hello</b>", about: "Show a bold word." }]
    }

    fn run(&self, call: &Call, cx: &mut dyn Session) -> Result<(), Failure> {
        let text = call.text("text").unwrap_or_default();
        cx.display(&spinbot::Html(text.to_owned()).bundle(), None);
        Ok(())
    }
}

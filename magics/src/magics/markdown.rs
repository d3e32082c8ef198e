//! `%%markdown`: shows Markdown.

use crate::error::Failure;
use crate::spec::{Arg, BodyKind, Example, Kind};
use crate::{Call, Magic, Session};
use spinbot::Show;

pub(crate) struct Markdown;

const ARGS: &[Arg] = &[Arg::positional("text", "TEXT", Kind::Code, "The Markdown to show.").required()];

impl Magic for Markdown {
    fn name(&self) -> &'static str {
        "markdown"
    }

    fn summary(&self) -> &'static str {
        "Shows the lines below it as Markdown."
    }

    fn args(&self) -> &'static [Arg] {
        ARGS
    }

    fn body(&self) -> BodyKind {
        BodyKind::TextOnly("text")
    }

    fn examples(&self) -> &'static [Example] {
        &[Example { cell: "%%markdown\n**Hello**, *world*", about: "Show formatted text." }]
    }

    fn run(&self, call: &Call, cx: &mut dyn Session) -> Result<(), Failure> {
        let text = call.text("text").unwrap_or_default();
        cx.display(&spinbot::Markdown(text.to_owned()).bundle(), None);
        Ok(())
    }
}

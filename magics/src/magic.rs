//! The trait every magic implements, the list of them, and how one is run.
//!
//! A magic is one file under `magics/` with one unit struct. Its arguments are read in `call.rs`; its help is
//! written by `reference.rs`.

use crate::cell::RawMagic;
use crate::error::{Failure, MagicError};
use crate::session::Session;
use crate::spec::{Arg, BodyKind, Example};
use crate::{Call, magics, reference};
use spinbot::suggest::nearest;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// One magic.
pub trait Magic: Sync {
    /// Its name, without `%`.
    fn name(&self) -> &'static str;

    /// What it does, in one sentence.
    fn summary(&self) -> &'static str;

    /// More about it for its help, in Markdown paragraphs.
    fn details(&self) -> &'static str {
        ""
    }

    /// What it takes.
    fn args(&self) -> &'static [Arg] {
        &[]
    }

    /// What the lines below `%%name` are.
    fn body(&self) -> BodyKind {
        BodyKind::None
    }

    /// Cells to learn from; every one is run by a test.
    fn examples(&self) -> &'static [Example];

    /// What to say to someone who gave a word or flag that is not declared, where a suggestion by spelling would
    /// mislead. `given` is the flag with its dashes, or the word.
    fn instead_of(&self, given: &str) -> Option<String> {
        let _ = given;
        None
    }

    /// Does it.
    ///
    /// # Errors
    /// What went wrong, pointing at the characters where it can.
    fn run(&self, call: &Call, cx: &mut dyn Session) -> Result<(), Failure>;
}

/// All magics, by name.
pub fn registry() -> &'static [&'static dyn Magic] {
    magics::ALL
}

/// The magic of that name.
pub fn find(name: &str) -> Option<&'static dyn Magic> {
    registry().iter().copied().find(|magic| magic.name() == name)
}

/// The magic a line or cell names.
///
/// # Errors
/// There is none, or it has no such form (`%name` or `%%name`).
fn named(raw: &RawMagic) -> Result<&'static dyn Magic, MagicError> {
    let found = find(&raw.name).ok_or_else(|| {
        let error = MagicError::at(raw.name_span, format!("there is no magic %{}", raw.name));
        match nearest(&raw.name, registry().iter().map(|magic| magic.name())) {
            Some(name) => error.help(format!("did you mean `%{name}`?")),
            None => error.help("`%lsmagic` lists them"),
        }
    })?;
    let name = found.name();
    match (raw.double, raw.help, &raw.body, found.body()) {
        (_, true, _, _) => Ok(found),
        (true, _, _, BodyKind::None) => {
            Err(MagicError::at(raw.name_span, format!("%{name} takes no lines below it"))
                .help(format!("write `%{name}` on one line")))
        }
        (false, _, _, BodyKind::TextOnly(_)) => {
            Err(MagicError::at(raw.name_span, format!("%{name} takes its text from the lines below it"))
                .help(format!("write `%%{name}` on the first line of a cell")))
        }
        (true, _, None, _) => Err(MagicError::at(raw.name_span, format!("%%{name} must begin the cell"))
            .help("put it into a cell of its own, or use its one-line form")),
        _ => Ok(found),
    }
}

/// Runs one magic of a cell, or shows its help.
///
/// # Errors
/// What went wrong, pointing at characters of the cell.
pub fn execute(raw: &RawMagic, cx: &mut dyn Session) -> Result<(), Failure> {
    let magic = named(raw)?;
    if raw.help || Call::asks_for_help(magic, raw) {
        cx.display(&reference::help(magic), None);
        return Ok(());
    }
    // One magic's bug must not take the notebook with it.
    catch_unwind(AssertUnwindSafe(|| {
        let call = Call::read(magic, raw, cx)?;
        magic.run(&call, cx)
    }))
    .unwrap_or_else(|panic| {
        let what = panic.downcast_ref::<String>().map(String::as_str);
        let what = what.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no reason given");
        Err(MagicError::at(
            raw.name_span,
            format!("%{} stopped on a mistake of its own: {what}", magic.name()),
        )
        .help("this is a bug in SpinBot; the notebook and its variables are as before")
        .into())
    })
}

//! `%lsmagic`: what there is.

use crate::error::Failure;
use crate::reference;
use crate::spec::Example;
use crate::{Call, Magic, Session};

pub(crate) struct LsMagic;

impl Magic for LsMagic {
    fn name(&self) -> &'static str {
        "lsmagic"
    }

    fn summary(&self) -> &'static str {
        "Lists every magic with what it takes and what it does."
    }

    fn examples(&self) -> &'static [Example] {
        &[Example { cell: "%lsmagic", about: "Show the list." }]
    }

    fn run(&self, _call: &Call, cx: &mut dyn Session) -> Result<(), Failure> {
        cx.display(&reference::list(), None);
        Ok(())
    }
}

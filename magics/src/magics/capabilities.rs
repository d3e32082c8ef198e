//! `%capabilities`: what can be chosen, and what each choice needs. The program's own command line tells it, because only
//! that knows the models.

use crate::error::Failure;
use crate::spec::Example;
use crate::{Call, Magic, Session};
use spinbot::{Capabilities as Manifest, Show};

pub(crate) struct Capabilities;

impl Magic for Capabilities {
    fn name(&self) -> &'static str {
        "capabilities"
    }

    fn summary(&self) -> &'static str {
        "Lists what can be chosen, variants, presets, voices and models, with what each needs and whether it is here."
    }

    fn details(&self) -> &'static str {
        "The same as JSON goes with the output, and in a terminal: `spinbot capabilities --json`. The same in Rust: \
         `spinbot::capabilities()?`."
    }

    fn examples(&self) -> &'static [Example] {
        &[Example { cell: "%capabilities", about: "List them." }]
    }

    fn run(&self, call: &Call, cx: &mut dyn Session) -> Result<(), Failure> {
        let manifest = Manifest::ask(&cx.program()).map_err(|fault| call.fault(fault))?;
        cx.display(&manifest.bundle(), None);
        Ok(())
    }
}

//! The cell's side of the channel to its kernel, and how a cell's last expression is shown.
//!
//! The process that runs cells exports one function, `spinbot_cell_send`, found here by `dlsym`; it is the only
//! writer of the channel, so that text and displays keep their order. Where it is missing (a plain program),
//! messages become text on stdout.

use crate::bundle::{Bundle, Show};
use serde::{Deserialize, Serialize};

/// What a cell says besides its text streams.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "message", rename_all = "snake_case")]
pub enum Message {
    /// Show something, or replace what is shown under `display_id`.
    Display {
        bundle: Bundle,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        display_id: Option<String>,
        #[serde(default)]
        update: bool,
    },
    /// The value of the cell.
    Result { bundle: Bundle },
    /// Clear the cell's output.
    Clear { wait: bool },
    /// The text a magic asked for with `{expr}`.
    Answer { text: String },
    /// The cell follows this job: stopping the cell cancels it.
    Following { job: String },
    /// The cell's own thread panicked; whether that ended the cell is told apart.
    Panic {
        text: String,
        /// Line of the source evcxr compiled, from 1; 0 when not known.
        line: u32,
    },
}

type Send = unsafe extern "C" fn(*const u8, usize);

/// The exported function's name.
pub const SEND_SYMBOL: &std::ffi::CStr = c"spinbot_cell_send";

fn kernel() -> Option<Send> {
    unsafe extern "C" {
        fn dlsym(handle: *mut std::ffi::c_void, symbol: *const std::ffi::c_char) -> *mut std::ffi::c_void;
    }
    // SAFETY: a null handle is RTLD_DEFAULT on Linux; the name is a C string. Whoever exports this name does so
    // with the signature of `Send`.
    unsafe {
        let symbol = dlsym(std::ptr::null_mut(), SEND_SYMBOL.as_ptr());
        (!symbol.is_null()).then(|| std::mem::transmute::<*mut std::ffi::c_void, Send>(symbol))
    }
}

/// Sends a message to the kernel, after everything printed before it.
pub(crate) fn send(message: &Message) {
    use std::io::Write;
    let mut out = std::io::stdout();
    // A closed stdout has nowhere to tell of it; the message itself goes another way.
    let _ = out.flush();
    match kernel() {
        Some(send) => {
            let bytes = serde_json::to_vec(message).unwrap_or_default();
            // SAFETY: the bytes outlive the call, which copies them.
            unsafe { send(bytes.as_ptr(), bytes.len()) };
        }
        None => {
            if let Message::Display { bundle, .. } | Message::Result { bundle } = message
                && let Some(text) = bundle.data.get("text/plain").and_then(|t| t.as_str())
            {
                let _ = writeln!(out, "{text}");
            }
        }
    }
}

/// An id no other display has: from the clock and the process, since cells share no counter.
pub(crate) fn unique_id() -> String {
    use std::hash::{BuildHasher, Hasher};
    let mut hasher = std::collections::hash_map::RandomState::new().build_hasher();
    hasher.write_u32(std::process::id());
    hasher.write_u128(std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(0, |d| d.as_nanos()));
    format!("spinbot-{:016x}", hasher.finish())
}

/// Called by the runtime while a cell runs, so that text without a newline appears at once.
#[unsafe(no_mangle)]
pub extern "C" fn spinbot_flush_stdout() {
    use std::io::Write;
    let _ = std::io::stdout().flush();
}

/// Called by the runtime before a cell runs: a panic of the cell's own thread becomes a message instead of text,
/// since its location is in generated code. Other threads' panics are told on stderr as ever.
#[unsafe(no_mangle)]
pub extern "C" fn spinbot_enter_cell() {
    // By id, not by name: the process's first thread was not started by this copy of the standard library.
    let own = std::thread::current().id();
    std::panic::set_hook(Box::new(move |panic| {
        let payload = panic.payload();
        let text = payload.downcast_ref::<&str>().map(|s| (*s).to_owned());
        let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
        let text = text.unwrap_or_else(|| "a panic with a payload that is not text".to_owned());
        let thread = std::thread::current();
        if thread.id() == own {
            let line = panic.location().filter(|l| l.file().ends_with("lib.rs")).map_or(0, |l| l.line());
            send(&Message::Panic { text, line });
        } else {
            use std::io::Write;
            let line = format!("thread '{}' panicked: {text}\n", thread.name().unwrap_or("unnamed"));
            // Nowhere to tell of a failing stderr.
            let _ = std::io::stderr().write_all(line.as_bytes());
        }
    }));
}

/// Called by the runtime to fork the next cell's process: nobody else may hold the streams' locks meanwhile, since
/// the child has no thread that could let go of them.
#[unsafe(no_mangle)]
pub extern "C" fn spinbot_fork(fork: extern "C" fn() -> i32) -> i32 {
    let _streams = (std::io::stdout().lock(), std::io::stderr().lock());
    fork()
}

/// Answers a magic's `{expr}`.
#[doc(hidden)]
pub fn answer(text: impl std::fmt::Display) {
    send(&Message::Answer { text: text.to_string() });
}

/// Never implemented: the compiler's complaint about it names the type, which is how the kernel learns the type of
/// a variable when rust-analyzer does not know it.
#[doc(hidden)]
#[diagnostic::on_unimplemented(message = "spinbot:type:{Self}")]
pub trait Typed {}

/// See [`Typed`].
#[doc(hidden)]
pub fn type_of<T: Typed + ?Sized>(_: &T) {}

/// Shows the value of a cell's last expression: by its own `evcxr_display` where it has one, else by [`Show`],
/// else by `Debug`. Written by the kernel around that expression, so that the cell compiles once.
#[doc(hidden)]
#[macro_export]
macro_rules! __show {
    ($value:expr) => {
        match &$value {
            value => {
                #[allow(unused_imports)]
                use $crate::cell::probe::{
                    AsDebug as _, AsOpaque as _, AsShow as _, ByItself as _, NoOwnDisplay as _,
                };
                #[allow(clippy::needless_borrow)]
                let own = value.evcxr_display();
                (&&&&$crate::cell::probe::Probe(own, value)).show_value();
            }
        }
    };
}

/// Autoref specialisation behind `__show!`: method lookup takes the first of these traits that applies, by the
/// number of references each is implemented on (D. Tolnay, "Autoref-based stable specialization").
#[doc(hidden)]
pub mod probe {
    use super::{Bundle, Message, Show, send};
    use std::fmt::Debug;

    /// Returned by the fallback `evcxr_display`: the type has none of its own.
    #[derive(Clone, Copy)]
    pub struct NotShown;

    pub trait NoOwnDisplay {
        fn evcxr_display(&self) -> NotShown {
            NotShown
        }
    }
    impl<T: ?Sized> NoOwnDisplay for T {}

    pub struct Probe<'a, S, T: ?Sized>(pub S, pub &'a T);

    pub trait ByItself {
        fn show_value(&self);
    }
    impl<T: ?Sized> ByItself for &&&Probe<'_, (), T> {
        fn show_value(&self) {}
    }

    pub trait AsShow {
        fn show_value(&self);
    }
    impl<T: Show + ?Sized> AsShow for &&Probe<'_, NotShown, T> {
        fn show_value(&self) {
            send(&Message::Result { bundle: self.1.bundle() });
        }
    }

    pub trait AsDebug {
        fn show_value(&self);
    }
    impl<T: Debug + ?Sized> AsDebug for &Probe<'_, NotShown, T> {
        fn show_value(&self) {
            let name = std::any::type_name::<T>();
            if name == "()" {
                return;
            }
            let line = format!("{:?}", self.1);
            // A long value on one line is hard to read; a short one on many lines wastes the page.
            let text = if line.chars().count() > 100 && line.contains(['{', '[', '(']) {
                format!("{:#?}", self.1)
            } else {
                line
            };
            send(&Message::Result { bundle: Bundle::text(text) });
        }
    }

    pub trait AsOpaque {
        fn show_value(&self);
    }
    impl<S, T: ?Sized> AsOpaque for Probe<'_, S, T> {
        fn show_value(&self) {
            let name = std::any::type_name::<T>();
            send(&Message::Result { bundle: Bundle::text(format!("<{name}> (no Debug)")) });
        }
    }
}

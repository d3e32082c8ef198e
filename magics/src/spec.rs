//! How a magic declares what it takes: help, completion, validation and the reference are made from this.
//!
//! Only declarations. Reading a line against them is in `call.rs`.

/// What one argument may be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// Any text.
    Text,
    /// A file that exists; relative to the notebook, `~` is the home folder.
    File,
    /// A path, whether something lies there or not; relative to the notebook, `~` is the home folder.
    Path,
    /// A voice: a stock voice, a profile, a mixture, or one of a model of the user's own; whether there is one is seen when it is used.
    Voice,
    /// A model of the user's own; whether there is one is seen when it is used.
    Model,
    /// A LoRA's name or file, with its weight behind a colon where it has one.
    Lora,
    /// A Rust variable's name.
    Name,
    /// A number in `min..=max`.
    Number {
        /// Least.
        min: f64,
        /// Most.
        max: f64,
    },
    /// A whole number in `min..=max`.
    Int {
        /// Least.
        min: i64,
        /// Most.
        max: i64,
    },
    /// One of these words.
    Choice(&'static [&'static str]),
    /// There or not there.
    Flag,
    /// The rest of the line or the body, as it stands.
    Code,
}

/// One argument of a magic.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Arg {
    /// Its name: `--name` on a line, `name` in a TOML body.
    pub name: &'static str,
    /// How its value is called in the synopsis: `IMAGE`, `N`.
    pub placeholder: &'static str,
    /// What it may be.
    pub kind: Kind,
    /// Given by its place instead of `--name`.
    pub positional: bool,
    /// Must be given.
    pub required: bool,
    /// May be given more than once.
    pub repeated: bool,
    /// What stands when it is not given, as it would be typed.
    pub default: Option<&'static str>,
    /// What it is for, in one sentence.
    pub help: &'static str,
}

impl Arg {
    const fn new(name: &'static str, placeholder: &'static str, kind: Kind, help: &'static str) -> Self {
        Arg {
            name,
            placeholder,
            kind,
            positional: false,
            required: false,
            repeated: false,
            default: None,
            help,
        }
    }

    /// `--name PLACEHOLDER`.
    pub const fn flag(name: &'static str, placeholder: &'static str, kind: Kind, help: &'static str) -> Self {
        Arg::new(name, placeholder, kind, help)
    }

    /// `--name` alone.
    pub const fn switch(name: &'static str, help: &'static str) -> Self {
        Arg::new(name, "", Kind::Flag, help)
    }

    /// A value given by its place.
    pub const fn positional(
        name: &'static str,
        placeholder: &'static str,
        kind: Kind,
        help: &'static str,
    ) -> Self {
        let mut arg = Arg::new(name, placeholder, kind, help);
        arg.positional = true;
        arg
    }

    /// Makes it required.
    #[must_use]
    pub const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// Lets it be given more than once.
    #[must_use]
    pub const fn repeated(mut self) -> Self {
        self.repeated = true;
        self
    }

    /// Sets what stands when it is not given.
    #[must_use]
    pub const fn default(mut self, value: &'static str) -> Self {
        self.default = Some(value);
        self
    }
}

/// `--as NAME`: every magic with a result has it, with its own default.
pub const fn named(default: &'static str) -> Arg {
    Arg::flag("as", "NAME", Kind::Name, "The Rust variable that holds the result.").default(default)
}

/// `--dry-run`, for magics that plan a job.
pub const DRY_RUN: Arg = Arg::switch("dry-run", "Show the plan and run nothing.");

/// `--device DEVICE`, for magics whose steps run on a GPU where there is one.
pub const DEVICE: Arg = Arg::flag(
    "device",
    "DEVICE",
    Kind::Text,
    "Where it is computed: auto (the fastest there is), cpu, cuda, cuda:N or metal.",
)
.default(spinbot::steps::AUTO);

/// `--precision WHAT`, for the same.
pub const PRECISION: Arg = Arg::flag(
    "precision",
    "WHAT",
    Kind::Choice(spinbot::steps::Precision::NAMES),
    "In what the networks compute; what suits device and model when not given.",
);

/// `--detach`, for magics that plan a job.
pub const DETACH: Arg =
    Arg::switch("detach", "Queue the job, show its id and go on; `%jobs` tells how it stands.");

/// `--seed N`, for magics with something random in them.
pub const SEED: Arg =
    Arg::flag("seed", "N", Kind::Int { min: 0, max: i64::MAX }, "Seed of everything random in it.")
        .default("0");

/// `--speed X`, for magics that say something.
pub const SPEED: Kind = Kind::Number { min: *spinbot::SPEEDS.start(), max: *spinbot::SPEEDS.end() };

/// What the lines below `%%name` are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyKind {
    /// There is no `%%` form.
    None,
    /// The arguments as TOML; dashes and underscores are the same.
    Toml,
    /// The text of this argument, as it stands.
    Text(&'static str),
    /// As `Text`, and there is no `%` form.
    TextOnly(&'static str),
    /// Rust, as it stands, for this argument; the line form takes the rest of its line for it.
    Rust(&'static str),
}

/// Something to type, and what it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Example {
    /// The whole cell.
    pub cell: &'static str,
    /// What it does, as a sentence.
    pub about: &'static str,
}

//! The one error of this crate. Each variant reads as one sentence; [`MediaError::help`] gives the way out.

/// Result with a [`MediaError`].
pub type Result<T, E = MediaError> = std::result::Result<T, E>;

/// What can go wrong with a sound, a picture or a video.
#[derive(Debug, thiserror::Error)]
pub enum MediaError {
    /// The file is not there.
    #[error("{label}: there is no such file")]
    Missing {
        /// What the user called the file.
        label: String,
    },
    /// The operating system would not let it be read.
    #[error("{label}: could not be read ({source})")]
    Unreadable {
        /// What the user called the file.
        label: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file has no bytes.
    #[error("{label}: the file is empty")]
    Empty {
        /// What the user called the file.
        label: String,
    },
    /// The bytes are something else than what is wanted here, whatever the name says.
    #[error("{label}: holds {got}, not {expected}")]
    WrongKind {
        /// What the user called the file.
        label: String,
        /// What its first bytes say it is (`text`, `a GIF picture`).
        got: String,
        /// What is wanted (`a picture`, `sound`).
        expected: &'static str,
        /// The way out, which depends on what was got.
        help: String,
    },
    /// It is larger, longer, wider, ... than allowed.
    #[error("{label}: {what} is {got}, more than the {limit} allowed")]
    TooMuch {
        /// What the user called the file.
        label: String,
        /// What was measured.
        what: &'static str,
        /// How much there is, with its unit.
        got: String,
        /// How much is allowed, with its unit.
        limit: String,
    },
    /// It is smaller, shorter, ... than needed.
    #[error("{label}: {what} is {got}, less than the {limit} needed")]
    TooLittle {
        /// What the user called the file.
        label: String,
        /// What was measured.
        what: &'static str,
        /// How much there is, with its unit.
        got: String,
        /// How much is needed, with its unit.
        limit: String,
    },
    /// The bytes are of the right kind and broken.
    #[error("{label}: {doing} failed: {detail}")]
    Broken {
        /// What the user called the file.
        label: String,
        /// What was being done (`reading the PNG header`).
        doing: &'static str,
        /// What the decoder said.
        detail: String,
    },
    /// Something could not be written.
    #[error("{doing} failed: {detail}")]
    Encode {
        /// What was being done (`encoding frame 12`).
        doing: String,
        /// What the encoder said.
        detail: String,
    },
    /// Our own caller handed over something that does not fit.
    #[error("{doing}: got {got}, expected {expected}")]
    Shape {
        /// What was being done.
        doing: &'static str,
        /// What was handed over.
        got: String,
        /// What fits.
        expected: String,
    },
}

impl MediaError {
    /// The way out as a sentence, where there is one to give.
    pub fn help(&self) -> Option<String> {
        let text = match self {
            MediaError::Missing { .. } => {
                "check the name and the folder; the path is taken from the notebook's folder"
            }
            MediaError::Unreadable { .. } => {
                "check that it is a file, not a folder, and that you may read it"
            }
            MediaError::Empty { .. } => "copy or download it again",
            MediaError::WrongKind { help, .. } => help,
            MediaError::TooMuch { what, .. } => match *what {
                "the duration" => "cut out the part that is needed",
                "the file" => "cut or compress it first",
                _ => "make it smaller first",
            },
            MediaError::TooLittle { what, .. } => match *what {
                "the duration" => "give a longer recording",
                "the sampling rate" => "record or export it at 16000 Hz or more",
                _ => "give a larger one; enlarging this one adds nothing",
            },
            MediaError::Broken { .. } => {
                "the file is damaged or unusual: open it in another program and export it again"
            }
            MediaError::Encode { .. } | MediaError::Shape { .. } => return None,
        };
        Some(text.to_owned())
    }

    pub(crate) fn broken(label: &str, doing: &'static str, detail: impl std::fmt::Display) -> Self {
        MediaError::Broken { label: label.to_owned(), doing, detail: one_line(detail) }
    }

    pub(crate) fn encode(doing: impl Into<String>, detail: impl std::fmt::Display) -> Self {
        MediaError::Encode { doing: doing.into(), detail: one_line(detail) }
    }

    pub(crate) fn shape(doing: &'static str, got: impl Into<String>, expected: impl Into<String>) -> Self {
        MediaError::Shape { doing, got: got.into(), expected: expected.into() }
    }
}

/// What a decoder said, without its line breaks.
fn one_line(detail: impl std::fmt::Display) -> String {
    detail.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}

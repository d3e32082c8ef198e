//! What can be shown: values that turn into a MIME bundle, the form in which Jupyter takes rich output.
//!
//! Everything here is data. Sending it is [`crate::display`]'s work; how a job looks is [`crate::follow`]'s in a Rust
//! cell and `spinbot-magics`' under a magic.

use crate::{Fault, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// Representations of one thing by MIME type; the notebook shows the richest it knows.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Bundle {
    /// MIME type to content: text as a string, binary as base64, JSON kinds as a value.
    pub data: BTreeMap<String, Value>,
    /// Display metadata by MIME type, e.g. `{"image/png": {"width": 320}}`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
}

impl Bundle {
    /// A bundle with its plain text, which every bundle should have: it is what terminals and diffs show.
    pub fn text(text: impl Into<String>) -> Self {
        Bundle::default().with("text/plain", text.into())
    }

    /// Adds one representation.
    #[must_use]
    pub fn with(mut self, mime: &str, content: impl Into<Value>) -> Self {
        self.data.insert(mime.to_owned(), content.into());
        self
    }

    /// Adds a binary representation.
    #[must_use]
    pub fn with_bytes(self, mime: &str, bytes: &[u8]) -> Self {
        self.with(mime, BASE64.encode(bytes))
    }

    /// Adds display metadata for one MIME type.
    #[must_use]
    pub fn with_metadata(mut self, mime: &str, metadata: Value) -> Self {
        self.metadata.insert(mime.to_owned(), metadata);
        self
    }
}

/// A value with a rich representation.
pub trait Show {
    /// How it looks.
    fn bundle(&self) -> Bundle;
}

impl Show for Bundle {
    fn bundle(&self) -> Bundle {
        self.clone()
    }
}

macro_rules! shown_as_text {
    ($($(#[$doc:meta])* $name:ident => $mime:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name(pub String);

        impl Show for $name {
            fn bundle(&self) -> Bundle {
                Bundle::text(self.0.clone()).with($mime, self.0.clone())
            }
        }
    )*};
}

shown_as_text! {
    /// Plain text, shown as it is.
    Text => "text/plain";
    /// HTML. JupyterLab strips scripts from it in an untrusted notebook.
    Html => "text/html";
    /// Markdown.
    Markdown => "text/markdown";
    /// LaTeX, with its dollar signs.
    Latex => "text/latex";
    /// SVG markup. JupyterLab shows it in trusted notebooks only.
    Svg => "image/svg+xml";
}

macro_rules! shown_as_bytes {
    ($($(#[$doc:meta])* $name:ident => $mime:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name(pub Vec<u8>);

        impl $name {
            /// Reads the file as it is.
            ///
            /// # Errors
            /// When it cannot be read.
            pub fn file(path: impl AsRef<Path>) -> Result<Self> {
                read(path.as_ref()).map($name)
            }
        }

        impl Show for $name {
            fn bundle(&self) -> Bundle {
                Bundle::text(format!("{} ({})", stringify!($name), size(self.0.len()))).with_bytes($mime, &self.0)
            }
        }
    )*};
}

shown_as_bytes! {
    /// A PNG file's bytes.
    Png => "image/png";
    /// A JPEG file's bytes.
    Jpeg => "image/jpeg";
}

/// A JSON value, shown as a foldable tree.
#[derive(Debug, Clone, PartialEq)]
pub struct Json(pub Value);

impl Show for Json {
    fn bundle(&self) -> Bundle {
        Bundle::text(format!("{:#}", self.0)).with("application/json", self.0.clone())
    }
}

/// A Vega-Lite 5 specification, drawn by JupyterLab.
#[derive(Debug, Clone, PartialEq)]
pub struct Vega(pub Value);

impl Show for Vega {
    fn bundle(&self) -> Bundle {
        Bundle::text("Vega-Lite chart").with("application/vnd.vegalite.v5+json", self.0.clone())
    }
}

/// A picture file of any kind a browser shows; the kind is read from its first bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    bytes: Vec<u8>,
    mime: &'static str,
}

impl Image {
    /// From a file's bytes: PNG, JPEG, GIF or WebP.
    ///
    /// # Errors
    /// When it is none of these.
    pub fn bytes(bytes: Vec<u8>) -> Result<Self> {
        let mime = match bytes.as_slice() {
            [0x89, b'P', b'N', b'G', ..] => "image/png",
            [0xFF, 0xD8, 0xFF, ..] => "image/jpeg",
            [b'G', b'I', b'F', b'8', ..] => "image/gif",
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => "image/webp",
            _ => return Err(Fault::new("not a PNG, JPEG, GIF or WebP picture")),
        };
        Ok(Image { bytes, mime })
    }

    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read or is no picture.
    pub fn file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Image::bytes(read(path)?).map_err(|e| Fault::new(format!("{}: {}", path.display(), e.message)))
    }
}

impl Show for Image {
    fn bundle(&self) -> Bundle {
        Bundle::text(format!("Image ({})", size(self.bytes.len()))).with_bytes(self.mime, &self.bytes)
    }
}

/// A sound file's bytes with a player.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audio {
    bytes: Vec<u8>,
    mime: &'static str,
}

impl Audio {
    /// From a file's bytes: WAV, FLAC, MP3, Ogg or MP4.
    ///
    /// # Errors
    /// When it is none of these.
    pub fn bytes(bytes: Vec<u8>) -> Result<Self> {
        let mime = match bytes.as_slice() {
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'A', b'V', b'E', ..] => "audio/wav",
            [b'f', b'L', b'a', b'C', ..] => "audio/flac",
            [b'I', b'D', b'3', ..] | [0xFF, 0xE0..=0xFF, ..] => "audio/mpeg",
            [b'O', b'g', b'g', b'S', ..] => "audio/ogg",
            [_, _, _, _, b'f', b't', b'y', b'p', ..] => "audio/mp4",
            _ => return Err(Fault::new("not a WAV, FLAC, MP3, Ogg or MP4 sound")),
        };
        Ok(Audio { bytes, mime })
    }

    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read or is no sound.
    pub fn file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Audio::bytes(read(path)?).map_err(|e| Fault::new(format!("{}: {}", path.display(), e.message)))
    }

    /// From mono samples in -1..=1 at `rate` Hz, as 16-bit WAV.
    pub fn samples(samples: &[f32], rate: u32) -> Self {
        let data = (samples.len() * 2) as u32;
        let mut bytes = Vec::with_capacity(44 + samples.len() * 2);
        bytes.extend(b"RIFF");
        bytes.extend((36 + data).to_le_bytes());
        bytes.extend(b"WAVEfmt ");
        bytes.extend(16u32.to_le_bytes());
        // PCM, one channel, rate, bytes a second, bytes a frame, bits a sample.
        bytes.extend([1u16, 1].map(u16::to_le_bytes).concat());
        bytes.extend([rate, rate * 2].map(u32::to_le_bytes).concat());
        bytes.extend([2u16, 16].map(u16::to_le_bytes).concat());
        bytes.extend(b"data");
        bytes.extend(data.to_le_bytes());
        bytes.extend(
            samples.iter().flat_map(|s| ((s.clamp(-1.0, 1.0) * 32767.0).round() as i16).to_le_bytes()),
        );
        Audio { bytes, mime: "audio/wav" }
    }
}

impl Show for Audio {
    fn bundle(&self) -> Bundle {
        // `src` on the element itself: JupyterLab's sanitiser strips `<source>` in untrusted notebooks.
        let player = format!(
            "<audio controls src=\"data:{};base64,{}\"></audio>",
            self.mime,
            BASE64.encode(&self.bytes)
        );
        Bundle::text(format!("Audio ({})", size(self.bytes.len()))).with("text/html", player)
    }
}

/// An MP4 file's bytes with a player.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Video {
    bytes: Vec<u8>,
    poster: Option<Vec<u8>>,
    width: Option<u32>,
}

impl Video {
    /// From an MP4 file's bytes.
    ///
    /// # Errors
    /// When it is no MP4.
    pub fn bytes(bytes: Vec<u8>) -> Result<Self> {
        match bytes.as_slice() {
            [_, _, _, _, b'f', b't', b'y', b'p', ..] => Ok(Video { bytes, poster: None, width: None }),
            _ => Err(Fault::new("not an MP4 video")),
        }
    }

    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read or is no MP4.
    pub fn file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Video::bytes(read(path)?).map_err(|e| Fault::new(format!("{}: {}", path.display(), e.message)))
    }

    /// Adds the JPEG that is shown before it plays, and where nothing plays.
    #[must_use]
    pub fn poster(mut self, jpeg: Vec<u8>) -> Self {
        self.poster = Some(jpeg);
        self
    }

    /// Sets the width shown, in CSS pixels.
    #[must_use]
    pub fn width(mut self, pixels: u32) -> Self {
        self.width = Some(pixels);
        self
    }
}

impl Show for Video {
    fn bundle(&self) -> Bundle {
        let poster = self.poster.as_ref().map_or(String::new(), |jpeg| {
            format!(" poster=\"data:image/jpeg;base64,{}\"", BASE64.encode(jpeg))
        });
        let width = self.width.map_or(String::new(), |w| format!(" width=\"{w}\""));
        let player = format!(
            "<video controls{width}{poster} src=\"data:video/mp4;base64,{}\"></video>",
            BASE64.encode(&self.bytes)
        );
        let bundle = Bundle::text(format!("Video ({})", size(self.bytes.len()))).with("text/html", player);
        match &self.poster {
            Some(jpeg) => bundle.with_bytes("image/jpeg", jpeg),
            None => bundle,
        }
    }
}

/// Rows under named columns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with its columns.
    pub fn new<S: Into<String>>(columns: impl IntoIterator<Item = S>) -> Self {
        Table { columns: columns.into_iter().map(Into::into).collect(), rows: Vec::new() }
    }

    /// Adds a row; missing cells stay empty.
    #[must_use]
    pub fn row<S: ToString>(mut self, cells: impl IntoIterator<Item = S>) -> Self {
        self.rows.push(cells.into_iter().map(|c| c.to_string()).collect());
        self
    }
}

impl Show for Table {
    fn bundle(&self) -> Bundle {
        let line = |tag: &str, cells: &[String]| {
            // JupyterLab sets everything to the right; only numbers read well there.
            let cell = |c: &String| match c.trim().parse::<f64>() {
                Ok(_) => format!("<{tag}>{}</{tag}>", escape(c)),
                Err(_) => format!("<{tag} style=\"text-align:left\">{}</{tag}>", escape(c)),
            };
            let cells: String = cells.iter().map(cell).collect();
            format!("<tr>{cells}</tr>")
        };
        let rows: String = self.rows.iter().map(|row| line("td", row)).collect();
        let html =
            format!("<table><thead>{}</thead><tbody>{rows}</tbody></table>", line("th", &self.columns));

        let all = std::iter::once(&self.columns).chain(&self.rows);
        let mut widths: Vec<usize> = Vec::new();
        for (i, cell) in all.clone().flat_map(|row| row.iter().enumerate()) {
            widths.resize(widths.len().max(i + 1), 0);
            widths[i] = widths[i].max(cell.chars().count());
        }
        let text = all
            .map(|row| {
                let cells: Vec<String> = row.iter().zip(&widths).map(|(c, w)| format!("{c:<w$}")).collect();
                cells.join("  ").trim_end().to_owned()
            })
            .collect::<Vec<_>>()
            .join("\n");
        Bundle::text(text).with("text/html", html)
    }
}

impl Show for crate::Take {
    fn bundle(&self) -> Bundle {
        let described = format!("Take of job {}: {}", self.job(), self.path().display());
        let Ok(video) = Video::file(self.path()) else {
            return Bundle::text(format!("{described} (the file is gone)"));
        };
        let poster = self.poster().and_then(|p| std::fs::read(&p.path).ok());
        let video = match poster {
            Some(jpeg) => video.poster(jpeg),
            None => video,
        };
        video.bundle().with("text/plain", described)
    }
}

impl Show for crate::Plan {
    fn bundle(&self) -> Bundle {
        self.steps
            .iter()
            .fold(Table::new(["step", "parameters", "from"]), |table, step| {
                let from: Vec<String> = step
                    .inputs
                    .iter()
                    .map(|(name, input)| match input {
                        crate::Input::File(path) => format!("{name} = {}", path.display()),
                        crate::Input::Artifact(digest) => format!("{name} = {}", digest.short()),
                        crate::Input::Output { step, output } => format!("{name} = {step}.{output}"),
                        crate::Input::Model { id, .. } => format!("{name} = the model {id}"),
                        crate::Input::Provenance => format!("{name} = the steps it comes from"),
                    })
                    .collect();
                table.row([step.id.clone(), json!(step.params).to_string(), from.join(", ")])
            })
            .bundle()
    }
}

/// Makes text safe between tags and inside quoted attributes.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|e| Fault::new(format!("{}: {e}", path.display())))
}

fn size(bytes: usize) -> String {
    match bytes {
        0..=1023 => format!("{bytes} B"),
        1024..=1_048_575 => format!("{:.1} KB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MB", bytes as f64 / 1_048_576.0),
    }
}

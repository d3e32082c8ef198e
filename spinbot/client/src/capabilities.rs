//! What can be made, and what each choice needs: the capability manifest, as `%capabilities` and `spinbot capabilities`
//! show it.
//!
//! Nothing is declared here: the choices are those of the types that builders and magics take, the models are told by an
//! [`Inventory`], which only the program has.

mod gather;

use crate::bundle::{Bundle, Show, Table};
use crate::{Fault, Result, home};
pub use gather::Inventory;
use serde::{Deserialize, Serialize};
use std::ffi::OsStr;
use std::process::Command;

/// MIME type of the manifest as JSON. Of its own: where JupyterLab sees `application/json` it shows no table.
pub const MIME: &str = "application/vnd.spinbot.capabilities+json";

/// The capability manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Capabilities {
    /// Program and version.
    pub software: String,
    /// What can be chosen.
    pub groups: Vec<Group>,
}

/// One thing to choose.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// What it is: `variant`, `preset`.
    pub name: String,
    /// How it is chosen: `%render --preset NAME`.
    pub chosen_by: String,
    /// What it is when nothing is said.
    pub default: String,
    /// What it can be.
    pub choices: Vec<Choice>,
}

/// One of the things it can be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// As it is typed.
    pub name: String,
    /// What it is.
    pub about: String,
    /// The models it cannot do without.
    pub needs: Vec<Need>,
    /// On what conditions what it makes may be used, where there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
}

/// A model that something needs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Need {
    /// Its id in `spinbot models list`.
    pub id: String,
    /// Its name for people.
    pub title: String,
    /// Size of its weights in bytes; nothing where that is not known.
    pub bytes: Option<u64>,
    /// Licence of its weights, where that is known.
    pub licence: Option<String>,
    /// Whether it is on this machine; nothing where that is seen only when it is used.
    pub present: Option<bool>,
    /// How to get it, where it is not here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub how: Option<String>,
}

/// What can be made here, and what each choice needs, as the program (`$SPINBOT_BIN`, else `spinbot` on the path) tells it.
///
/// # Errors
/// The program cannot be run.
pub fn capabilities() -> Result<Capabilities> {
    Capabilities::ask(&home::program())
}

impl Capabilities {
    /// The manifest of that program.
    ///
    /// # Errors
    /// It cannot be run, or tells none.
    pub fn ask(program: &OsStr) -> Result<Self> {
        let failed = |why: String| {
            Fault::new(format!("{} tells no capabilities: {why}", program.to_string_lossy()))
                .help("put `spinbot` on the PATH or set SPINBOT_BIN to it")
        };
        let told = Command::new(program).args(["capabilities", "--json"]).output();
        let told = told.map_err(|e| failed(e.to_string()))?;
        if !told.status.success() {
            return Err(failed(String::from_utf8_lossy(&told.stderr).trim().to_owned()));
        }
        serde_json::from_slice(&told.stdout).map_err(|e| failed(e.to_string()))
    }

    /// The group of that name.
    pub fn group(&self, name: &str) -> Option<&Group> {
        self.groups.iter().find(|group| group.name == name)
    }
}

impl Choice {
    /// Whether all that it needs is on this machine; nothing where that is seen only when it is used.
    pub fn ready(&self) -> Option<bool> {
        let mut all = self.needs.iter().map(|need| need.present);
        all.try_fold(true, |ready, present| Some(ready && present?))
    }
}

impl Need {
    fn line(&self) -> String {
        let size = self.bytes.map_or(String::new(), |bytes| format!(", {:.1} MB", bytes as f64 / 1e6));
        let licence = self.licence.as_ref().map_or(String::new(), |licence| format!(", {licence}"));
        let missing = if self.present == Some(false) { ", not here" } else { "" };
        let name = if self.present.is_some() { &self.id } else { &self.title };
        format!("{name}{size}{licence}{missing}")
    }
}

impl Show for Capabilities {
    fn bundle(&self) -> Bundle {
        let mut table = Table::new(["what", "choice", "what it is", "needs"]);
        let mut notes: Vec<String> = Vec::new();
        for group in &self.groups {
            for (n, choice) in group.choices.iter().enumerate() {
                let what = if n == 0 { group.chosen_by.as_str() } else { "" };
                let default = if choice.name == group.default { " (default)" } else { "" };
                let needs: Vec<String> = choice.needs.iter().map(Need::line).collect();
                table = table.row([
                    what.to_owned(),
                    format!("{}{default}", choice.name),
                    choice.about.clone(),
                    needs.join("; "),
                ]);
                let missing = choice.needs.iter().filter(|need| need.present == Some(false));
                let how = missing.filter_map(|need| Some(format!("{}: {}", need.title, need.how.as_ref()?)));
                notes.extend(how.chain(choice.licence.as_ref().map(|l| format!("{}: {l}", choice.name))));
            }
        }
        let mut told = Vec::new();
        notes.retain(|note| {
            let new = !told.contains(note);
            told.push(note.clone());
            new
        });
        let mut bundle = table.bundle();
        let notes_html: String = notes.iter().map(|note| format!("<div>{}</div>", escape(note))).collect();
        for (mime, more) in [("text/plain", format!("\n\n{}", notes.join("\n"))), ("text/html", notes_html)] {
            if let Some(serde_json::Value::String(text)) = bundle.data.get_mut(mime) {
                text.push_str(if notes.is_empty() { "" } else { &more });
            }
        }
        match serde_json::to_value(self) {
            Ok(json) => bundle.with(MIME, json),
            Err(_) => bundle,
        }
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

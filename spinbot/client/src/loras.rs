//! LoRAs by name: files that teach a model to draw someone, `loras/NAME.safetensors` in the data folder.
//!
//! Here they are found, described by what they say of themselves, and carried about. Their tensors are
//! `spinbot-models`' business, and so is turning one format into another, which is a step.

use crate::bundle::{Bundle, Show, Table};
use crate::container::{Container, Noun};
use crate::event::ArtifactRef;
use crate::suggest::nearest;
use crate::{Fault, Result, home};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Its files. The header of a large one holds thousands of names and the tags of its pictures.
const LORA: Noun = Noun {
    name: "LoRA",
    origin: "`%train_lora` made, or a trainer for diffusers, ComfyUI or A1111",
    largest_header: 16 << 20,
    largest_file: 2 << 30,
};
/// Endings of pickles.
const PICKLES: [&str; 5] = ["ckpt", "pt", "pth", "bin", "pkl"];
/// Largest thumbnail shown, in bytes.
const LARGEST_THUMBNAIL: usize = 200_000;

/// Whose names the tensors of a LoRA have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoraFormat {
    /// diffusers' and peft's dotted ones.
    Diffusers,
    /// kohya's flattened ones, for ComfyUI and A1111 too.
    Kohya,
}

impl LoraFormat {
    /// By name.
    pub const NAMES: &'static [&'static str] = &["diffusers", "kohya"];

    /// `diffusers`, `kohya`.
    pub fn name(self) -> &'static str {
        match self {
            LoraFormat::Diffusers => "diffusers",
            LoraFormat::Kohya => "kohya",
        }
    }
}

impl std::str::FromStr for LoraFormat {
    type Err = Fault;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "diffusers" => Ok(LoraFormat::Diffusers),
            "kohya" => Ok(LoraFormat::Kohya),
            other => {
                Err(Fault::not_among(format!("`{other}` is no format of LoRAs"), LoraFormat::NAMES, "export"))
            }
        }
    }
}

/// A LoRA's file.
#[derive(Debug, Clone, PartialEq)]
pub struct Lora {
    name: String,
    path: PathBuf,
    format: LoraFormat,
    metadata: BTreeMap<String, String>,
}

impl Lora {
    /// The user's LoRA of that name, or the one in that file.
    ///
    /// # Errors
    /// As [`Loras::find`].
    pub fn load(name_or_path: &str) -> Result<Self> {
        Loras::standard().find(name_or_path)
    }

    fn open(path: &Path, name: &str) -> Result<Self> {
        let extension = path.extension().and_then(|extension| extension.to_str()).map(str::to_lowercase);
        if extension.is_some_and(|extension| PICKLES.contains(&extension.as_str())) {
            return Err(Fault::new(format!(
                "{}: pickled weights can run code when they are read, so they are not read",
                path.display()
            ))
            .help(
                "convert it where you trust it: python3 -c \"import torch, safetensors.torch as s; \
                 s.save_file(torch.load('IN', weights_only=True), 'OUT.safetensors')\"",
            ));
        }
        let container = Container::open(path, &LORA)?;
        if !container.names().any(|name| name.contains("lora")) {
            return Err(Fault::new(format!(
                "{}: this is not a LoRA: no tensor in it is named like one's",
                path.display()
            ))
            .help("a whole model is made known with `spinbot models add FILE`, and drawn with by `--base`"));
        }
        let format = match container.names().any(|name| name.starts_with("lora_")) {
            true => LoraFormat::Kohya,
            false => LoraFormat::Diffusers,
        };
        Ok(Lora { name: name.to_owned(), path: path.to_owned(), format, metadata: container.metadata })
    }

    /// What it is called; of a file elsewhere its name without extension.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where its file lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whose names its tensors have.
    pub fn format(&self) -> LoraFormat {
        self.format
    }

    /// What it says of itself, as it stands: kohya's `ss_*` keys and those of `modelspec`.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// The words that call it up.
    pub fn trigger(&self) -> Option<&str> {
        self.said("modelspec.trigger_phrase")
    }

    /// Its rank.
    pub fn rank(&self) -> Option<usize> {
        self.said("ss_network_dim")?.parse().ok()
    }

    /// The model it was made for.
    pub fn base(&self) -> Option<&str> {
        self.said("ss_sd_model_name").or_else(|| self.said("ss_base_model_version"))
    }

    /// Steps it was trained for.
    pub fn steps(&self) -> Option<u64> {
        self.said("ss_steps")?.parse().ok()
    }

    /// A small picture of what it draws, `modelspec.thumbnail`: an image file's bytes.
    pub fn thumbnail(&self) -> Option<Vec<u8>> {
        let (_, base64) = self.said("modelspec.thumbnail")?.split_once(";base64,")?;
        BASE64.decode(base64).ok().filter(|bytes| bytes.len() <= LARGEST_THUMBNAIL)
    }

    fn said(&self, key: &str) -> Option<&str> {
        self.metadata.get(key).map(|text| text.trim()).filter(|text| !text.is_empty())
    }

    /// In a line: `say "nova"; rank 8, 300 steps on portraits`.
    pub fn summary(&self) -> String {
        let trigger = self.trigger().map(|trigger| format!("say \"{trigger}\""));
        let facts = [
            self.rank().map(|rank| format!("rank {rank}")),
            self.steps().map(|steps| format!("{steps} steps")),
            self.base().map(|base| format!("for {base}")),
        ];
        let facts: Vec<String> = facts.into_iter().flatten().collect();
        let facts = (!facts.is_empty()).then(|| facts.join(", "));
        let said: Vec<String> = trigger.into_iter().chain(facts).collect();
        if said.is_empty() { "says nothing of itself".to_owned() } else { said.join("; ") }
    }

    /// Writes it to a file of the user's as it is.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn export(&self, path: impl AsRef<Path>) -> Result<()> {
        copy_whole(&self.path, path.as_ref())
    }

    /// Where the numbers lie that tell whether a picture is of the same, [`Identity`](crate::scores::Identity), of one that
    /// was trained here.
    pub fn identity(&self) -> Option<PathBuf> {
        Some(identity_beside(&self.path)).filter(|path| path.is_file())
    }

    /// Deletes its file, and what is kept beside it.
    ///
    /// # Errors
    /// When that is not possible.
    pub fn remove(self) -> Result<()> {
        remove(&identity_beside(&self.path))?;
        remove(&self.path)
    }
}

impl Show for Lora {
    fn bundle(&self) -> Bundle {
        Bundle::text(format!("{}: {}", self.name, self.summary()))
    }
}

/// Every LoRA of a folder.
#[derive(Debug, Clone, Default)]
pub struct LoraList {
    /// Those that can be used, sorted by name.
    pub loras: Vec<Lora>,
    /// Files that cannot be used, and why.
    pub damaged: Vec<Fault>,
}

impl Show for LoraList {
    fn bundle(&self) -> Bundle {
        let table = self.loras.iter().fold(Table::new(["LoRA", "what it is"]), |table, lora| {
            table.row([lora.name().to_owned(), lora.summary()])
        });
        self.damaged.iter().fold(table, |table, fault| table.row(["", fault.message.as_str()])).bundle()
    }
}

/// The user's LoRAs.
///
/// # Errors
/// When their folder cannot be read.
pub fn loras() -> Result<LoraList> {
    Loras::standard().list()
}

/// A folder of LoRAs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loras {
    folder: PathBuf,
}

impl Default for Loras {
    fn default() -> Self {
        Self::standard()
    }
}

impl Loras {
    /// The user's own: `loras` in the data folder.
    pub fn standard() -> Self {
        Loras::at(home::data_dir().join("loras"))
    }

    /// Those in another folder.
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Loras { folder: folder.into() }
    }

    /// Where the LoRA of that name lies, were there one; nothing for what cannot be a name.
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        LORA.check_name(name).is_ok().then(|| self.folder.join(format!("{name}.safetensors")))
    }

    /// The names of all of them, sorted.
    ///
    /// # Errors
    /// When the folder is there and cannot be read.
    pub fn names(&self) -> Result<Vec<String>> {
        let unreadable =
            |e: std::io::Error| Fault::new(format!("{}: cannot be read: {e}", self.folder.display()));
        let entries = match fs::read_dir(&self.folder) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(unreadable)?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let file = entry.map_err(unreadable)?.file_name();
            let name = file.to_str().and_then(|file| file.strip_suffix(".safetensors"));
            names.extend(name.filter(|name| LORA.check_name(name).is_ok()).map(str::to_owned));
        }
        names.sort_unstable();
        Ok(names)
    }

    /// All of them.
    ///
    /// # Errors
    /// When the folder is there and cannot be read.
    pub fn list(&self) -> Result<LoraList> {
        let mut list = LoraList::default();
        for name in self.names()? {
            match self.find(&name) {
                Ok(lora) => list.loras.push(lora),
                Err(fault) => list.damaged.push(fault),
            }
        }
        Ok(list)
    }

    /// The LoRA of that name, or the one in that file.
    ///
    /// # Errors
    /// There is none, with the nearest name, or the file is no LoRA that is read here.
    pub fn find(&self, name_or_path: &str) -> Result<Lora> {
        if let Some(path) = self.path(name_or_path).filter(|path| path.is_file()) {
            return Lora::open(&path, name_or_path).map_err(|fault| fault.about("lora"));
        }
        let path = Path::new(name_or_path);
        if path.is_file() {
            let name = path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
            return Lora::open(path, &name).map_err(|fault| fault.about("lora"));
        }
        let names = self.names()?;
        let help = match (nearest(name_or_path, names.iter().map(String::as_str)), names.is_empty()) {
            (Some(near), _) => format!("did you mean `{near}`? `%loras` lists them"),
            (None, true) => {
                "make one with `%train_lora`, or take one in with `%loras NAME --import FILE`".into()
            }
            (None, false) => format!("there are {}; a file is named with its path", names.join(", ")),
        };
        Err(Fault::new(format!("there is no LoRA `{name_or_path}`")).help(help).about("lora"))
    }

    /// Keeps the LoRA that a job made, and of whom it is, in place of an older one of that name.
    ///
    /// # Errors
    /// A name that cannot be, or an artifact is gone or no LoRA.
    pub fn save(&self, lora: &ArtifactRef, identity: &ArtifactRef, name: &str) -> Result<Lora> {
        let path = self.path_for(name)?;
        Lora::open(&lora.path, name)?;
        // The old one's numbers must not stand beside the new one, whatever happens between.
        remove(&identity_beside(&path))?;
        self.copy(&lora.path, &path)?;
        self.copy(&identity.path, &identity_beside(&path))?;
        Lora::open(&path, name)
    }

    /// Takes in a file of the user's, under its own name or another.
    ///
    /// # Errors
    /// The file is no LoRA, the name cannot be, or there is one of that name.
    pub fn import(&self, file: impl AsRef<Path>, name: Option<&str>) -> Result<Lora> {
        let file = file.as_ref();
        let stem = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let name = name.unwrap_or(stem);
        Lora::open(file, name).map_err(|fault| fault.about("import"))?;
        let path = self.path_for(name)?;
        if path.exists() {
            return Err(Fault::new(format!("there is a LoRA `{name}` already")).help(format!(
                "take it in under another name with `%loras NAME --import FILE`, or remove the old one with `%loras \
                 {name} --remove`"
            )));
        }
        remove(&identity_beside(&path))?;
        self.copy(file, &path)?;
        Lora::open(&path, name)
    }

    fn path_for(&self, name: &str) -> Result<PathBuf> {
        LORA.check_name(name)?;
        Ok(self.folder.join(format!("{name}.safetensors")))
    }

    fn copy(&self, from: &Path, to: &Path) -> Result<()> {
        let mut builder = DirBuilder::new();
        builder
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)
            .map_err(|e| Fault::new(format!("{}: cannot be made: {e}", self.folder.display())))?;
        copy_whole(from, to)
    }
}

/// The file of a LoRA's [`Identity`](crate::scores::Identity).
fn identity_beside(path: &Path) -> PathBuf {
    path.with_extension("identity.json")
}

/// Deletes a file, should it be there.
fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(Fault::new(format!("{}: cannot be removed: {e}", path.display())))
        }
        _ => Ok(()),
    }
}

/// Copies beside the place and renames: whoever reads sees the old file or the new one. Nobody else may read it.
///
/// # Errors
/// When it cannot be read or written.
pub fn copy_whole(from: &Path, to: &Path) -> Result<()> {
    let mut unfinished = to.as_os_str().to_owned();
    unfinished.push(format!(".{}.part", std::process::id()));
    let unfinished = PathBuf::from(unfinished);
    let copied = fs::copy(from, &unfinished)
        .and_then(|_| fs::set_permissions(&unfinished, Permissions::from_mode(0o600)))
        .and_then(|()| fs::File::open(&unfinished)?.sync_all())
        .and_then(|()| fs::rename(&unfinished, to));
    copied.map_err(|e| {
        // It may not even have come to be.
        let _ = fs::remove_file(&unfinished);
        Fault::new(format!("{}: cannot be written: {e}", to.display()))
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::Digest;
    use crate::container::tests::raw;

    /// A LoRA of one layer.
    pub(crate) fn file(path: &Path, names: [&str; 2], metadata: &str) {
        let [a, b] = names;
        let header = format!(
            "{{\"__metadata__\":{metadata},\"{a}\":{{\"dtype\":\"F16\",\"shape\":[1,2],\"data_offsets\":[0,4]}},\
             \"{b}\":{{\"dtype\":\"F16\",\"shape\":[2,1],\"data_offsets\":[4,8]}}}}"
        );
        fs::write(path, raw(&header, &[1; 8])).unwrap();
    }

    pub(crate) const KOHYA: [&str; 2] =
        ["lora_unet_mid_to_q.lora_down.weight", "lora_unet_mid_to_q.lora_up.weight"];

    #[test]
    fn a_lora_is_kept_found_and_carried_about() {
        let folder = crate::voices::test_folder();
        let loras = Loras::at(folder.join("loras"));
        assert!(loras.list().unwrap().loras.is_empty());
        let made = folder.join("made");
        let metadata = r#"{"ss_network_dim":"8","ss_steps":"300","ss_sd_model_name":"portraits",
            "modelspec.trigger_phrase":"nova","modelspec.thumbnail":"data:image/jpeg;base64,/9j/"}"#;
        file(&made, ["unet.mid.to_q.lora_A.weight", "unet.mid.to_q.lora_B.weight"], metadata);
        let artifact = ArtifactRef {
            digest: Digest("00".repeat(32)),
            media_type: "application/octet-stream".into(),
            size: 8,
            path: made,
        };
        let identity = ArtifactRef { path: folder.join("identity"), ..artifact.clone() };
        fs::write(&identity.path, "{}").unwrap();
        let nova = loras.save(&artifact, &identity, "nova").unwrap();
        assert_eq!(fs::read_to_string(nova.identity().unwrap()).unwrap(), "{}");
        assert_eq!((nova.name(), nova.format(), nova.rank()), ("nova", LoraFormat::Diffusers, Some(8)));
        assert_eq!(nova.summary(), "say \"nova\"; rank 8, 300 steps, for portraits");
        assert_eq!(nova.thumbnail().unwrap(), [0xFF, 0xD8, 0xFF]);
        assert_eq!(fs::metadata(nova.path()).unwrap().permissions().mode() & 0o777, 0o600);

        let foreign = folder.join("ink-style.safetensors");
        file(&foreign, KOHYA, "{}");
        assert_eq!(loras.import(&foreign, None).unwrap().format(), LoraFormat::Kohya);
        assert!(loras.import(&foreign, None).unwrap_err().message.contains("`ink-style` already"));
        assert_eq!(loras.import(&foreign, Some("ink")).unwrap().summary(), "says nothing of itself");
        assert_eq!(loras.names().unwrap(), ["ink", "ink-style", "nova"]);
        assert_eq!(loras.find(foreign.to_str().unwrap()).unwrap().path(), foreign);
        loras.find("ink").unwrap().remove().unwrap();
        // Another of the same name is somebody else.
        let numbers = nova.identity().unwrap();
        nova.remove().unwrap();
        assert!(!numbers.exists());
        fs::write(&numbers, "{}").unwrap();
        assert_eq!(loras.import(&foreign, Some("nova")).unwrap().identity(), None);
        fs::write(folder.join("loras/bad.safetensors"), "x").unwrap();
        let list = loras.list().unwrap();
        assert_eq!((list.loras.len(), list.damaged.len()), (2, 1));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn what_is_no_lora_is_refused_with_a_sentence() {
        let folder = crate::voices::test_folder();
        let loras = Loras::at(folder.join("loras"));
        let help = |name: &str| loras.find(name).unwrap_err().help.unwrap();
        assert!(help("nova").contains("%train_lora"));
        fs::create_dir_all(folder.join("loras")).unwrap();
        file(&folder.join("loras/nova.safetensors"), KOHYA, "{}");
        assert_eq!(help("nvoa"), "did you mean `nova`? `%loras` lists them");
        assert!(help("somebody").starts_with("there are nova;"));
        let pickle = folder.join("nova.ckpt");
        fs::write(&pickle, "x").unwrap();
        let fault = loras.find(pickle.to_str().unwrap()).unwrap_err();
        assert!(fault.message.contains("pickled") && fault.help.unwrap().contains("convert it"));
        let whole = folder.join("whole.safetensors");
        file(&whole, ["unet.mid.to_q.weight", "unet.mid.to_q.bias"], "{}");
        let fault = loras.import(&whole, Some("x")).unwrap_err();
        assert!(fault.message.contains("this is not a LoRA"), "{fault}");
        assert_eq!(fault.argument.as_deref(), Some("import"));
        assert_eq!(
            loras.import(&folder.join("loras/nova.safetensors"), Some("a b")).unwrap_err().argument.unwrap(),
            "as"
        );
        fs::remove_dir_all(folder).unwrap();
    }
}

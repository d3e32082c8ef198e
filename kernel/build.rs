//! Embeds the `spinbot` crate's sources, which every kernel compiles for its cells, and exports the functions that
//! cells find in the running executable.

use std::fmt::Write;
use std::path::Path;

fn main() {
    let client = Path::new("../spinbot/client/src");
    println!("cargo:rerun-if-changed={}", client.display());
    println!("cargo:rerun-if-changed=../Cargo.lock");
    let mut names = Vec::new();
    sources(client, "", &mut names);
    names.sort();
    let root = std::env::current_dir().expect("cargo sets the folder");
    let mut code = String::from(
        "/// The `spinbot` crate: files below its `src`, and their texts.\nconst CLIENT_SOURCES: &[(&str, &str)] = &[\n",
    );
    for name in &names {
        let path = root.join(client).join(name);
        println!("cargo:rerun-if-changed={}", path.display());
        let _ = writeln!(code, "    ({name:?}, include_str!({path:?})),");
    }
    let lock = root.join("../Cargo.lock");
    let _ =
        writeln!(code, "];\n/// SpinBot's own lock file.\nconst CARGO_LOCK: &str = include_str!({lock:?});");
    let out = std::env::var("OUT_DIR").expect("cargo sets it");
    std::fs::write(Path::new(&out).join("client_sources.rs"), code).expect("a writable OUT_DIR");

    // Kept by the linker and visible to the libraries of cells: see src/evaluator/intercept.rs.
    for symbol in ["write", "writev", "spinbot_cell_send"] {
        println!("cargo:rustc-link-arg-bins=-Wl,--export-dynamic-symbol={symbol}");
    }
}

/// The Rust files below `folder`, as paths with `/` from where the search began.
fn sources(folder: &Path, prefix: &str, names: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).expect("the client crate lies beside this one") {
        let entry = entry.expect("a readable folder");
        let name = entry.file_name().into_string().expect("UTF-8 file names");
        if entry.path().is_dir() {
            println!("cargo:rerun-if-changed={}", entry.path().display());
            sources(&entry.path(), &format!("{prefix}{name}/"), names);
        } else if name.ends_with(".rs") {
            names.push(format!("{prefix}{name}"));
        }
    }
}

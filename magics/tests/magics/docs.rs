//! The reference in docs/ is what the declarations say.

use std::path::Path;

#[test]
fn docs_magics_md_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/magics.md");
    let wanted = spinbot_magics::reference();
    if std::env::var_os("SPINBOT_BLESS").is_some() {
        std::fs::write(&path, &wanted).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == wanted,
        "docs/magics.md is out of date: run `SPINBOT_BLESS=1 cargo test --release -p spinbot-magics`"
    );
}

//! The reference page says what the program says.

use std::fs;
use std::path::Path;

#[test]
fn the_configuration_page_is_what_the_program_generates() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/CONFIGURATION.md");
    let generated = latchkey::cli::reference();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&page, &generated).unwrap();
    }
    let written = fs::read_to_string(&page).unwrap_or_default();
    assert!(
        written == generated,
        "docs/CONFIGURATION.md is not what the program says: run with UPDATE_DOCS=1"
    );
}

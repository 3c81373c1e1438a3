//! Repositories made of a few lines, and problems as lines of text.

use wharf::desired::memory_snapshot::{MemorySnapshot, MemorySnapshotBuilder};
use wharf::desired::{Cache, Ceiling, Desired, read};
use wharf::model::{Diagnostic, Item, ItemName};

/// A manifest of an appmode with more metadata and more fields.
pub fn manifest(appmode: &str, metadata: &str, fields: &str) -> String {
    format!(r#"{{"version": 1, "metadata": {{"appmode": "{appmode}"{metadata}}}{fields}}}"#)
}

/// A FastAPI item in a directory.
pub fn with_api(builder: MemorySnapshotBuilder, directory: &str) -> MemorySnapshotBuilder {
    let fields =
        r#", "python": {"version": "3.12.4", "package_manager": {"name": "pip", "package_file": "requirements.txt"}}"#;
    builder
        .file(format!("{directory}/manifest.json"), manifest("python-fastapi", r#", "entrypoint": "app""#, fields))
        .file(format!("{directory}/app.py"), format!("# {directory}\nfrom fastapi import FastAPI\napp = FastAPI()\n"))
        .file(format!("{directory}/requirements.txt"), "fastapi\n")
}

/// Reads without a memory of former readings, under a ceiling that allows what is usual.
pub fn fresh(builder: &MemorySnapshotBuilder) -> Desired {
    read(&builder.build(), &Ceiling::default(), &Cache::new()).expect("the repository can be read")
}

/// Reads a repository with these files.
pub fn files(files: &[(&str, &str)]) -> Desired {
    fresh(&files.iter().fold(MemorySnapshot::builder(), |builder, (path, text)| builder.file(path, text)))
}

/// The item of a name, which must be sound.
pub fn item<'a>(desired: &'a Desired, name: &str) -> &'a Item {
    let name: ItemName = name.parse().expect("a name");
    let problems = || lines(&desired.diagnostics.0).join("\n");
    desired.items.get(&name).unwrap_or_else(|| panic!("no item {name}:\n{}", problems()))
}

/// The names of the sound items.
pub fn names(desired: &Desired) -> Vec<&str> {
    desired.items.keys().map(ItemName::as_str).collect()
}

/// The names of the broken items.
pub fn broken(desired: &Desired) -> Vec<&str> {
    desired.broken_items.keys().map(ItemName::as_str).collect()
}

/// Problems as a person reads them.
pub fn lines(found: &[Diagnostic]) -> Vec<String> {
    found
        .iter()
        .map(|one| {
            let place = one.place.as_ref().map_or("the repository".to_owned(), ToString::to_string);
            let help = one.help.as_ref().map(|help| format!("\n  help: {help}")).unwrap_or_default();
            format!("{place}: {} {}{help}", one.code, one.message)
        })
        .collect()
}

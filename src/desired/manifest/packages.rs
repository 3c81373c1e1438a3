//! The packages a manifest names: the requirements file, and the R packages it lists itself. Reading the files: `package_files`.

use serde_json::{Map, Value, json};

use super::{Reader, shown};
use crate::desired::source_text::quoted;
use crate::model::{Code, PackageFile, PackageManager, canonical_json};

/// The file that lists Python packages is missing.
pub const NO_PACKAGE_FILE: Code = Code::new("E0308");
/// A package manager that is not known.
pub const PACKAGE_MANAGER: Code = Code::new("E0309");
/// A package manager that is read as another one.
pub const OTHER_MANAGER: Code = Code::new("W0306");

/// The file that lists Python packages: the one that is named, else requirements.txt if there is one.
pub fn package_file(reader: &mut Reader<'_>, management: Option<bool>) -> Option<PackageFile> {
    let keys: super::Keys<'_> = &["python", "package_manager"];
    if let Some(value) = reader.get(keys)
        && !value.is_object()
    {
        let message = format!("expected python.package_manager to be an object, found {}", shown(value));
        reader.error(super::KIND, keys, message, "write {\"name\": \"pip\", \"package_file\": \"requirements.txt\"}");
        return None;
    }
    let manager = manager(reader)?;
    let manager = match reader.boolean(&["python", "package_manager", "allow_uv"]) {
        Some(true) => Some(PackageManager::Uv),
        Some(false) => Some(PackageManager::Pip),
        None => manager,
    };
    let keys: super::Keys<'_> = &["python", "package_manager", "package_file"];
    let named = reader.get(keys).is_some();
    let path = if named { reader.path(keys)? } else { "requirements.txt".to_owned() };
    if reader.has(&path) {
        return Some(PackageFile { path, manager });
    }
    if named {
        let message = format!("expected the package file {} in the item, found none", quoted(&path));
        if management == Some(false) {
            reader.warning(
                super::NOT_TRACKED,
                keys,
                message,
                "nothing is installed for this item, so it goes on without",
            );
        } else {
            reader.error(NO_PACKAGE_FILE, keys, message, "commit it, for example from `python -m pip freeze`");
        }
    }
    None
}

/// Who installs. The outer `None`: nobody, or an error.
#[allow(clippy::option_option, reason = "nobody installs, somebody unnamed installs, or pip or uv does")]
fn manager(reader: &mut Reader<'_>) -> Option<Option<PackageManager>> {
    let keys: super::Keys<'_> = &["python", "package_manager", "name"];
    match reader.text(keys) {
        None | Some("pip") => Some(None),
        Some("uv") => Some(Some(PackageManager::Uv)),
        Some("none") => None,
        Some("conda") => {
            let message = "expected python.package_manager.name to be pip or uv, found \"conda\"".to_owned();
            reader.warning(OTHER_MANAGER, keys, message, "the package file is installed with pip");
            Some(None)
        }
        Some(other) => {
            let message =
                format!("expected python.package_manager.name to be pip, uv or none, found {}", quoted(other));
            reader.error(PACKAGE_MANAGER, keys, message, "write the manifest again with the tool that made it");
            None
        }
    }
}

/// The R packages of a manifest as canonical JSON in the form of renv.lock's `Packages`: what shapes a library, and
/// nothing that depends on the machine on which the manifest was written.
pub fn r_packages(manifest: &Value) -> String {
    let mut records = Map::new();
    for (name, package) in manifest.get("packages").and_then(Value::as_object).into_iter().flatten() {
        let mut record = Map::new();
        record.insert("Package".to_owned(), json!(name));
        for field in ["Source", "Repository"] {
            if let Some(text) = package.get(field).and_then(Value::as_str) {
                record.insert(field.to_owned(), json!(text));
            }
        }
        for (field, value) in package.get("description").and_then(Value::as_object).into_iter().flatten() {
            let wanted = field == "Version" || field.starts_with("Remote") || field.starts_with("Github");
            if wanted && value.is_string() {
                record.insert(field.clone(), value.clone());
            }
        }
        records.insert(name.clone(), Value::Object(record));
    }
    canonical_json(&records)
}

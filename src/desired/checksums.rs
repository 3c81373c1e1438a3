//! The MD5 sums of a manifest against the files: advice, and the only reading of every file. Used by `validate` alone.

use md5::{Digest as _, Md5};

use super::layout::MOST_FILE_BYTES;
use super::snapshot::Snapshot;
use super::source_text::quoted;
use crate::model::{Code, Diagnostic, Item};

/// Files that differ from what the manifest lists.
pub const DIFFERENT: Code = Code::new("N0302");

/// One note if files differ from the sums in the manifest. Files that cannot be read are told of elsewhere.
pub fn check_sums(snapshot: &dyn Snapshot, item: &Item) -> Option<Diagnostic> {
    let mut different = Vec::new();
    for (path, sum) in &item.manifest.listed_files {
        let Some(sum) = sum else { continue };
        let Ok(at) = item.files.binary_search_by(|file| file.path.as_ref().cmp(path)) else { continue };
        let Some(Ok(bytes)) = item.files.get(at).map(|file| snapshot.blob(file.blob, MOST_FILE_BYTES)) else {
            continue;
        };
        if !sum.trim().eq_ignore_ascii_case(&hexadecimal(&Md5::digest(&bytes))) {
            different.push(path.as_str());
        }
    }
    let first = different.first()?;
    let count = different.len();
    let message = match count {
        1 => format!("the file {} differs from its checksum in the manifest", quoted(first)),
        _ => format!("{count} files differ from their checksums in the manifest, the first is {}", quoted(first)),
    };
    let note = Diagnostic::note(DIFFERENT, item.manifest_place.clone(), message);
    Some(note.with_help("nothing depends on it; other line endings are the usual cause, or a manifest that is older"))
}

fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

//! Why a record changes, in words: the two forms compared field by field. For people only; nothing depends on the text.

use super::wanted::WantedItem;

/// Why an item's record changes with the commit.
pub(super) fn changed(old: &WantedItem, new: &WantedItem) -> String {
    let texts: Vec<String> = differences(old, new).into_iter().map(|(_, text)| text).collect();
    if texts.is_empty() { "it moved in the repository".to_owned() } else { texts.join(", ") }
}

/// Why an item's record is written although the commit did not change: somebody edited it.
pub(super) fn drift(stored: &WantedItem, wanted: &WantedItem) -> String {
    let fields: Vec<&str> = differences(stored, wanted).into_iter().map(|(field, _)| field).collect();
    let what = if fields.is_empty() { "the record".to_owned() } else { fields.join(", ") };
    format!("drift: {what} edited")
}

/// The fields that differ, and how in words.
fn differences(old: &WantedItem, new: &WantedItem) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    let mut differs = |differs: bool, field: &'static str, text: String| {
        if differs {
            found.push((field, text));
        }
    };
    differs(old.appmode != new.appmode, "appmode", format!("appmode {} -> {}", old.appmode, new.appmode));
    differs(old.bundle != new.bundle, "files", "files changed".to_owned());
    let (from, to) = (old.selected.as_ref(), new.selected.as_ref());
    if let (Some(from), Some(to)) = (from, to) {
        let moved = from.environment != to.environment;
        differs(moved, "environment", format!("environment {} -> {}", from.environment, to.environment));
        for (language, new) in &to.installations {
            let old = from.installations.get(language).map_or_else(String::new, |old| old.version.to_string());
            let text = format!("{language} {old} -> {}", new.version);
            differs(!moved && from.installations.get(language) != Some(new), "interpreter", text);
        }
    } else {
        differs(from.is_some() != to.is_some(), "environment", "environment".to_owned());
    }
    if let (Some(from), Some(to)) = (&old.content, &new.content) {
        let key = |content: &super::ContentSpec| content.packages.as_ref().map(|packages| packages.key.clone());
        differs(key(from) != key(to), "packages", "packages changed".to_owned());
        differs(from.environment.digest != to.environment.digest, "digest", "image moved digest".to_owned());
        differs(from.variables != to.variables, "env", "env changed".to_owned());
        differs(from.resources != to.resources, "resources", "resources changed".to_owned());
        differs(from.init_timeout != to.init_timeout, "init_timeout", "init_timeout changed".to_owned());
        differs(from.entrypoint != to.entrypoint, "entrypoint", "entrypoint changed".to_owned());
        differs(
            from.environment.supervisor != to.environment.supervisor,
            "supervisor",
            "supervisor changed".to_owned(),
        );
    }
    differs(
        old.processes != new.processes,
        "min_processes",
        format!("min_processes {} -> {}", old.processes, new.processes),
    );
    differs(old.timetable != new.timetable, "schedule", "schedule changed".to_owned());
    differs(old.suspend != new.suspend, "suspend", format!("suspend {}", new.suspend));
    differs(old.presentation != new.presentation, "title", "title, description, owner or tags changed".to_owned());
    differs(old.guid != new.guid || old.id != new.id, "identity", "identity changed".to_owned());
    if found.is_empty() && old != new {
        found.push(("settings", "settings changed".to_owned()));
    }
    found
}

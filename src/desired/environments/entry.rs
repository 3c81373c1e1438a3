//! One entry of an environment file: every field with its rule (formats.md, "Environment files"). Mounts: `mounts`.

use std::collections::{BTreeMap, HashSet};

use super::{BrokenEntry, Entry, codes, mounts};
use crate::desired::reading::{Reading, Unknown};
use crate::desired::source_text::quoted;
use crate::desired::tree::Node;
use crate::model::{
    Environment, Guid, ImageRef, Installation, Language, Matching, Redirect, RedirectLevel, Version, VersionError,
};

/// Our fields, and those that Connect's API answers with and that mean nothing here.
const FIELDS: [&str; 21] = [
    "name",
    "guid",
    "title",
    "description",
    "matching",
    "supervisor",
    "python",
    "r",
    "quarto",
    "nodejs",
    "tensorflow",
    "volume_mounts",
    "digest",
    "redirect",
    "id",
    "cluster_name",
    "environment_type",
    "managed_by",
    "created_time",
    "updated_time",
    "permissions",
];

const IMAGE_HELP: &str = "write the image as `docker pull` takes it: registry/path:tag, in lower case";

/// Reads one entry, with all its problems.
pub(super) fn read(reading: &mut Reading<'_>, node: &Node) -> Result<Entry, Box<BrokenEntry>> {
    let start = reading.mark();
    let mut name = None;
    let environment = fields(reading, node, &mut name);
    let span = node.get("name").map_or(node.span, |name| name.span);
    let place = reading.source().place(span);
    match (reading.first_error(start), environment) {
        (None, Some(environment)) => Ok(Entry { environment, place, excerpt: reading.source().excerpt(span) }),
        (Some(first), _) => Err(Box::new(BrokenEntry { name, place, first })),
        (None, None) => {
            // Every `None` below has an error recorded for it; this keeps the entry from vanishing if one day one has not.
            let first = reading.source().error(codes::MISSING, span, "this entry cannot be read");
            Err(Box::new(BrokenEntry { name, place, first }))
        }
    }
}

fn fields(reading: &mut Reading<'_>, node: &Node, name: &mut Option<ImageRef>) -> Option<Environment> {
    reading.map(node, "an environment", &FIELDS, Unknown::Ignored)?;
    *name = image_name(reading, node);
    let guid = filled(node, "guid").and_then(|node| guid(reading, node));
    let [title, description] = ["title", "description"].map(|key| {
        let node = filled(node, key)?;
        reading.text(node, &format!("`{key}`")).map(|text| text.trim().to_owned())
    });
    let matching = filled(node, "matching").and_then(|node| matching(reading, node)).unwrap_or_default();
    let supervisor = filled(node, "supervisor").and_then(|node| absolute_path(reading, node, "`supervisor`"));
    let installations = installations(reading, node);
    let volume_mounts = node.get("volume_mounts").map(|node| mounts::read(reading, node)).unwrap_or_default();
    let digest = filled(node, "digest").and_then(|node| digest(reading, node, name.as_ref()));
    let redirect = node.get("redirect").and_then(|node| redirect(reading, node));
    let name = name.clone()?;
    Some(Environment {
        name,
        guid,
        title,
        description,
        matching,
        supervisor,
        installations,
        volume_mounts,
        digest,
        redirect,
    })
}

/// The value of a key; blank text is the same as none, since charts and API answers write `supervisor: ""`.
pub(super) fn filled<'n>(node: &'n Node, key: &str) -> Option<&'n Node> {
    node.get(key).filter(|node| node.text().is_none_or(|text| !text.trim().is_empty()))
}

fn image_name(reading: &mut Reading<'_>, node: &Node) -> Option<ImageRef> {
    let Some(found) = filled(node, "name") else {
        let help = "add `name:` with the container image";
        reading.error(&codes::MISSING, node.span, "expected an environment to have a `name`, found none", help);
        return None;
    };
    let name: ImageRef = reading.parsed(found, &codes::IMAGE, "`name`", IMAGE_HELP)?;
    if name == ImageRef::localhost() {
        let help = "name a container image; the interpreters of the host are set where Wharf is started";
        reading.error(&codes::IMAGE, found.span, "expected a container image, found the name of the host itself", help);
        return None;
    }
    Some(name)
}

fn guid(reading: &mut Reading<'_>, node: &Node) -> Option<Guid> {
    reading.parsed(node, &codes::GUID, "`guid`", "remove it; a GUID is then derived from the image's name")
}

fn matching(reading: &mut Reading<'_>, node: &Node) -> Option<Matching> {
    let words = [("any", Matching::Any), ("exact", Matching::Exact), ("none", Matching::None)];
    reading.choice(node, &codes::MATCHING, "`matching`", &words)
}

/// A path that means the same wherever a program is started from.
pub(super) fn absolute_path(reading: &mut Reading<'_>, node: &Node, what: &str) -> Option<String> {
    let text = reading.text(node, what)?.trim();
    let problem = if !text.starts_with('/') {
        "which does not start with `/`"
    } else if text.chars().any(char::is_control) {
        "which holds a control character"
    } else if text.split('/').any(|part| part == "..") {
        "which holds `..`"
    } else {
        return Some(text.to_owned());
    };
    let message = format!("expected {what} to be an absolute path, found {}, {problem}", quoted(text));
    reading.error(&codes::PATH, node.span, message, "write the whole path, from `/` on");
    None
}

fn installations(reading: &mut Reading<'_>, node: &Node) -> BTreeMap<Language, Vec<Installation>> {
    let start = reading.mark();
    let mut all = BTreeMap::new();
    for language in Language::ALL {
        let Some(found) = node.get(language.key()) else { continue };
        let what = format!("`{}`", language.key());
        if reading.map(found, &what, &["installations"], Unknown::Ignored).is_none() {
            continue;
        }
        let Some(list) = found.get("installations") else { continue };
        let read = language_installations(reading, list, language);
        if !read.is_empty() {
            all.insert(language, read);
        }
    }
    if all.is_empty() && reading.first_error(start).is_none() {
        let span = node.get("name").map_or(node.span, |name| name.span);
        let message = "expected at least one installation in this environment, found none";
        let help = "say what the image holds, such as `python: {installations: [{version: 3.12.4, path: /opt/python/3.12.4/bin/python3}]}`; \
                    `wharf examine IMAGE` finds out";
        reading.error(&codes::NOTHING_INSTALLED, span, message, help);
    }
    all
}

fn language_installations(reading: &mut Reading<'_>, list: &Node, language: Language) -> Vec<Installation> {
    let mut all: Vec<Installation> = Vec::new();
    let mut versions = HashSet::new();
    let mut paths = HashSet::new();
    for node in reading.list(list, &format!("`{}.installations`", language.key())) {
        let what = format!("an installation of {language}");
        if reading.map(node, &what, &["version", "path"], Unknown::Ignored).is_none() {
            continue;
        }
        let [version, path] = ["version", "path"].map(|key| required(reading, node, key, &what));
        let version = version.and_then(|node| version_of(reading, node, language));
        let path = path.and_then(|node| absolute_path(reading, node, "`path`"));
        let Some((version, path)) = version.zip(path) else { continue };
        if !versions.insert(version.clone()) || !paths.insert(path.clone()) {
            let message = format!("expected every installation of {language} once, found {version} or {path} again");
            let help = "one version has one path, and one path one version; remove one of the two";
            reading.error(&codes::SAME_INSTALLATION, node.span, message, help);
            continue;
        }
        all.push(Installation { version, path });
    }
    all
}

/// A field that has to be there.
pub(super) fn required<'n>(reading: &mut Reading<'_>, node: &'n Node, key: &str, what: &str) -> Option<&'n Node> {
    let found = filled(node, key);
    if found.is_none() {
        let message = format!("expected {what} to have `{key}`, found none");
        reading.error(&codes::MISSING, node.span, message, format!("add `{key}:`"));
    }
    found
}

/// The version of an installation. Nothing is typed, so `3.10` arrives here as it was written, and is too short.
fn version_of(reading: &mut Reading<'_>, node: &Node, language: Language) -> Option<Version> {
    let text = reading.text(node, "`version`")?;
    let message = match text.parse() {
        Ok(version) => return Some(version),
        Err(VersionError::Short { .. }) => {
            format!(
                "expected a version of {language} with three numbers such as {}, found {}",
                example(language),
                quoted(text)
            )
        }
        Err(VersionError::NoNumber { .. } | VersionError::Unreadable { .. }) => {
            format!("expected a version of {language} such as {}, found {}", example(language), quoted(text))
        }
    };
    let plain_number = text.parse::<f64>().is_ok();
    let help = if plain_number {
        format!("{text} was read as text, not as a number; add the third number, as the program in the image prints it")
    } else {
        "write the full version, as the program in the image prints it".to_owned()
    };
    reading.error(&codes::VERSION, node.span, message, help);
    None
}

fn example(language: Language) -> &'static str {
    match language {
        Language::R => "4.4.1",
        Language::Python => "3.12.4",
        Language::Quarto => "1.4.550",
        Language::Nodejs => "22.11.0",
        Language::Tensorflow => "2.16.1",
    }
}

fn digest(reading: &mut Reading<'_>, node: &Node, name: Option<&ImageRef>) -> Option<String> {
    let text = reading.text(node, "`digest`")?.trim();
    let hex = text.strip_prefix("sha256:").unwrap_or_default();
    if hex.len() != 64 || !hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        let message = format!("expected `digest` to be sha256: and 64 hexadecimal digits, found {}", quoted(text));
        let help = "copy it from the registry, or from `docker buildx imagetools inspect IMAGE`";
        reading.error(&codes::DIGEST, node.span, message, help);
        return None;
    }
    let named = name.and_then(|name| name.as_str().split_once('@')).map(|(_, digest)| digest);
    if let Some(named) = named.filter(|named| *named != text) {
        let message = format!("expected the digest that `name` has, {named}, found another one");
        reading.error(&codes::DIGEST, node.span, message, "keep the digest in one of the two");
        return None;
    }
    Some(text.to_owned())
}

fn redirect(reading: &mut Reading<'_>, node: &Node) -> Option<Redirect> {
    reading.map(node, "`redirect`", &["to", "message", "level"], Unknown::Refused)?;
    let to = required(reading, node, "to", "`redirect`");
    let to = to.and_then(|node| reading.parsed(node, &codes::IMAGE, "`redirect.to`", IMAGE_HELP));
    let message = filled(node, "message").and_then(|node| reading.text(node, "`redirect.message`"));
    let message = message.map(|text| text.trim().to_owned());
    let words = [("info", RedirectLevel::Info), ("warning", RedirectLevel::Warning)];
    let level = filled(node, "level");
    let level = level.and_then(|node| reading.choice(node, &codes::LEVEL, "`redirect.level`", &words));
    Some(Redirect { to: to?, message, level: level.unwrap_or_default() })
}

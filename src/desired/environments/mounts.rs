//! Volume mounts of an entry, as Connect's API has them. Whether the operator allows them: `ceiling`.

use std::collections::HashSet;

use super::codes;
use super::entry::{absolute_path, filled, required};
use crate::desired::reading::{Reading, Unknown};
use crate::desired::source_text::quoted;
use crate::desired::tree::Node;
use crate::model::{MountSource, VolumeMount};

const SOURCE: [&str; 4] = ["volume_type", "nfs_host", "nfs_export_path", "pvc_name"];

/// Which kind of volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum VolumeType {
    Nfs,
    Pvc,
}

/// Reads `volume_mounts`.
pub(super) fn read(reading: &mut Reading<'_>, list: &Node) -> Vec<VolumeMount> {
    let mut all: Vec<VolumeMount> = Vec::new();
    let mut paths = HashSet::new();
    for node in reading.list(list, "`volume_mounts`") {
        let Some(mount) = mount(reading, node) else { continue };
        if !paths.insert(mount.path.clone()) {
            let message = format!("expected one volume at {}, found a second", quoted(&mount.path));
            reading.error(&codes::MOUNT, node.span, message, "give each mount a `target.path` of its own");
            continue;
        }
        all.push(mount);
    }
    all
}

fn mount(reading: &mut Reading<'_>, node: &Node) -> Option<VolumeMount> {
    reading.map(node, "a volume mount", &["source", "target"], Unknown::Ignored)?;
    let [source, target] = ["source", "target"].map(|key| required(reading, node, key, "a volume mount"));
    let source = source.and_then(|node| source_of(reading, node));
    let target = target.and_then(|node| target_of(reading, node));
    let (path, read_only) = target?;
    Some(VolumeMount { source: source?, path, read_only })
}

fn source_of(reading: &mut Reading<'_>, node: &Node) -> Option<MountSource> {
    let what = "the source of a volume mount";
    reading.map(node, what, &SOURCE, Unknown::Ignored)?;
    let words = [("nfs", VolumeType::Nfs), ("pvc", VolumeType::Pvc)];
    let volume_type = required(reading, node, "volume_type", what)?;
    let volume_type = reading.choice(volume_type, &codes::MOUNT, "`volume_type`", &words)?;
    let (word, foreign): (_, &[&str]) = match volume_type {
        VolumeType::Nfs => ("nfs", &["pvc_name"]),
        VolumeType::Pvc => ("pvc", &["nfs_host", "nfs_export_path"]),
    };
    for (key, node) in foreign.iter().filter_map(|key| Some((key, filled(node, key)?))) {
        let message = format!("expected no `{key}` in a volume of type {word}, found one");
        reading.error(&codes::MOUNT, node.span, message, "remove it, or change `volume_type`");
    }
    match volume_type {
        VolumeType::Nfs => {
            let [host, path] = ["nfs_host", "nfs_export_path"].map(|key| required(reading, node, key, what));
            let host = host.and_then(|node| plain_name(reading, node, "`nfs_host`"));
            let path = path.and_then(|node| absolute_path(reading, node, "`nfs_export_path`"));
            Some(MountSource::Nfs { nfs_host: host?, nfs_export_path: path? })
        }
        VolumeType::Pvc => {
            let name = required(reading, node, "pvc_name", what)?;
            Some(MountSource::Pvc { pvc_name: plain_name(reading, name, "`pvc_name`")? })
        }
    }
}

/// A host or the name of a Kubernetes object: letters, digits, `.`, `-`, and `:` for addresses.
fn plain_name(reading: &mut Reading<'_>, node: &Node, what: &str) -> Option<String> {
    let text = reading.text(node, what)?.trim();
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':'));
    if !plain || text.len() > 253 || text.starts_with('-') {
        let message = format!("expected {what} to be letters, digits, dots and dashes, found {}", quoted(text));
        reading.error(&codes::MOUNT, node.span, message, "write the name as Kubernetes shows it");
        return None;
    }
    Some(text.to_owned())
}

fn target_of(reading: &mut Reading<'_>, node: &Node) -> Option<(String, bool)> {
    let what = "the target of a volume mount";
    reading.map(node, what, &["path", "read_only"], Unknown::Ignored)?;
    let read_only = node.get("read_only").and_then(|node| reading.boolean(node, "`read_only`"));
    let path = required(reading, node, "path", what)?;
    let path = absolute_path(reading, path, "`target.path`")?;
    Some((path, read_only.unwrap_or_default()))
}

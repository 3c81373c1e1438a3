//! `packages` of wharf.yaml: where packages come from. Credentials never stand in Git, and are never read from there.

use super::{FORM, PolicyReader};
use crate::desired::source_text::quoted;
use crate::desired::tree::Node;
use crate::model::{Code, Diagnostic, Language, PackageSource};

/// A password in a URL.
const CREDENTIALS: Code = Code::new("E0508");

/// Parts of `packages.python` that this version does not enforce.
const UNENFORCED: [(&str, &str); 2] = [
    ("mirrors", "addresses in manifests are not replaced"),
    ("credentials", "packages are fetched without credentials"),
];

/// Reads `packages`.
pub(super) fn read(reader: &mut PolicyReader<'_>, node: &Node) {
    if reader.map(node, "packages", &["python", "r", "node"]).is_none() {
        return;
    }
    for name in ["r", "node"] {
        if let Some(value) = node.get(name) {
            reader.refuse_unenforced(&format!("packages.{name}"), value, "only Python packages are built");
        }
    }
    let Some(python) = node.get("python") else { return };
    let known = ["index_url", "extra_index_urls", "mirrors", "uv", "credentials"];
    if reader.map(python, "packages.python", &known).is_none() {
        return;
    }
    for (name, reason) in UNENFORCED {
        if let Some(value) = python.get(name) {
            reader.refuse_unenforced(&format!("packages.python.{name}"), value, reason);
        }
    }
    let index_url = python.get("index_url").and_then(|node| index(reader, node, "packages.python.index_url"));
    let more =
        python.get("extra_index_urls").map(|node| reader.reading.list(node, "`packages.python.extra_index_urls`"));
    let more = more.unwrap_or_default().iter();
    let extra_index_urls = more.filter_map(|node| index(reader, node, "packages.python.extra_index_urls")).collect();
    let words = [("allow", true), ("off", false)];
    let uv = python.get("uv").and_then(|node| reader.reading.choice(node, &FORM, "`packages.python.uv`", &words));
    let source = PackageSource { index_url, extra_index_urls, uv: uv.unwrap_or_default(), ..PackageSource::default() };
    reader.policy.packages.insert(Language::Python, source);
}

/// The URL of an index. It ends up as an argument of a program, so what is no plain URL is refused here.
fn index(reader: &mut PolicyReader<'_>, node: &Node, name: &str) -> Option<String> {
    let text = reader.reading.text(node, &format!("`{name}`"))?.trim();
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or_default();
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if host.contains('@') {
        // Neither the message nor a code frame may repeat the password.
        let message = format!("expected `{name}` without a user and a password, found them in the URL");
        let help =
            "remove them and change the password: whoever can read the repository has it, in its history as well";
        let place = reader.reading.source().place(node.span);
        reader.reading.record(Diagnostic::error(CREDENTIALS, place, message).with_help(help));
        return None;
    }
    if host.is_empty() || text.chars().any(|letter| letter.is_whitespace() || letter.is_control()) {
        let message = format!("expected `{name}` to be the URL of a package index, found {}", quoted(text));
        reader.reading.error(&FORM, node.span, message, "write such as https://packages.example/simple");
        return None;
    }
    Some(text.to_owned())
}

//! The variables content gets: few, and the same ones everywhere. Values of secrets pass through, and are stored nowhere.

use std::collections::BTreeMap;
use std::path::Path;

use super::context::Context;
use super::error::SessionError;

/// Where programs are looked for, after those of the item's interpreter.
const SYSTEM_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// How a host reaches the network and trusts it: a build needs this, and it is about the host, not about an item.
const NETWORK: [&str; 12] = [
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
];

/// Settings of pip that would install somewhere else than asked.
const MISLEADING: [&str; 5] = ["PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_REQUIREMENT"];

/// What everything gets: a home and a place for temporary files of its own, UTF-8, and output that is not held back.
fn base(context: &Context) -> Result<BTreeMap<String, String>, SessionError> {
    // A container's image says what its programs need; a host's variables are its operator's own.
    let mut variables: BTreeMap<String, String> = if context.job.inherit_environment {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect()
    } else {
        BTreeMap::from([("PATH".to_owned(), SYSTEM_PATH.to_owned())])
    };
    let mut set = |name: &str, value: &Path| variables.insert(name.to_owned(), value.to_string_lossy().into_owned());
    set("HOME", &context.scratch("home")?);
    set("TMPDIR", &context.scratch("tmp")?);
    set("LANG", Path::new("C.UTF-8"));
    set("PYTHONUNBUFFERED", Path::new("1"));
    Ok(variables)
}

/// The variables of a build: the item's own are absent, since every item with these packages shares what is built.
pub(super) fn for_build(context: &Context) -> Result<BTreeMap<String, String>, SessionError> {
    let mut variables = base(context)?;
    for (name, value) in std::env::vars_os().filter_map(|(n, v)| Some((n.into_string().ok()?, v.into_string().ok()?))) {
        let installer = name.starts_with("PIP_") || name.starts_with("UV_");
        if NETWORK.contains(&name.as_str()) || (installer && !MISLEADING.contains(&name.as_str())) {
            variables.insert(name, value);
        }
    }
    for (name, value) in context.log.secrets().iter() {
        variables.insert(name.clone(), value.clone());
    }
    Ok(variables)
}

/// The variables of content: the base, the item's, its secrets; `last` is what starts it and wins.
pub(super) fn for_content(
    context: &Context,
    programs: &[&Path],
    last: BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, SessionError> {
    let mut variables = base(context)?;
    let path = variables.get("PATH").map_or(SYSTEM_PATH, String::as_str);
    let own =
        programs.iter().filter_map(|program| program.parent()).map(|parent| parent.to_string_lossy().into_owned());
    let path = own.chain([path.to_owned()]).collect::<Vec<_>>().join(":");
    variables.insert("PATH".to_owned(), path);
    // Package environments are shared and stay as they were built.
    variables.insert("PYTHONDONTWRITEBYTECODE".to_owned(), "1".to_owned());
    variables.extend(context.job.env.clone());
    variables.extend(context.log.secrets().iter().map(|(name, value)| (name.clone(), value.clone())));
    variables.extend(last);
    Ok(variables)
}

//! What a runtime adds to an item's packages: the pinned servers of each appmode. How content is started is the session's business.

use super::appmode::Appmode;

/// The pins exist for CPython 3.10 to 3.13, and are raised together with the release notes: raising one builds anew.
const WAITRESS: &str = "waitress==3.0.2";
const UVICORN: &str = "uvicorn==0.38.0";
const NBCONVERT: &str = "nbconvert==7.16.6";
const IPYKERNEL: &str = "ipykernel==6.30.1";
const VOILA: &str = "voila==0.5.11";

/// The requirements an appmode's server needs, pinned. A build adds each that the item does not list itself; what the
/// item's own code must import anyway (Streamlit, Shiny, ...) is the item's to list.
pub const fn server_packages(appmode: Appmode) -> &'static [&'static str] {
    match appmode {
        Appmode::PythonApi | Appmode::PythonDash => &[WAITRESS],
        Appmode::PythonFastapi => &[UVICORN],
        Appmode::JupyterStatic => &[NBCONVERT, IPYKERNEL],
        Appmode::JupyterVoila => &[VOILA, IPYKERNEL],
        _ => &[],
    }
}

/// The name of a requirement as PEP 503 compares it: `Flask_Login[x]>=1` is `flask-login`. Empty for an option, a path or a comment.
pub fn requirement_name(requirement: &str) -> String {
    let name = requirement.trim_start();
    let end = name.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))).unwrap_or(name.len());
    let name = name.get(..end).unwrap_or_default();
    if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return String::new();
    }
    let parts: Vec<String> =
        name.split(['.', '-', '_']).filter(|part| !part.is_empty()).map(str::to_ascii_lowercase).collect();
    parts.join("-")
}

/// The server packages that a requirements text (everything inlined) does not list.
pub fn missing_server_packages(appmode: Appmode, requirements: &str) -> Vec<&'static str> {
    let listed: std::collections::BTreeSet<String> = requirements.lines().map(requirement_name).collect();
    server_packages(appmode).iter().copied().filter(|pin| !listed.contains(&requirement_name(pin))).collect()
}

/// Whether the session of this version knows how to start content of this kind.
pub const fn is_started_here(appmode: Appmode) -> bool {
    use super::language::Language;
    matches!(appmode.runtime(), None | Some(Language::Python))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requirement_names_are_compared_as_pip_compares_them() {
        for (text, name) in [
            ("Flask_Login[extra]>=1 ; python_version > '3'", "flask-login"),
            ("  zope.interface", "zope-interface"),
            ("waitress @ https://files.example/w.whl", "waitress"),
            ("-r other.txt", ""),
            ("--hash=sha256:00", ""),
            ("# waitress", ""),
            ("./waitress", ""),
        ] {
            assert_eq!(requirement_name(text), name, "{text}");
        }
    }

    #[test]
    fn a_listed_server_is_not_added() {
        assert_eq!(missing_server_packages(Appmode::PythonApi, "flask\n"), [WAITRESS]);
        assert!(missing_server_packages(Appmode::PythonApi, "flask\nWaitress<3\n").is_empty());
        assert_eq!(missing_server_packages(Appmode::JupyterVoila, "ipykernel"), [VOILA]);
        assert!(missing_server_packages(Appmode::PythonStreamlit, "").is_empty());
    }
}

//! How each appmode starts: one table a language. A new appmode is a new row, a new language a new file and its name in [`TABLES`].

mod python;

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use super::build::is_complete;
use super::context::Context;
use super::error::SessionError;
use super::protocol::SessionEntrypoint;

/// Whether an appmode answers HTTP or makes a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// It listens on a port until it is stopped.
    Serve,
    /// It writes a document and ends.
    Render,
}

/// How one appmode starts. Arguments and variables may hold the placeholders `{file}`, `{module}`, `{object}` (`-` if
/// none is named), `{address}`, `{port}`, `{output}` (a directory) and `{helper}` (the language's helper script).
pub(super) struct Mode {
    /// Its key in manifests.
    pub appmode: &'static str,
    /// What it does.
    pub role: Role,
    /// The arguments of the language's interpreter.
    pub arguments: &'static [&'static str],
    /// Its variables, over all others.
    pub variables: &'static [(&'static str, &'static str)],
}

/// The appmodes of one language.
pub(super) struct Table {
    /// The language's key, of interpreters and package environments.
    pub language: &'static str,
    /// The interpreter of a package environment, below it.
    pub interpreter: &'static str,
    /// The extension of its source files.
    pub extension: &'static str,
    /// A script that some of the modes start with: its file name and its text.
    pub helper: (&'static str, &'static str),
    /// The modes.
    pub modes: &'static [Mode],
}

const TABLES: [&Table; 1] = [&python::TABLE];

/// What is started, and where; the job decides.
pub(super) struct Request<'a> {
    pub appmode: &'a str,
    pub role: Role,
    pub entrypoint: &'a SessionEntrypoint,
    pub packages: &'a BTreeMap<String, PathBuf>,
    pub address: String,
    pub port: u16,
    pub output: &'a Path,
}

/// A program, found and spelled out.
pub(super) struct Start {
    pub program: PathBuf,
    pub arguments: Vec<String>,
    pub variables: BTreeMap<String, String>,
}

/// Finds the row of an appmode and fills it in.
pub(super) fn start(context: &Context, request: &Request<'_>) -> Result<Start, SessionError> {
    let rows = TABLES.iter().flat_map(|table| table.modes.iter().map(move |mode| (*table, mode)));
    let found = rows.into_iter().find(|(_, mode)| mode.appmode == request.appmode && mode.role == request.role);
    let (table, mode) = found.ok_or_else(|| SessionError::Appmode {
        appmode: request.appmode.to_owned(),
        verb: if request.role == Role::Serve { "started" } else { "rendered" },
    })?;
    let program = program(context, table, request)?;
    let helper = context.directory.join(table.helper.0);
    if mode.arguments.contains(&"{helper}") {
        std::fs::write(&helper, table.helper.1).map_err(|cause| SessionError::write(&helper, cause))?;
        super::files::give(&helper, context.user)?;
    }
    let words = Words::new(table, request, &helper)?;
    let arguments = mode.arguments.iter().map(|argument| words.fill(argument)).collect();
    let variables = mode.variables.iter().map(|(name, value)| ((*name).to_owned(), words.fill(value))).collect();
    Ok(Start { program, arguments, variables })
}

/// The interpreter of the package environment, or the job's own.
fn program(context: &Context, table: &Table, request: &Request<'_>) -> Result<PathBuf, SessionError> {
    let Some(packages) = request.packages.get(table.language) else {
        return context.interpreter(table.language, request.appmode).map(Path::to_owned);
    };
    if !is_complete(packages) {
        return Err(SessionError::Incomplete { path: packages.clone() });
    }
    let program = packages.join(table.interpreter);
    super::files::check_program("the interpreter", &program)?;
    Ok(program)
}

/// What the placeholders stand for.
struct Words {
    values: [(&'static str, String); 7],
}

impl Words {
    fn new(table: &Table, request: &Request<'_>, helper: &Path) -> Result<Self, SessionError> {
        let (file, module, object) = entrypoint(table, request)?;
        Ok(Self {
            values: [
                ("{file}", file),
                ("{module}", module),
                ("{object}", object),
                ("{address}", request.address.clone()),
                ("{port}", request.port.to_string()),
                ("{output}", request.output.to_string_lossy().into_owned()),
                ("{helper}", helper.to_string_lossy().into_owned()),
            ],
        })
    }

    /// One pass, so that a file name with braces in it stays what it is.
    fn fill(&self, template: &str) -> String {
        let mut filled = String::new();
        let mut rest = template;
        while let Some(at) = rest.find('{') {
            let (before, from) = rest.split_at(at);
            filled.push_str(before);
            let known = self.values.iter().find(|(name, _)| from.starts_with(name));
            let (length, value) = known.map_or((1, "{"), |(name, value)| (name.len(), value.as_str()));
            filled.push_str(value);
            rest = from.get(length..).unwrap_or_default();
        }
        filled + rest
    }
}

/// The entrypoint as file, module and object: manifests name either, programs want one of them.
fn entrypoint(table: &Table, request: &Request<'_>) -> Result<(String, String, String), SessionError> {
    let wrong = |expected, found: &str| SessionError::Entrypoint {
        appmode: request.appmode.to_owned(),
        expected,
        found: found.to_owned(),
    };
    match request.entrypoint {
        SessionEntrypoint::Module { module, object } => {
            let file = format!("./{}.{}", module.replace('.', "/"), table.extension);
            Ok((file, module.clone(), object.clone().unwrap_or_else(|| "-".to_owned())))
        }
        SessionEntrypoint::File { path } => {
            let inside =
                Path::new(path).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
            if !inside {
                return Err(wrong("a file of the item", path));
            }
            let stem = path.strip_suffix(table.extension).and_then(|stem| stem.strip_suffix('.')).unwrap_or(path);
            let module = stem.trim_start_matches("./").replace('/', ".");
            // The prefix keeps a file that is named like an option from being one.
            Ok((format!("./{}", path.trim_start_matches("./")), module, "-".to_owned()))
        }
        SessionEntrypoint::Directory => Err(wrong("a file or a module", "the directory itself")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(entrypoint: &SessionEntrypoint) -> Result<Words, SessionError> {
        let packages = BTreeMap::new();
        let request = Request {
            appmode: "python-api",
            role: Role::Serve,
            entrypoint,
            packages: &packages,
            address: "127.0.0.1".to_owned(),
            port: 8000,
            output: Path::new("/out"),
        };
        Words::new(&python::TABLE, &request, Path::new("/job/serve.py"))
    }

    #[test]
    fn entrypoints_are_files_and_modules() {
        let module = SessionEntrypoint::Module { module: "pkg.web".to_owned(), object: None };
        assert_eq!(words(&module).unwrap().fill("{file} {module}:{object}"), "./pkg/web.py pkg.web:-");
        let file = SessionEntrypoint::File { path: "-{port}/app.py".to_owned() };
        assert_eq!(words(&file).unwrap().fill("{file} {module} {port} {} {"), "./-{port}/app.py -{port}.app 8000 {} {");
        let outside = SessionEntrypoint::File { path: "../app.py".to_owned() };
        assert!(words(&outside).is_err_and(|error| error.to_string().contains("a file of the item")));
    }

    #[test]
    fn placeholders_are_known_and_appmodes_unique() {
        let file = SessionEntrypoint::File { path: "app.py".to_owned() };
        let words = words(&file).unwrap();
        let mut seen = std::collections::BTreeSet::new();
        for mode in TABLES.iter().flat_map(|table| table.modes) {
            assert!(seen.insert(mode.appmode), "{} twice", mode.appmode);
            let texts = mode.arguments.iter().chain(mode.variables.iter().map(|(_, value)| value));
            for text in texts {
                assert!(!words.fill(text).contains('{'), "{}: {text}", mode.appmode);
            }
        }
    }
}

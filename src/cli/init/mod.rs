//! `wharf init DIR`: a new config repository that already works. Its files stand in `template/`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use git2::{IndexAddOption, Repository, Signature};

use super::style::{ACCENT, GOOD, paint};
use super::{CliError, Exit, Output};

/// The files of a new repository.
const FILES: [(&str, &str); 9] = [
    ("README.md", include_str!("template/README.md")),
    ("wharf.yaml", include_str!("template/wharf.yaml")),
    ("environments/python.yaml", include_str!("template/environments/python.yaml")),
    ("content/welcome/index.html", include_str!("template/content/welcome/index.html")),
    ("content/welcome/manifest.json", include_str!("template/content/welcome/manifest.json")),
    ("content/hello-api/app.py", include_str!("template/content/hello-api/app.py")),
    ("content/hello-api/content.yaml", include_str!("template/content/hello-api/content.yaml")),
    ("content/hello-api/manifest.json", include_str!("template/content/hello-api/manifest.json")),
    ("content/hello-api/requirements.txt", include_str!("template/content/hello-api/requirements.txt")),
];

/// Make a new config repository that already works: a policy, an environment, a page and a small API.
#[derive(Debug, clap::Args)]
pub struct Init {
    /// The directory to make; it may be there already if it is empty.
    directory: PathBuf,
}

impl Init {
    /// Writes the files and commits them.
    pub fn execute(self, output: Output) -> Result<Exit, CliError> {
        let directory = &self.directory;
        let is_empty = fs::read_dir(directory).map(|mut entries| entries.next().is_none());
        match is_empty {
            Ok(true) => {}
            Ok(false) => {
                let place = directory.display();
                return Err(CliError::Usage(format!("expected a new or empty directory, {place} holds files already")));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed("read", directory)(error)),
        }
        for (path, text) in FILES {
            let path = directory.join(path);
            let parent = path.parent().unwrap_or(directory);
            fs::create_dir_all(parent).map_err(failed("make the directory", parent))?;
            fs::write(&path, text).map_err(failed("write", &path))?;
        }
        commit(directory).map_err(|error| failed("make a Git repository in", directory)(io::Error::other(error)))?;
        output.aside(&next_steps(directory));
        Ok(Exit::Good)
    }
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> CliError {
    let place = path.display().to_string();
    move |source| CliError::File { doing, place, source }
}

fn commit(directory: &Path) -> Result<(), git2::Error> {
    let mut options = git2::RepositoryInitOptions::new();
    let repository = Repository::init_opts(directory, options.initial_head("main").external_template(false))?;
    let mut index = repository.index()?;
    index.add_all(["*"], IndexAddOption::DEFAULT, None)?;
    index.write()?;
    let tree = repository.find_tree(index.write_tree()?)?;
    // Whoever has told Git no name yet can still try things out.
    let author = repository.signature().or_else(|_| Signature::now("wharf init", "wharf@localhost"))?;
    repository.commit(Some("HEAD"), &author, &author, "Start a config repository", &tree, &[])?;
    Ok(())
}

fn next_steps(directory: &Path) -> String {
    let place = directory.display().to_string();
    let step =
        |command: &str, what: &str| format!("  {}  {what}", paint(ACCENT, format!("wharf {command} --repo {place}")));
    [
        format!("{} a config repository in {place}, committed to the branch main", paint(GOOD, "made")),
        step("validate", "is everything as it should be?"),
        step("explain ", "what would run where?"),
        step("run     ", "run it, and follow every commit"),
    ]
    .join("\n")
}

//! A repository that random hands edit: new, changed, broken, mended, renamed and deleted items and environments.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use wharf::desired::memory_snapshot::MemorySnapshot;
use wharf::model::CommitId;
use wharf::plan::SourceIdentity;
use wharf::reconcile::{Commits, CommitsError, SharedSnapshot};

use super::dice::Dice;

/// One item as its author thinks of it.
#[derive(Debug, Clone)]
struct Content {
    kind: &'static str,
    edition: u64,
    requirements: u64,
    processes: u64,
    title: u64,
    broken: bool,
}

/// The files of the newest commit, and those of all before it.
pub struct Repository {
    items: BTreeMap<String, Content>,
    environments: BTreeMap<u64, (u64, bool)>,
    follow: bool,
    named: u64,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    commits: Vec<(CommitId, Arc<MemorySnapshot>)>,
    down: bool,
}

/// The commits as a reconciler sees them. It survives the crash of one.
#[derive(Clone)]
pub struct Scripted(Arc<Mutex<Shared>>);

impl Repository {
    pub fn new(follow: bool) -> Self {
        let environments = BTreeMap::from([(0, (0, false))]);
        let shared = Arc::default();
        Self { items: BTreeMap::new(), environments, follow, named: 0, shared }
    }

    pub fn commits(&self) -> Scripted {
        Scripted(self.shared.clone())
    }

    /// Whether the remote answers.
    pub fn set_down(&self, down: bool) {
        self.shared.lock().unwrap().down = down;
    }

    /// The names of items that can be read.
    pub fn healthy(&self) -> Vec<String> {
        self.items.iter().filter(|(_, content)| !content.broken).map(|(name, _)| name.clone()).collect()
    }

    /// Mends everything that is broken.
    pub fn mend(&mut self) {
        self.items.values_mut().for_each(|content| content.broken = false);
        self.environments.values_mut().for_each(|(_, broken)| *broken = false);
    }

    /// One to three random edits.
    pub fn edit(&mut self, dice: &mut Dice) {
        for _ in 0..=dice.below(3) {
            match dice.below(12) {
                0..=2 => self.add(dice),
                3..=5 => self.change(dice),
                6 => self.break_or_mend(dice),
                7 => self.rename(dice),
                8 => {
                    let names: Vec<String> = self.items.keys().cloned().collect();
                    if let Some(name) = dice.pick(&names) {
                        self.items.remove(name);
                    }
                }
                9 => drop(self.environments.insert(dice.below(4), (dice.below(3), false))),
                10 => {
                    let id = dice.below(4);
                    if let Some(environment) = self.environments.get_mut(&id) {
                        environment.1 = !environment.1;
                    }
                }
                _ => {
                    let id = dice.below(4);
                    if id != 0 {
                        self.environments.remove(&id);
                    }
                }
            }
        }
    }

    fn add(&mut self, dice: &mut Dice) {
        let kind = ["app", "app", "document", "site"][usize::try_from(dice.below(4)).unwrap()];
        self.named += 1;
        let content = Content {
            kind,
            edition: dice.below(5),
            requirements: dice.below(3),
            processes: 1 + dice.below(2),
            title: 0,
            broken: false,
        };
        self.items.insert(format!("{kind}-{}", self.named), content);
    }

    fn change(&mut self, dice: &mut Dice) {
        let names: Vec<String> = self.items.keys().cloned().collect();
        let Some(content) = dice.pick(&names).and_then(|name| self.items.get_mut(name)) else { return };
        match dice.below(4) {
            0 => content.edition = dice.below(5),
            1 => content.requirements = dice.below(3),
            2 => content.processes = 1 + dice.below(3),
            _ => content.title += 1,
        }
    }

    fn break_or_mend(&mut self, dice: &mut Dice) {
        let names: Vec<String> = self.items.keys().cloned().collect();
        if let Some(content) = dice.pick(&names).and_then(|name| self.items.get_mut(name)) {
            content.broken = !content.broken;
        }
    }

    fn rename(&mut self, dice: &mut Dice) {
        let names: Vec<String> = self.items.keys().cloned().collect();
        let Some(name) = dice.pick(&names) else { return };
        if let Some(content) = self.items.remove(name) {
            self.named += 1;
            self.items.insert(format!("{}-{}", content.kind, self.named), content);
        }
    }

    /// Commits the files as they are.
    pub fn commit(&mut self) -> CommitId {
        let mut builder = MemorySnapshot::builder();
        let selection = if self.follow { "follow" } else { "sticky" };
        builder = builder.file("wharf.yaml", format!("selection: {selection}\n"));
        for (id, (edition, broken)) in &self.environments {
            builder = builder.file(format!("environments/e{id}.yaml"), environment(*id, *edition, *broken));
        }
        for (name, content) in &self.items {
            for (path, text) in files(content) {
                builder = builder.file(format!("content/{name}/{path}"), text);
            }
        }
        let mut shared = self.shared.lock().unwrap();
        let number = shared.commits.len() as u64 + 1;
        let mut bytes = [0; 20];
        bytes[12..].copy_from_slice(&number.to_be_bytes());
        let id = CommitId::from_bytes(bytes);
        shared.commits.push((id, Arc::new(builder.build())));
        id
    }
}

fn environment(id: u64, edition: u64, broken: bool) -> String {
    if broken {
        return "name: [this is not closed\n".to_owned();
    }
    format!(
        "name: registry.example/env:{id}\npython:\n  installations:\n    - version: \"3.12.{edition}\"\n      path: /opt/python/3.12.{edition}/bin/python3\n"
    )
}

fn files(content: &Content) -> Vec<(&'static str, String)> {
    let (appmode, entrypoint, main) = match content.kind {
        "app" => ("python-fastapi", "\"entrypoint\": \"app:app\"", "app.py"),
        "document" => ("jupyter-static", "\"entrypoint\": \"report.ipynb\"", "report.ipynb"),
        _ => ("static", "\"primary_html\": \"index.html\"", "index.html"),
    };
    let python = match content.kind {
        "site" => "",
        _ => {
            ", \"python\": {\"version\": \"3.12.1\", \"package_manager\": {\"name\": \"pip\", \"package_file\": \"requirements.txt\"}}"
        }
    };
    let mut manifest =
        format!("{{\"version\": 1, \"metadata\": {{\"appmode\": \"{appmode}\", {entrypoint}}}{python}}}");
    if content.broken {
        manifest.insert_str(0, "<<<<<<< HEAD\n");
    }
    let mut settings = format!("title: Edition {}\n", content.title);
    match content.kind {
        "app" => settings.extend(["min_processes: ", &content.processes.to_string(), "\n"]),
        "document" => settings.push_str("schedule: \"0 6 * * *\"\ntimezone: Europe/Oslo\n"),
        _ => {}
    }
    let text = format!("{{\"cells\": [], \"edition\": {}}}", content.edition);
    vec![
        ("manifest.json", manifest),
        ("content.yaml", settings),
        ("requirements.txt", format!("package-{}==1\n", content.requirements)),
        (main, text),
    ]
}

impl Scripted {
    fn find(&self, commit: CommitId) -> Result<(usize, Arc<MemorySnapshot>), CommitsError> {
        let shared = self.0.lock().unwrap();
        let mut commits = shared.commits.iter().enumerate();
        let found = commits.find(|(_, (id, _))| *id == commit).map(|(index, (_, snapshot))| (index, snapshot.clone()));
        found.ok_or_else(|| CommitsError { message: format!("there is no commit {commit}") })
    }
}

#[async_trait]
impl Commits for Scripted {
    async fn look(&self) -> Result<CommitId, CommitsError> {
        let shared = self.0.lock().unwrap();
        if shared.down {
            return Err(CommitsError { message: "the remote is down".to_owned() });
        }
        shared.commits.last().map(|(id, _)| *id).ok_or_else(|| CommitsError { message: "no commit".to_owned() })
    }

    async fn snapshot(&self, commit: CommitId) -> Result<SharedSnapshot, CommitsError> {
        Ok(self.find(commit)?.1)
    }

    async fn descends(&self, ancestor: CommitId, commit: CommitId) -> Result<bool, CommitsError> {
        Ok(self.find(ancestor)?.0 <= self.find(commit)?.0)
    }

    fn identity(&self) -> SourceIdentity {
        SourceIdentity { repository: "memory".to_owned(), path: String::new(), reference: "main".to_owned() }
    }
}

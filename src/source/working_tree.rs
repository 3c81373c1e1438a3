//! `--working-tree`: the files of a directory as they are now, read as if they had been committed. Nothing is written, no
//! link is followed, no filter runs.
//!
//! In a repository these are the tracked files and the untracked ones that are not ignored, as `git status` sees them; in
//! any other directory all files. Ids are those Git would give, so caches by id serve both.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, Metadata};
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use git2::{ObjectType, Oid, Repository, StatusOptions};
use nix::fcntl::OFlag;

use super::error::SourceError;
use super::objects::open_users;
use super::tree::bytes;
use super::url::Subdirectory;
use crate::desired::snapshot::{Entry, EntryKind, Snapshot, Unreadable};
use crate::model::{BlobId, CommitId, TreeId};

/// The most files that are looked at.
const MOST_FILES: usize = 200_000;
/// The most directories inside each other.
const DEEPEST: usize = 100;
/// Larger files, in bytes, get an id from their size and time instead of their content; items may not hold them anyway.
const LARGEST_HASHED: u64 = 64 << 20;
/// A file changed more recently than this may change again without its time telling; it is hashed again next time.
const TOO_RECENT: Duration = Duration::from_secs(2);
/// How many states are kept for those who still read them.
const STATES: usize = 4;

/// A directory whose files are read.
#[derive(Debug)]
pub(super) struct WorkingTree {
    /// The directory that was named, below it `path`.
    base: PathBuf,
    path: Subdirectory,
    known: Mutex<HashMap<PathBuf, (Stamp, BlobId)>>,
    states: Mutex<Vec<Arc<Files>>>,
}

/// What changes when a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    inode: u64,
}

/// The files as they were at one moment.
#[derive(Debug)]
pub(super) struct Files {
    root: TreeId,
    trees: HashMap<TreeId, Vec<Entry>>,
    blobs: HashMap<BlobId, Content>,
}

/// Where a blob's bytes are.
#[derive(Debug)]
enum Content {
    File { path: PathBuf, size: u64, hashed: bool },
    Link(Vec<u8>),
}

/// A directory on its way to being a tree.
#[derive(Default)]
struct Folder(BTreeMap<Vec<u8>, Node>);

enum Node {
    Folder(Folder),
    Leaf(EntryKind),
}

impl WorkingTree {
    /// The directory at `base`, or `path` below it.
    pub(super) fn open(base: &Path, path: &Subdirectory) -> Result<Self, SourceError> {
        let base = base.canonicalize().map_err(SourceError::file("read the directory", base))?;
        let tree = Self { base, path: path.clone(), known: Mutex::default(), states: Mutex::default() };
        tree.repository()?;
        Ok(tree)
    }

    /// The directory that is read.
    pub(super) fn directory(&self) -> PathBuf {
        self.path.below(&self.base)
    }

    /// Reads the files as they are now. The result is named by the id its tree would have, in a commit's place.
    pub(super) fn look(&self) -> Result<CommitId, SourceError> {
        let top = self.top()?;
        let mut scan = Scan {
            top: &top,
            files: 0,
            blobs: HashMap::new(),
            known: std::mem::take(&mut *lock(&self.known)),
            seen: HashMap::new(),
            recent: SystemTime::now().checked_sub(TOO_RECENT),
        };
        let folder = match self.repository()? {
            Some(git) => scan.repository(&git)?,
            None => scan.walk(&top, 0)?,
        };
        let mut trees = HashMap::new();
        let root = folder.into_tree(&mut trees).map_err(SourceError::git("name the files", &top))?;
        *lock(&self.known) = scan.seen;
        let files = Files { root, trees, blobs: scan.blobs };
        let id = CommitId::from_bytes(*root.as_bytes());
        let mut states = lock(&self.states);
        states.retain(|state| state.root != root);
        states.push(Arc::new(files));
        if states.len() > STATES {
            states.remove(0);
        }
        Ok(id)
    }

    /// One of the last states.
    pub(super) fn state(&self, id: CommitId) -> Result<Arc<Files>, SourceError> {
        let states = lock(&self.states);
        let found = states.iter().find(|state| state.root.as_bytes() == id.as_bytes()).cloned();
        found.ok_or(SourceError::Moved { state: id })
    }

    /// The repository the directory belongs to, opened anew: its index may have changed.
    fn repository(&self) -> Result<Option<Repository>, SourceError> {
        let git = match open_users(&self.base) {
            Ok(git) => git,
            Err(SourceError::NotARepository { .. }) => match Repository::discover(&self.base) {
                Ok(around) => open_users(around.workdir().unwrap_or(&self.base))?,
                Err(error) if error.code() == git2::ErrorCode::Owner => {
                    return Err(SourceError::NotOurs { path: self.base.clone() });
                }
                Err(_) => return Ok(None),
            },
            Err(error) => return Err(error),
        };
        if git.is_bare() {
            return Err(SourceError::NoWorkingTree {
                repository: format!("the bare repository {}", self.base.display()),
            });
        }
        Ok(Some(git))
    }

    /// The directory that is read, if the way to it leads over no link.
    fn top(&self) -> Result<PathBuf, SourceError> {
        let mut top = self.base.clone();
        for name in self.path.names() {
            top.push(name);
            let data = fs::symlink_metadata(&top).map_err(SourceError::file("read the directory (--path)", &top))?;
            if !data.is_dir() {
                return Err(SourceError::file("read the directory (--path)", &top)(
                    io::ErrorKind::NotADirectory.into(),
                ));
            }
        }
        Ok(top)
    }
}

/// One reading of all files.
struct Scan<'a> {
    top: &'a Path,
    files: usize,
    blobs: HashMap<BlobId, Content>,
    known: HashMap<PathBuf, (Stamp, BlobId)>,
    seen: HashMap<PathBuf, (Stamp, BlobId)>,
    recent: Option<SystemTime>,
}

impl Scan<'_> {
    /// What `git status` would speak of: the index, and what is neither in it nor ignored.
    fn repository(&mut self, git: &Repository) -> Result<Folder, SourceError> {
        let failed = |error| SourceError::git("list the files", git.path())(error);
        let work = git.workdir().unwrap_or(self.top).canonicalize();
        let work = work.map_err(SourceError::file("read the directory", self.top))?;
        let below = self.top.strip_prefix(&work).unwrap_or(Path::new("")).as_os_str().as_bytes().to_vec();
        let mut options = StatusOptions::new();
        options.include_untracked(true).recurse_untracked_dirs(true).exclude_submodules(true).include_ignored(false);
        options.disable_pathspec_match(true);
        if !below.is_empty() {
            options.pathspec(below.as_slice());
        }
        let mut paths: Vec<Vec<u8>> = Vec::new();
        for entry in git.statuses(Some(&mut options)).map_err(failed)?.iter() {
            if entry.status().is_wt_new() {
                paths.push(entry.path_bytes().to_vec());
            }
        }
        paths.extend(git.index().map_err(failed)?.iter().map(|entry| entry.path));
        let mut folder = Folder::default();
        let mut real = HashMap::new();
        for path in paths {
            let Some(inside) = inside(&path, &below) else { continue };
            if self.all_real(inside, &mut real)? {
                self.add(&mut folder, inside)?;
            }
        }
        Ok(folder)
    }

    /// Whether every directory on the way to a file is one, and no link.
    fn all_real(&self, path: &[u8], known: &mut HashMap<Vec<u8>, bool>) -> Result<bool, SourceError> {
        let mut depth = 0;
        for end in path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at) {
            depth += 1;
            if depth > DEEPEST {
                return Err(self.too_much(DEEPEST, "directories inside each other"));
            }
            let directory = path.get(..end).unwrap_or_default();
            let is_real = *known.entry(directory.to_vec()).or_insert_with(|| {
                fs::symlink_metadata(self.top.join(os_path(directory))).is_ok_and(|data| data.is_dir())
            });
            if !is_real {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Puts one file of the repository where it belongs.
    fn add(&mut self, folder: &mut Folder, path: &[u8]) -> Result<(), SourceError> {
        let trimmed = path.strip_suffix(b"/").unwrap_or(path);
        let Some(kind) = self.leaf(&self.top.join(os_path(trimmed)))? else { return Ok(()) };
        let mut names: Vec<&[u8]> = trimmed.split(|byte| *byte == b'/').collect();
        let Some(name) = names.pop() else { return Ok(()) };
        let mut folder = folder;
        for name in names {
            let node = folder.0.entry(name.to_vec()).or_insert_with(|| Node::Folder(Folder::default()));
            let Node::Folder(deeper) = node else { return Ok(()) };
            folder = deeper;
        }
        folder.0.insert(name.to_vec(), Node::Leaf(kind));
        Ok(())
    }

    /// Every file below a directory that belongs to no repository.
    fn walk(&mut self, directory: &Path, depth: usize) -> Result<Folder, SourceError> {
        if depth > DEEPEST {
            return Err(self.too_much(DEEPEST, "directories inside each other"));
        }
        let failed = |error| SourceError::file("list the directory", directory)(error);
        let mut folder = Folder::default();
        for entry in fs::read_dir(directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let (name, path) = (entry.file_name().into_vec(), entry.path());
            if entry.file_type().map_err(failed)?.is_dir() && !path.join(".git").exists() {
                if name != b".git" {
                    let inner = self.walk(&path, depth + 1)?;
                    folder.0.insert(name, Node::Folder(inner));
                }
            } else if let Some(kind) = self.leaf(&path)? {
                folder.0.insert(name, Node::Leaf(kind));
            }
        }
        // Git knows no empty directories.
        folder.0.retain(|_, node| !matches!(node, Node::Folder(inner) if inner.0.is_empty()));
        Ok(folder)
    }

    /// What stands at a path, named as Git would name it. `None` if it is gone, or is something Git does not keep.
    fn leaf(&mut self, path: &Path) -> Result<Option<EntryKind>, SourceError> {
        let data = match fs::symlink_metadata(path) {
            Ok(data) => data,
            Err(error) if is_gone(&error) => return Ok(None),
            Err(error) => return Err(SourceError::file("look at", path)(error)),
        };
        self.files += 1;
        if self.files > MOST_FILES {
            return Err(self.too_much(MOST_FILES, "files"));
        }
        if data.is_symlink() {
            let target = fs::read_link(path).map_err(SourceError::file("read the link", path))?;
            let target = target.into_os_string().into_vec();
            let id = name_of(&target).map_err(SourceError::git("name the link", path))?;
            self.blobs.insert(id, Content::Link(target));
            return Ok(Some(EntryKind::Symlink(id)));
        }
        if data.is_dir() {
            return Ok(path.join(".git").exists().then_some(EntryKind::Submodule));
        }
        if !data.is_file() {
            return Ok(None);
        }
        let executable = data.permissions().mode() & 0o100 != 0;
        Ok(self.file(path, &data)?.map(|blob| EntryKind::File { blob, executable }))
    }

    /// The id of a file's content, computed only if the file changed since the last look.
    fn file(&mut self, path: &Path, data: &Metadata) -> Result<Option<BlobId>, SourceError> {
        let stamp = Stamp {
            size: data.len(),
            modified: (data.mtime(), data.mtime_nsec()),
            changed: (data.ctime(), data.ctime_nsec()),
            inode: data.ino(),
        };
        let hashed = stamp.size <= LARGEST_HASHED;
        let known = self.known.get(path).filter(|(old, _)| *old == stamp).map(|(_, id)| *id);
        let id = match known {
            Some(id) => id,
            None if hashed => match read_file(path, LARGEST_HASHED) {
                Ok(content) => name_of(&content).map_err(SourceError::git("name the file", path))?,
                Err(error) if is_gone(&error) => return Ok(None),
                Err(error) => return Err(SourceError::file("read", path)(error)),
            },
            None => name_of(format!("{} {stamp:?}", path.display()).as_bytes())
                .map_err(SourceError::git("name the file", path))?,
        };
        let settled = data.modified().ok().zip(self.recent).is_some_and(|(modified, recent)| modified < recent);
        if settled {
            self.seen.insert(path.to_owned(), (stamp, id));
        }
        self.blobs.insert(id, Content::File { path: path.to_owned(), size: stamp.size, hashed });
        Ok(Some(id))
    }

    fn too_much(&self, limit: usize, what: &'static str) -> SourceError {
        SourceError::TooMuch { path: self.top.to_owned(), limit, what }
    }
}

impl Folder {
    /// Turns this directory and those below into trees, with the ids Git gives them.
    fn into_tree(self, trees: &mut HashMap<TreeId, Vec<Entry>>) -> Result<TreeId, git2::Error> {
        let mut entries = Vec::with_capacity(self.0.len());
        for (name, node) in self.0 {
            let kind = match node {
                Node::Leaf(kind) => kind,
                Node::Folder(folder) => EntryKind::Directory(folder.into_tree(trees)?),
            };
            entries.push(Entry { name, kind });
        }
        // Git sorts a directory as if its name ended in a slash.
        entries.sort_by_cached_key(|entry| match entry.kind {
            EntryKind::Directory(_) => [entry.name.as_slice(), b"/"].concat(),
            _ => entry.name.clone(),
        });
        let mut object = Vec::new();
        for entry in &entries {
            let (mode, id): (&[u8], [u8; 20]) = match entry.kind {
                EntryKind::Directory(tree) => (b"40000", *tree.as_bytes()),
                EntryKind::File { blob, executable: false } => (b"100644", *blob.as_bytes()),
                EntryKind::File { blob, executable: true } => (b"100755", *blob.as_bytes()),
                EntryKind::Symlink(blob) => (b"120000", *blob.as_bytes()),
                // The commit it stands at is nobody's concern here.
                EntryKind::Submodule => (b"160000", [0; 20]),
            };
            object.extend([mode, b" ", &entry.name, b"\0", &id].concat());
        }
        let id = TreeId::from_bytes(bytes(Oid::hash_object(ObjectType::Tree, &object)?));
        trees.insert(id, entries);
        Ok(id)
    }
}

impl Snapshot for Files {
    fn root(&self) -> TreeId {
        self.root
    }

    fn directory(&self, tree: TreeId) -> Result<Vec<Entry>, Unreadable> {
        self.trees.get(&tree).cloned().ok_or_else(|| Unreadable::Missing { what: format!("directory {tree}") })
    }

    fn blob(&self, blob: BlobId, limit: u64) -> Result<Vec<u8>, Unreadable> {
        let size = self.size(blob)?;
        if size > limit {
            return Err(Unreadable::TooLarge { size, limit });
        }
        let (path, hashed) = match self.blobs.get(&blob) {
            Some(Content::Link(target)) => return Ok(target.clone()),
            Some(Content::File { path, hashed, .. }) => (path, *hashed),
            None => return Err(Unreadable::Missing { what: format!("file {blob}") }),
        };
        let corrupt = |problem: String| Unreadable::Corrupt { what: path.display().to_string(), problem };
        let content = read_file(path, limit).map_err(|error| corrupt(error.to_string()))?;
        let same = content.len() as u64 == size && (!hashed || name_of(&content).is_ok_and(|id| id == blob));
        same.then_some(content).ok_or_else(|| corrupt("it changed while it was read; look again".to_owned()))
    }

    fn size(&self, blob: BlobId) -> Result<u64, Unreadable> {
        match self.blobs.get(&blob) {
            Some(Content::Link(target)) => Ok(target.len() as u64),
            Some(Content::File { size, .. }) => Ok(*size),
            None => Err(Unreadable::Missing { what: format!("file {blob}") }),
        }
    }
}

/// Reads a regular file, never through a link, and never waiting for the writer of a pipe that took its place.
fn read_file(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let flags = (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC).bits();
    let file = fs::OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no regular file any more"));
    }
    let mut content = Vec::new();
    file.take(limit.saturating_add(1)).read_to_end(&mut content)?;
    Ok(content)
}

/// The part of a path below a directory, both as Git writes them.
fn inside<'a>(path: &'a [u8], directory: &[u8]) -> Option<&'a [u8]> {
    if directory.is_empty() {
        return Some(path);
    }
    path.strip_prefix(directory)?.strip_prefix(b"/").filter(|rest| !rest.is_empty())
}

fn name_of(content: &[u8]) -> Result<BlobId, git2::Error> {
    Oid::hash_object(ObjectType::Blob, content).map(|id| BlobId::from_bytes(bytes(id)))
}

fn os_path(path: &[u8]) -> &Path {
    Path::new(std::ffi::OsStr::from_bytes(path))
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

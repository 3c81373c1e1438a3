//! The sample repository keeps its promises: it reads without a word, its checksums hold, and its items run where its README says.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use md5::{Digest as _, Md5};
use wharf::desired::content_yaml;
use wharf::desired::environments::{Environments, join, read_environment_file};
use wharf::desired::manifest::{self, text::ManifestText};
use wharf::desired::memory_snapshot::MemorySnapshot;
use wharf::desired::settings_rules::SettingsRules;
use wharf::model::{FileEntry, Guid, Instance, Language, Manifest, Place, Policy, Strategy};
use wharf::select::{Availability, Candidate, choose};

/// An item as it lies on disk.
struct OnDisk {
    name: String,
    directory: PathBuf,
    manifest: Manifest,
}

fn sample() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("sample-repo")
}

/// All files below a directory as (path from it, content), sorted. What an interpreter leaves behind is not part of it.
fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap() {
        let (path, name) = { entry.map(|entry| (entry.path(), entry.file_name().into_string().unwrap())).unwrap() };
        if name == "__pycache__" {
            continue;
        }
        if path.is_dir() {
            found.extend(files(&path).into_iter().map(|(below, bytes)| (format!("{name}/{below}"), bytes)));
        } else {
            found.insert(name, fs::read(path).unwrap());
        }
    }
    found
}

fn items() -> Vec<OnDisk> {
    let mut directories: Vec<_> =
        fs::read_dir(sample().join("content")).unwrap().map(|entry| entry.unwrap().path()).collect();
    directories.sort();
    directories.into_iter().map(item).collect()
}

fn item(directory: PathBuf) -> OnDisk {
    let name = directory.file_name().unwrap().to_str().unwrap().to_owned();
    let file: Arc<str> = format!("content/{name}/manifest.json").into();
    let bytes = fs::read(directory.join("manifest.json")).unwrap();
    let (text, value) = ManifestText::read(&file, bytes.clone()).unwrap();
    let entries: Vec<FileEntry> = files(&directory)
        .into_iter()
        .map(|(path, bytes)| FileEntry { path: path.into(), blob: MemorySnapshot::blob_id(&bytes), executable: false })
        .collect();
    let (read, problems) = manifest::read(&text, &value, &entries);
    assert!(problems.is_empty(), "{file} reads without a word: {problems:#?}");
    OnDisk { name, directory, manifest: read.unwrap().manifest }
}

fn environments() -> Environments {
    let found = files(&sample().join("environments"));
    let read: Vec<_> = found.iter().map(|(name, bytes)| read_environment_file(name, bytes)).collect();
    join(&read)
}

/// What `sample-repo/wharf.yaml` says about matching.
fn policy() -> Policy {
    let matching = BTreeMap::from([
        (Language::R, Strategy::MajorMinor),
        (Language::Python, Strategy::MajorMinor),
        (Language::Quarto, Strategy::Nearest),
    ]);
    Policy { matching, ..Policy::default() }
}

#[test]
fn every_environment_reads_without_a_word() {
    let read = environments();
    assert!(read.complete);
    assert_eq!(read.diagnostics, []);
    assert_eq!(read.entries.len(), 6);
}

#[test]
fn every_setting_is_read_and_has_an_effect() {
    let mut with_settings = 0;
    for item in items() {
        let Ok(bytes) = fs::read(item.directory.join("content.yaml")) else { continue };
        with_settings += 1;
        let file = format!("content/{}/content.yaml", item.name);
        let (placed, problems) = content_yaml::read(&file, &bytes);
        assert!(problems.is_empty(), "{file}: {problems:#?}");
        let placed = placed.unwrap();
        let otherwise = Place::file(file);
        let name = item.name.parse().unwrap();
        let rules = SettingsRules::of(&policy());
        let found = rules.check(&name, item.manifest.appmode, &placed.settings, &placed, &otherwise);
        assert!(found.is_empty(), "{found:#?}");
    }
    assert_eq!(with_settings, 7);
}

#[test]
fn manifests_list_exactly_the_files_there_are() {
    for item in items() {
        let mut there = files(&item.directory);
        there.remove("manifest.json");
        for (path, checksum) in &item.manifest.listed_files {
            let bytes = there.get(path).unwrap_or_else(|| panic!("{}: {path} is listed and there", item.name));
            let mut found = String::new();
            for byte in Md5::digest(bytes) {
                write!(found, "{byte:02x}").unwrap();
            }
            assert_eq!(checksum.as_ref(), Some(&found), "{}: write the manifest again, {path} changed", item.name);
        }
        let unlisted: Vec<_> = there.keys().filter(|path| !item.manifest.listed_files.contains_key(*path)).collect();
        // `rsconnect write-manifest notebook` lists the notebook and what it was told, and nobody tells it this one.
        assert!(unlisted.iter().all(|path| *path == "content.yaml"), "{}: {unlisted:?}", item.name);
    }
}

#[test]
fn items_run_where_the_readme_says() {
    let read = environments();
    let instance: Instance = "test".parse().unwrap();
    let candidates: Vec<_> = read
        .entries
        .values()
        .map(|entry| Candidate {
            environment: &entry.environment,
            guid: Guid::derived(&instance, "environment", entry.environment.name.as_str()),
            availability: Availability::Runnable,
        })
        .collect();
    let mut table = String::new();
    for item in items() {
        let chosen = choose(&item.manifest.demands, &candidates, &policy()).unwrap();
        write!(table, "{} ({}): ", item.name, item.manifest.appmode).unwrap();
        match chosen {
            None => table.push_str("no environment"),
            Some(chosen) => {
                write!(table, "{}", chosen.selected.environment).unwrap();
                for (language, installation) in chosen.selected.installations {
                    write!(table, ", {language} {}", installation.version).unwrap();
                }
            }
        }
        table.push('\n');
    }
    insta::assert_snapshot!(table);
}

#[test]
fn the_tide_model_is_the_same_wherever_it_is_used() {
    let copies: BTreeSet<_> =
        items().iter().filter_map(|item| fs::read(item.directory.join("tides.py")).ok()).collect();
    assert_eq!(copies.len(), 1, "an item carries what it needs, so change every copy of tides.py alike");
}

//! The host is not as it should be: directories that are somebody else's, read-only or full, and ports that are taken.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::content::{commit, write_app, write_page};
use crate::git::Repo;
use crate::instance::Instance;
use crate::looking::{until, visit};

fn harbour() -> Repo {
    let repo = Repo::empty();
    write_app(&repo, "app", "one");
    commit(&repo, "Open");
    repo
}

#[test]
fn of_two_daemons_on_one_state_directory_the_second_refuses() {
    let repo = harbour();
    let wharf = Instance::of(&repo);
    let mut daemon = wharf.run();
    wharf.until_ready(1);
    let said = wharf.wharf(&["run"]);
    assert_eq!(said.code, 1, "{said:#?}");
    assert!(said.err.contains("in use by another wharf (process "), "{said:#?}");
    assert!(daemon.is_running());
    assert_eq!(wharf.page("app"), "one");

    // With a state directory of its own it still finds the data directory taken.
    let other = wharf.path("other-state");
    let said = wharf.wharf(&["run", "--state-dir", other.to_str().unwrap(), "--listen-content", "127.0.0.1:0"]);
    assert_eq!(said.code, 1, "{said:#?}");
    assert!(said.err.contains("data") && said.err.contains("in use by another wharf"), "{said:#?}");
    drop(daemon);
}

#[test]
fn a_data_directory_of_somebody_else_is_left_alone() {
    let repo = harbour();
    let mut wharf = Instance::of(&repo);
    wharf.must(&["apply"]);
    wharf.set("instance", "another");
    wharf.set("state_dir", wharf.path("another").display().to_string());
    for command in ["apply", "run", "down"] {
        let said = wharf.wharf(&[command]);
        assert_eq!(said.code, 1, "{command}: {said:#?}");
        assert!(said.err.contains("default") && said.err.contains("another"), "{command}: {said:#?}");
    }
    wharf.set("instance", "default");
    wharf.set("state_dir", wharf.path("state").display().to_string());
    assert_eq!(wharf.page("app"), "one");
    wharf.assert_nothing_to_do();

    // A directory full of something else is no data directory.
    let full = wharf.path("full");
    std::fs::create_dir(&full).unwrap();
    std::fs::write(full.join("thesis.txt"), "years of work").unwrap();
    let said = wharf.wharf(&["apply", "--data-dir", full.to_str().unwrap()]);
    assert_eq!(said.code, 1, "{said:#?}");
    assert_eq!(std::fs::read_dir(&full).unwrap().count(), 1, "{said:#?}");
}

#[test]
fn a_port_that_is_taken_gives_the_item_another_one() {
    let repo = harbour();
    write_page(&repo, "page", "page");
    commit(&repo, "Add a page");
    let wharf = Instance::of(&repo);
    wharf.must(&["apply"]);
    let former = wharf.url("app");
    wharf.must(&["down"]);
    let address = former.trim_start_matches("http://").trim_end_matches('/');
    let squatter = TcpListener::bind(address).unwrap();
    let said = wharf.must(&["apply"]);
    assert_ne!(wharf.url("app"), former);
    assert_eq!(wharf.page("app"), "one");
    let port = address.rsplit(':').next().unwrap();
    assert!(said.out.contains(&format!("port {port} is held by another program")), "{said:#?}");
    drop(squatter);

    // The address of all static items is the operator's to choose, so there it is an error.
    let page = wharf.url("page");
    let content = page.trim_start_matches("http://").split('/').next().unwrap();
    let squatter = TcpListener::bind(content).unwrap();
    let said = wharf.wharf(&["run"]);
    assert_eq!(said.code, 1, "{said:#?}");
    assert!(said.err.contains(content) && said.err.contains("--listen-content"), "{said:#?}");
    drop(squatter);
    let daemon = wharf.run();
    until("the page", || visit(&page).ok().filter(|(_, body)| body == "page"));
    drop(daemon);
}

/// A small file system in memory. Needs root, as these tests have it in CI.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(path: &Path, options: &str) -> Self {
        std::fs::create_dir_all(path).unwrap();
        mount(&["-t", "tmpfs", "-o", &format!("mode=0700,{options}"), "tmpfs", path.to_str().unwrap()]);
        Self(path.to_owned())
    }

    fn remount(&self, options: &str) {
        mount(&["-o", &format!("remount,{options}"), self.0.to_str().unwrap()]);
    }
}

fn mount(arguments: &[&str]) {
    let output = Command::new("mount").args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "this test mounts a small file system, which needs root: {said}");
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Also when something still has a file open there.
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
fn a_read_only_data_directory_is_named() {
    let repo = harbour();
    let wharf = Instance::of(&repo);
    let disk = SmallDisk::mount(&wharf.path("data"), "size=8m,ro");
    for command in ["apply", "run"] {
        let said = wharf.wharf(&[command]);
        assert_eq!(said.code, 1, "{command}: {said:#?}");
        assert!(said.err.contains("Read-only file system"), "{command}: {said:#?}");
        assert!(said.err.contains(wharf.path("data").to_str().unwrap()), "{command}: {said:#?}");
    }
    disk.remount("rw");
    wharf.must(&["apply"]);
    assert_eq!(wharf.page("app"), "one");
    wharf.down();
}

#[test]
fn a_full_data_directory_fails_what_needs_room_until_there_is_some() {
    let repo = harbour();
    let wharf = Instance::of(&repo);
    let disk = SmallDisk::mount(&wharf.path("data"), "size=4m");
    let daemon = wharf.run();
    wharf.until_ready(1);
    write_app(&repo, "app", "two");
    write_page(&repo, "page", "page");
    // Not compressible on the way, and more than there is room for.
    repo.write("content/page/large.csv", &"0123456789\n".repeat(800_000));
    commit(&repo, "Too much");
    wharf.until("the item that needs room to say so", |items| {
        items.get("page").is_some_and(|page| page["detail"].as_str().is_some_and(|it| it.contains("No space left")))
    });
    // What needs next to nothing may have met the full disk, too; it answers all the same.
    assert!(["one", "two"].contains(&wharf.page("app").as_str()));
    disk.remount("size=64m");
    wharf.must(&["reconcile"]);
    wharf.until_ready(2);
    assert_eq!(wharf.page("app"), "two");
    assert_eq!(wharf.page("page"), "page");
    drop(daemon);
    wharf.down();
}

#[test]
fn a_full_state_directory_stops_changes_and_nothing_else() {
    let repo = harbour();
    let wharf = Instance::of(&repo);
    let disk = SmallDisk::mount(&wharf.path("state"), "size=4m");
    let mut daemon = wharf.run();
    wharf.until_ready(1);
    let ballast = wharf.path("state/ballast");
    // As much as fits.
    let _ = std::fs::write(&ballast, vec![1; 5 << 20]);
    write_app(&repo, "app", "two");
    commit(&repo, "Change");
    until("the full disk to be told", || {
        let log = wharf.logs().to_lowercase();
        (log.contains("full") || log.contains("no space left")).then_some(())
    });
    assert!(daemon.is_running());
    assert!(["one", "two"].contains(&wharf.page("app").as_str()));
    std::fs::remove_file(&ballast).unwrap();
    until("the change", || (wharf.page("app") == "two").then_some(()));
    wharf.until_ready(1);
    drop((daemon, disk));
}

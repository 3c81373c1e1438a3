//! A local directory is read as it lies there: saving a file is enough.

use std::fs;

use crate::content::write_app;
use crate::git::Repo;
use crate::instance::Instance;
use crate::looking::until;

#[test]
fn a_saved_file_is_shown_without_a_commit() {
    let repo = Repo::empty();
    write_app(&repo, "app", "draft one");
    let mut wharf = Instance::of(&repo);
    wharf.set("working_tree", "true");
    wharf.set("ref", "HEAD");
    // Long enough that only the notice of the change can be quick.
    wharf.set("interval", "1h");
    let daemon = wharf.run();
    wharf.until_ready(1);
    write_app(&repo, "app", "draft two");
    until("the saved file", || (wharf.page("app") == "draft two").then_some(()));
    // Broken for a moment, as files are while somebody types.
    repo.write("content/app/manifest.json", "{");
    wharf.until_status("the broken file", |status| status["errors"] == 1);
    assert_eq!(wharf.page("app"), "draft two");
    write_app(&repo, "app", "draft three");
    until("the mended file", || (wharf.page("app") == "draft three").then_some(()));
    drop(daemon);
    wharf.down();
}

#[test]
fn a_plain_directory_needs_no_repository() {
    let directory = tempfile::tempdir().unwrap();
    let item = directory.path().join("content/page");
    fs::create_dir_all(&item).unwrap();
    fs::write(item.join("manifest.json"), "{\"version\": 1, \"metadata\": {\"appmode\": \"static\"}}").unwrap();
    fs::write(item.join("index.html"), "plain").unwrap();
    let mut wharf = Instance::new(directory.path().to_str().unwrap());
    wharf.set("working_tree", "true");
    wharf.set("ref", "HEAD");
    let daemon = wharf.run();
    wharf.until_ready(1);
    until("the page", || crate::looking::visit(&wharf.url("page")).ok().filter(|(_, body)| body == "plain"));
    drop(daemon);
}

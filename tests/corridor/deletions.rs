//! A commit that takes away too much: the rest of it is applied, and the deletions wait for a person.

use crate::content::{commit, write_app, write_page};
use crate::git::Repo;
use crate::instance::Instance;
use crate::looking::{processes_of, visit, wait_until};

#[test]
fn deleting_thirty_items_waits_for_an_approval() {
    let repo = Repo::empty();
    for number in 0..40 {
        write_page(&repo, &format!("page-{number:02}"), &format!("page {number}"));
    }
    write_app(&repo, "app", "still here");
    commit(&repo, "Open");
    let wharf = Instance::of(&repo);
    wharf.must(&["apply"]);
    assert_eq!(wharf.items().len(), 41);

    repo.git(&["rm", "-r", "--quiet", "content/app"]);
    for number in 0..29 {
        repo.git(&["rm", "-r", "--quiet", &format!("content/page-{number:02}")]);
    }
    write_page(&repo, "page-39", "changed");
    write_page(&repo, "new", "new");
    commit(&repo, "Take thirty away");
    let plan = wharf.json(&["diff"]);
    let blocked = &plan["blocked"][0];
    assert_eq!(blocked["things"].as_array().map(Vec::len), Some(30), "{blocked:#}");
    let approval = blocked["approval"].as_str().unwrap().to_owned();

    let said = wharf.wharf(&["apply"]);
    assert!(said.out.contains(&format!("wharf approve {approval}")), "{said:#?}");
    let items = wharf.items();
    assert_eq!((items.len(), wharf.page("app").as_str()), (42, "still here"), "nothing is gone");
    assert_eq!(items["new"]["state"], "ready", "everything else is applied");
    let said = wharf.wharf(&["approve", "0123456789ab"]);
    assert_eq!(said.code, 1, "{said:#?}");

    let url = wharf.url("app");
    wharf.must(&["approve", &approval]);
    wharf.must(&["apply"]);
    assert_eq!(wharf.items().len(), 12);
    assert!(visit(&url).is_err(), "its address is free again");
    wharf.assert_nothing_to_do();
    wait_until("the last process to end", || processes_of(wharf.root()).is_empty());
}

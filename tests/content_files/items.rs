//! What makes an item: where it lies, what it is called, which files it has, what starts it.

use wharf::desired::memory_snapshot::MemorySnapshot;
use wharf::model::{Appmode, Entrypoint, EnvironmentValue, ExplicitRequest, PackageManager};

use super::support::{broken, files, fresh, item, lines, manifest, names, with_api};

#[test]
fn an_item_is_a_directory_with_a_manifest_and_all_files_below_it() {
    let builder = with_api(MemorySnapshot::builder(), "content/team/Penguins API")
        .program("content/team/Penguins API/run.sh", "")
        .file("content/team/README.md", "about the team");
    let desired = fresh(&builder);
    let found = item(&desired, "team/Penguins API");
    assert_eq!(desired.diagnostics.0, []);
    assert_eq!(&*found.directory, "content/team/Penguins API");
    assert_eq!(found.manifest.appmode, Appmode::PythonFastapi);
    let paths: Vec<_> = found.files.iter().map(|file| (&*file.path, file.executable)).collect();
    assert_eq!(paths, [("app.py", false), ("manifest.json", false), ("requirements.txt", false), ("run.sh", true)]);
    let module = Entrypoint::Module { module: "app".to_owned(), object: None };
    assert_eq!(found.manifest.entrypoint, Some(module));
    assert_eq!(found.package_files["requirements.txt"], "fastapi\n");
    let place = found.demands.languages.values().next().and_then(|demand| demand.place.clone());
    assert_eq!(place.unwrap().to_string(), "content/team/Penguins API/manifest.json:1:102");
}

#[test]
fn nested_items_split_and_the_root_has_a_name() {
    let root = manifest("static", "", "");
    let builder = with_api(MemorySnapshot::builder().file("manifest.json", &root).file("index.html", ""), "apps/inner");
    let desired = fresh(&builder);
    assert_eq!(names(&desired), ["apps/inner", "root"]);
    assert_eq!(item(&desired, "root").files.len(), 2);
    let desired = fresh(&builder.clone().file("wharf.yaml", "root_item: site\n"));
    assert_eq!(names(&desired), ["apps/inner", "site"]);
    let desired = fresh(&builder.file("content/x", "").file("wharf.yaml", "content:\n  paths: ['apps/**']\n"));
    assert_eq!(names(&desired), ["inner"]);
    assert!(lines(&desired.diagnostics.0).join("\n").contains("N0601"));
}

#[test]
fn two_directories_of_one_name_are_both_left_alone() {
    let builder = with_api(MemorySnapshot::builder().file("manifest.json", manifest("static", "", "")), "root");
    let desired = fresh(&builder);
    assert_eq!((names(&desired), broken(&desired)), (vec![], vec!["root"]));
}

#[test]
fn one_id_belongs_to_one_item() {
    let builder = with_api(with_api(MemorySnapshot::builder(), "content/a"), "content/b")
        .file("content/a/content.yaml", "id: penguins\n")
        .file("content/b/content.yaml", "id: penguins\n");
    let desired = fresh(&builder);
    assert_eq!((names(&desired), broken(&desired)), (vec![], vec!["a", "b"]));
    let desired = fresh(&builder.without("content/b/content.yaml"));
    assert_eq!(item(&desired, "a").settings.id.as_deref(), Some("penguins"));
}

/// The entrypoint of one item with these files; `None` where the item is refused.
fn entrypoint(appmode: &str, metadata: &str, paths: &[&str]) -> Option<String> {
    let mut builder = MemorySnapshot::builder().file("content/x/manifest.json", manifest(appmode, metadata, ""));
    for path in paths {
        builder = builder.file(format!("content/x/{path}"), "");
    }
    let desired = fresh(&builder);
    let found = desired.items.values().next()?;
    Some(match found.manifest.entrypoint.as_ref()? {
        Entrypoint::Module { module, object } => format!("{module}:{}", object.as_deref().unwrap_or("?")),
        Entrypoint::File { path } => path.clone(),
        Entrypoint::Directory => "/".to_owned(),
    })
}

#[test]
fn what_starts_an_item_is_found_in_every_spelling() {
    for (appmode, metadata, paths, expected) in [
        ("python-api", r#", "entrypoint": "app""#, vec!["app.py"], Some("app:?")),
        ("python-api", r#", "entrypoint": "app.py""#, vec!["app.py"], Some("app:?")),
        ("python-fastapi", r#", "entrypoint": "src.main:api""#, vec!["src/main.py"], Some("src.main:api")),
        ("python-fastapi", r#", "entrypoint": "src/main.py:api""#, vec!["src/main.py"], Some("src.main:api")),
        ("python-dash", r#", "entrypoint": "pkg""#, vec!["pkg/__init__.py"], Some("pkg:?")),
        ("python-dash", r#", "entrypoint": " ""#, vec!["main.py", "x.py"], Some("main:?")),
        ("python-dash", "", vec!["only.py"], Some("only:?")),
        ("python-dash", "", vec!["one.py", "two.py"], None),
        ("python-api", r#", "entrypoint": "missing:app""#, vec!["app.py"], None),
        ("python-api", r#", "entrypoint": "../app""#, vec!["app.py"], None),
        (
            "python-shiny",
            r#", "entrypoint": "shiny.express.app:app_2e_py""#,
            vec!["app.py"],
            Some("shiny.express.app:app_2e_py"),
        ),
        ("python-shiny", r#", "entrypoint": "shiny.express.app:other_2e_py""#, vec!["app.py"], None),
        ("python-streamlit", r#", "entrypoint": "app""#, vec!["app.py"], Some("app.py")),
        ("python-streamlit", r#", "entrypoint": "src/run.py""#, vec!["src/run.py"], Some("src/run.py")),
        ("python-bokeh", r#", "entrypoint": "main""#, vec!["main.py"], Some("main.py")),
        ("python-gradio", r#", "entrypoint": "app:demo""#, vec!["app.py"], Some("app.py")),
        ("jupyter-static", r#", "entrypoint": "b.ipynb""#, vec!["a.ipynb", "b.ipynb"], Some("b.ipynb")),
        ("jupyter-static", "", vec!["b.ipynb", "a.ipynb"], Some("a.ipynb")),
        ("jupyter-voila", r#", "entrypoint": """#, vec!["b.ipynb", "a.ipynb"], Some("/")),
        ("jupyter-voila", "", vec!["a.ipynb"], Some("a.ipynb")),
        ("rmd-static", r#", "primary_rmd": "report.Rmd""#, vec!["report.Rmd", "x.Rmd"], Some("report.Rmd")),
        ("rmd-static", r#", "primary_rmd": "report.Rmd""#, vec!["x.Rmd"], None),
        ("rmd-shiny", r#", "primary_rmd": null"#, vec!["index.Rmd", "x.Rmd"], Some("index.Rmd")),
        ("quarto-static", "", vec!["_quarto.yml", "a.qmd"], Some("/")),
        ("quarto-static", "", vec!["a.qmd", "README.md"], Some("a.qmd")),
        ("quarto-shiny", "", vec![], None),
        ("static", r#", "primary_html": "doc/a.html""#, vec!["doc/a.html"], Some("doc/a.html")),
        ("static", "", vec!["index.html", "b.html"], Some("index.html")),
        ("static", "", vec!["data.csv"], Some("/")),
        ("static", r#", "primary_html": "gone.html""#, vec!["index.html"], None),
        ("shiny", "", vec!["app.R"], Some("/")),
        ("shiny", "", vec!["server.r", "ui.R"], Some("/")),
        ("shiny", "", vec!["ui.R"], None),
        ("api", "", vec!["plumber.R"], Some("plumber.R")),
        ("api", "", vec!["_server.yml"], Some("_server.yml")),
        ("api", "", vec!["R/plumber.R"], None),
        ("nodejs-api", r#", "entrypoint": "src/index""#, vec!["src/index.js"], Some("src/index.js")),
        ("nodejs", "", vec!["server.mjs"], Some("server.mjs")),
        ("tensorflow-saved-model", "", vec!["1/saved_model.pb"], Some("/")),
        ("tensorflow-saved-model", "", vec!["model.h5"], None),
    ] {
        assert_eq!(entrypoint(appmode, metadata, &paths).as_deref(), expected, "{appmode} {metadata} {paths:?}");
    }
}

#[test]
fn settings_join_the_manifest_and_the_policy() {
    let builder = with_api(MemorySnapshot::builder(), "content/a")
        .file("wharf.yaml", "defaults: {title: T, env: {A: '1', B: '2'}, min_processes: 2}\n")
        .file("content/a/content.yaml", "title: Own\nenv: {B: '3'}\nenvironment: ghcr.io/example/py:3.12\n");
    let desired = fresh(&builder);
    let found = item(&desired, "a");
    assert_eq!((found.settings.title.as_deref(), found.settings.min_processes), (Some("Own"), Some(2)));
    let values: Vec<_> = found.settings.env.values().cloned().collect();
    assert_eq!(values, ["1", "3"].map(|value| EnvironmentValue::Plain(value.to_owned())));
    let image = "ghcr.io/example/py:3.12".parse().unwrap();
    assert_eq!(found.demands.explicit, Some(ExplicitRequest::Image(image)));
    let place = found.demands.explicit_place.as_ref().unwrap().to_string();
    assert_eq!(place, "content/a/content.yaml:3:14");
}

#[test]
fn the_manifests_environment_wins() {
    let fields = r#", "environment": {"image": "ghcr.io/example/own:1", "environment_management": {"python": false}}"#;
    let desired = files(&[
        ("content/a/manifest.json", &manifest("python-api", "", fields)),
        ("content/a/app.py", ""),
        ("content/a/content.yaml", "environment: ghcr.io/example/other:1\n"),
    ]);
    let found = item(&desired, "a");
    let image = "ghcr.io/example/own:1".parse().unwrap();
    assert_eq!(found.demands.explicit, Some(ExplicitRequest::Image(image)));
    assert_eq!(found.manifest.python_management, Some(false));
}

#[test]
fn package_files_come_with_all_they_include() {
    let fields = r#", "python": {"version": "3.12", "package_manager": {"name": "uv", "package_file": "requirements/prod.txt"}}"#;
    let desired = files(&[
        ("content/a/manifest.json", &manifest("python-api", "", fields)),
        ("content/a/app.py", ""),
        ("content/a/requirements/prod.txt", "-r base.txt\n-c ../constraints.txt # pins\nflask\n"),
        ("content/a/requirements/base.txt", "-r prod.txt\nrequests\n"),
        ("content/a/constraints.txt", "flask<4\n"),
        ("content/a/other.txt", "x\n"),
    ]);
    let found = item(&desired, "a");
    let keys: Vec<_> = found.package_files.keys().map(String::as_str).collect();
    assert_eq!(keys, ["constraints.txt", "requirements/base.txt", "requirements/prod.txt"]);
    let packages = found.manifest.python_packages.as_ref().unwrap();
    assert_eq!((packages.path.as_str(), packages.manager), ("requirements/prod.txt", Some(PackageManager::Uv)));
}

#[test]
fn r_packages_are_those_of_the_lock_or_of_the_manifest() {
    let packages = r#", "platform": "4.4.1", "packages": {"plumber": {"Source": "CRAN", "Repository": "https://cran.example", "description": {"Version": "1.2.2", "Built": "here and now"}}}"#;
    let mut tree =
        vec![("content/a/manifest.json", manifest("api", "", packages)), ("content/a/plumber.R", String::new())];
    let read = |tree: &[(&str, String)]| {
        let tree: Vec<(&str, &str)> = tree.iter().map(|(path, text)| (*path, text.as_str())).collect();
        item(&files(&tree), "a").package_files.as_ref().clone()
    };
    let expected =
        r#"{"plumber":{"Package":"plumber","Repository":"https://cran.example","Source":"CRAN","Version":"1.2.2"}}"#;
    assert_eq!(read(&tree)["manifest.json#packages"], expected);
    tree.push(("content/a/renv.lock", "{}".to_owned()));
    assert_eq!(read(&tree).into_iter().collect::<Vec<_>>(), [("renv.lock".to_owned(), "{}".to_owned())]);
}

#[test]
fn links_inside_an_item_become_copies() {
    let builder = with_api(MemorySnapshot::builder(), "content/a").symlink("content/a/lib/main.py", "../app.py");
    let desired = fresh(&builder);
    let found = item(&desired, "a");
    let blob = |path: &str| found.files.iter().find(|file| &*file.path == path).map(|file| file.blob);
    assert!(blob("app.py").is_some());
    assert_eq!(blob("lib/main.py"), blob("app.py"));
}

#[test]
fn sums_are_compared_only_when_asked() {
    let listed = r#", "files": {"app.py": {"checksum": "d41d8cd98f00b204e9800998ecf8427e"}, "b.py": {"checksum": "x"}, "c.py": {"checksum": "y"}}"#;
    let builder = MemorySnapshot::builder()
        .file("content/a/manifest.json", manifest("python-api", "", listed))
        .file("content/a/app.py", "")
        .file("content/a/b.py", "")
        .file("content/a/c.py", "");
    let desired = fresh(&builder);
    assert_eq!(desired.diagnostics.0, []);
    let note = wharf::desired::check_sums(&builder.build(), item(&desired, "a")).unwrap();
    assert_eq!(note.message, "2 files differ from their checksums in the manifest, the first is \"b.py\"");
}

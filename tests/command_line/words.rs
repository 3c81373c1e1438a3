//! Help texts, wrong usage and settings: what the program says before it does anything.

use super::support::Home;

#[test]
fn help_says_what_there_is() {
    let home = Home::new();
    insta::assert_snapshot!(home.wharf(&["-h"]).out);
    for command in ["validate", "explain", "diff", "apply"] {
        insta::assert_snapshot!(format!("help_{command}"), home.wharf(&[command, "-h"]).out);
    }
}

#[test]
fn wrong_usage_is_exit_code_2() {
    let home = Home::new();
    for arguments in [
        &["frobnicate"][..],
        &["validate", "--repo", "-oProxyCommand=x"],
        &["validate", "--interval", "soon"],
        &["validate", "--output", "yaml"],
        &["validate", "--log", "wharf=loud"],
        &["diff", "--from", "main", "--against", "empty"],
        &["suspend"],
        &["run"],
        &["run", "--repo", ".", "--executor", "kubernetes"],
        &["apply", "--repo", ".", "--registry", "postgres"],
    ] {
        let said = home.wharf(arguments);
        assert_eq!(said.code, 2, "{arguments:?}: {}{}", said.out, said.err);
        assert!(said.err.contains("error"), "{arguments:?}: {}", said.err);
    }
}

#[test]
fn refusals_say_what_to_do() {
    let home = Home::with_repository();
    home.write("wharf-config.yaml", "repo: repository\nports: 1-2\n");
    let said = [
        home.wharf(&["run"]),
        home.wharf(&["run", "--repo", "repository", "--executor", "kubernetes"]),
        home.wharf(&["validate", "--config", "absent.yaml"]),
        home.wharf(&["validate", "--config", "wharf-config.yaml"]),
        home.wharf(&["validate"]),
        home.wharf(&["validate", "--repo", "repository", "--ref", "mian"]),
        home.wharf(&["validate", "--repo", "repository", "--output", "markdown"]),
        home.wharf(&["explain", "--repo", "repository", "--executor", "kubernetes", "wellcome"]),
        home.wharf(&["init", "repository"]),
    ];
    let said: Vec<String> = said.iter().map(|said| home.settled(&said.err)).collect();
    insta::assert_snapshot!(said.join("\n"));
}

#[test]
fn a_flag_is_stronger_than_the_environment_and_that_than_the_file() {
    let home = Home::with_repository();
    home.write("config.yaml", "repo: nowhere\nexecutor: kubernetes\n");
    let mut command = home.command(&["explain", "--config", "config.yaml", "--output", "json"]);
    let by_environment = command.env("WHARF_REPO", "repository").output().unwrap();
    assert_eq!(by_environment.status.code(), Some(0), "{}", String::from_utf8_lossy(&by_environment.stderr));
    let mut command = home.command(&["explain", "--config", "config.yaml", "--repo", "repository", "--output", "json"]);
    let by_flag = command.env("WHARF_REPO", "elsewhere").output().unwrap();
    assert_eq!(by_flag.stdout, by_environment.stdout);
    let by_file = home.wharf(&["explain", "--config", "config.yaml"]);
    assert!(by_file.code == 1 && by_file.err.contains("nowhere"), "{}", by_file.err);
}

#[test]
fn the_documented_configuration_file_is_read() {
    let home = Home::with_repository();
    let page = include_str!("../../docs/commands.md");
    let block =
        page.split("```yaml\n").find(|part| part.starts_with("repo:")).and_then(|part| part.split("```").next());
    let example: Vec<&str> = block.into_iter().flat_map(str::lines).collect();
    assert!(example.len() > 15, "{example:?}");
    home.write("config.yaml", &example.join("\n"));
    let said = home.read(&["explain", "--config", "config.yaml", "--ref", "main", "--executor", "kubernetes"]);
    // The example allows other images than the one that `wharf init` writes; the settings themselves are read.
    assert!(said.err.is_empty() && said.out.contains("hello-api"), "{}{}", said.out, said.err);
}

#[test]
fn completions_know_the_commands() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = home.wharf(&["completions", shell]).out;
        assert!(script.contains("environments") && !script.contains("hidden"), "{shell}");
    }
}

#[test]
fn schemas_are_written_and_printed_alike() {
    let home = Home::new();
    std::fs::create_dir(home.path("schemas")).unwrap();
    assert_eq!(home.wharf(&["schema", "--all", "schemas"]).code, 0);
    let mut names: Vec<String> = std::fs::read_dir(home.path("schemas"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert!(names.contains(&"plan.v1.json".to_owned()), "{names:?}");
    for name in names {
        let form = name.strip_suffix(".v1.json").unwrap();
        let written = std::fs::read_to_string(home.path("schemas").join(&name)).unwrap();
        assert_eq!(written, home.wharf(&["schema", form]).out, "{form}");
        let committed = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas").join(&name);
        let committed = std::fs::read_to_string(committed).unwrap_or_default();
        assert_eq!(written, committed, "schemas/{name} is out of date; run: make schemas");
    }
}

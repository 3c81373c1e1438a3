//! Every appmode, with its real server: it becomes ready and answers. The packages are built once, by a session.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use wharf::session::Complete;
use wharf::session::protocol::{
    Backends, Forward, Install, Installer, Outcome, Phase, Render, SessionEntrypoint, SessionJob, Work,
};

use crate::harness::{self, Session, bundle, directory, get, job, run, until};

/// Everything at once: one environment costs far less than ten. The servers are the pins that builds add.
fn packages() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let frameworks = "flask\nfastapi\ndash\nstreamlit\nbokeh\npanel\ngradio\nshiny\nuv\n";
        let modes = wharf::model::Appmode::ALL.iter().flat_map(|mode| wharf::model::server_packages(*mode));
        let pins: std::collections::BTreeSet<_> = modes.copied().collect();
        harness::environment(&format!("{frameworks}{}\n", pins.into_iter().collect::<Vec<_>>().join("\n")))
    })
}

fn serve(directory: &Path, appmode: &str, file: &str, text: &str) -> SessionJob {
    let bundle = bundle(directory, &[(file, text)]);
    let mut run = run(&bundle, appmode, file);
    run.packages.insert("python".to_owned(), packages().to_owned());
    job(&format!("run-{appmode}"), Work::Run(run))
}

/// Starts an item and waits for an answer that holds `expected`. Some servers accept before their pages are there.
fn answers(appmode: &str, file: &str, text: &str, path: &str, expected: &str) {
    let directory = directory();
    let session = Session::start(directory.path(), &serve(directory.path(), appmode, file, text));
    let address = session.ready();
    let mut last = String::new();
    let answer = until(&format!("an answer of {appmode} with {expected:?}"), || {
        let (status, answer) = get(address, path).ok()?;
        last.clone_from(&answer);
        (status == 200 && answer.contains(expected)).then_some(answer)
    });
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let exit = session.stop();
    assert_eq!(exit.outcome, Outcome::Stopped, "{exit:#?}");
    assert_eq!(exit.reason, "was asked to stop and did");
}

const FLASK: &str = "import flask\n\ndef create_app():\n    app = flask.Flask(__name__)\n    app.route('/')(lambda: 'a penguin')\n    return app\n";
const FASTAPI: &str =
    "import fastapi\n\napp = fastapi.FastAPI()\n\n@app.get('/')\ndef root():\n    return {'bird': 'penguin'}\n";

#[test]
fn flask_factory_by_discovery() {
    answers("python-api", "app.py", FLASK, "/", "a penguin");
}

#[test]
fn wsgi_object_by_name() {
    let directory = directory();
    let text =
        "def greet(environ, start_response):\n    start_response('200 OK', [])\n    return [b'a named penguin']\n";
    let mut job = serve(directory.path(), "python-api", "birds/web.py", text);
    if let Work::Run(run) = &mut job.work {
        run.entrypoint = SessionEntrypoint::Module { module: "birds.web".to_owned(), object: Some("greet".to_owned()) };
    }
    let session = Session::start(directory.path(), &job);
    assert!(get(session.ready(), "/").unwrap().1.ends_with("a named penguin"));
    session.stop();

    if let Work::Run(run) = &mut job.work {
        run.entrypoint =
            SessionEntrypoint::Module { module: "birds.web".to_owned(), object: Some("absent".to_owned()) };
    }
    let exit = Session::start(directory.path(), &job).exit();
    let expected = "the module birds.web has no object absent: check the item's entrypoint";
    assert!(exit.reason.ends_with(expected), "{}", exit.reason);
}

#[test]
fn a_request_under_way_is_answered_before_the_end() {
    for (appmode, text) in [
        (
            "python-api",
            "import flask, os, time\n\napp = flask.Flask(__name__)\n\n@app.route('/')\ndef root():\n    WAIT\n",
        ),
        (
            "python-fastapi",
            "import fastapi, os, time\n\napp = fastapi.FastAPI()\n\n@app.get('/')\ndef root():\n    WAIT\n",
        ),
    ] {
        let directory = directory();
        let wait = "open('asked', 'w').close()\n    while not os.path.exists('go'):\n        time.sleep(0.01)\n    return 'a late penguin'";
        let session =
            Session::start(directory.path(), &serve(directory.path(), appmode, "app.py", &text.replace("WAIT", wait)));
        let address = session.ready();
        let visitor = std::thread::spawn(move || get(address, "/"));
        let app = session.directory.join("app");
        until("the question", || app.join("asked").exists().then_some(()));
        session.signal(nix::sys::signal::Signal::SIGTERM);
        session.wait("stopping", |state| state.phase == Phase::Stopping);
        fs::write(app.join("go"), "").unwrap();
        let (status, answer) = visitor.join().unwrap().unwrap();
        assert!(status == 200 && answer.contains("a late penguin"), "{appmode}: {answer}");
        assert_eq!(session.exit().outcome, Outcome::Stopped);
    }
}

/// uv installs as pip does; it comes with the shared packages.
#[test]
fn uv_builds_what_pip_builds() {
    let directory = directory();
    let path = directory.path().join("key");
    let mut work = harness::build(&path, "flask\n");
    let Install::Python(install) = &mut work.install;
    install.installer = Installer::Uv;
    install.uv = Some(packages().join("bin/uv"));
    work.cache_dir = directory.path().join("cache");
    let session = Session::start(directory.path(), &job("build-uv", Work::Build(work.clone())));
    let exit = session.exit();
    assert_eq!(exit.outcome, Outcome::Succeeded, "{exit:#?}");
    let complete = Complete::read(&path).unwrap().unwrap();
    assert!(complete.packages.iter().any(|package| package.starts_with("flask ")), "{complete:#?}");

    let Install::Python(install) = &mut work.install;
    install.requirements = "--no-index\nwharf-has-no-such-package==9\n".to_owned();
    work.path = directory.path().join("other");
    let exit = Session::start(directory.path(), &job("build-uv-bad", Work::Build(work))).exit();
    assert!(exit.reason.contains("wharf-has-no-such-package"), "{exit:#?}");
}

#[test]
fn fastapi() {
    answers("python-fastapi", "main.py", FASTAPI, "/", r#"{"bird":"penguin"}"#);
}

#[test]
fn dash() {
    let text = "import dash\n\napp = dash.Dash(__name__, title='penguins')\napp.layout = dash.html.Div('a penguin')\n";
    answers("python-dash", "app.py", text, "/_dash-layout", "a penguin");
}

#[test]
fn streamlit() {
    answers("python-streamlit", "app.py", "import streamlit\nstreamlit.title('penguins')\n", "/_stcore/health", "ok");
}

#[test]
fn bokeh() {
    let text = "from bokeh.plotting import curdoc, figure\ncurdoc().title = 'penguins'\ncurdoc().add_root(figure())\n";
    answers("python-bokeh", "app.py", text, "/app", "<title>penguins</title>");
}

#[test]
fn panel() {
    let text = "import panel\npanel.pane.Markdown('# A penguin').servable(title='penguins')\n";
    answers("python-panel", "app.py", text, "/app", "<title>penguins</title>");
}

#[test]
fn shiny() {
    let text = "from shiny import App, ui\n\napp = App(ui.page_fluid(ui.h1('a penguin')), None)\n";
    answers("python-shiny", "app.py", text, "/", "a penguin");
}

#[test]
fn gradio() {
    let text = "import gradio\n\ngradio.Interface(lambda name: name, 'text', 'text', title='penguins').launch()\n";
    answers("python-gradio", "app.py", text, "/", "penguins");
}

/// Interactive pages live by WebSockets, and people reach them by a name that no server here knows.
#[test]
fn websockets_pass_through_the_forwarder() {
    let shiny = "from shiny import App, ui\n\napp = App(ui.page_fluid(), None)\n";
    let bokeh = "from bokeh.plotting import curdoc, figure\ncurdoc().add_root(figure())\n";
    for (appmode, text, page, socket) in [
        ("python-streamlit", "import streamlit\n", "/_stcore/health", "/_stcore/stream"),
        ("python-shiny", shiny, "/", "/websocket/"),
        ("python-bokeh", bokeh, "/app", "/app/ws"),
    ] {
        let directory = directory();
        let session = Session::start(directory.path(), &serve(directory.path(), appmode, "app.py", text));
        let forward = Forward { title: "Penguins".to_owned(), address: harness::LOCALHOST, port: 0 };
        let forwarder = Session::start(directory.path(), &job("forward-penguins", Work::Forward(forward)));
        Backends { backends: vec![session.ready()] }.write(&forwarder.directory).unwrap();
        let address = forwarder.ready();
        let answer = until("the page", || get(address, page).ok().filter(|(status, _)| *status == 200)).1;
        // Bokeh hands out a token with its page.
        let token = answer.split(r#""token":""#).nth(1).and_then(|rest| rest.split('"').next());
        let protocols = token.map(|token| format!("bokeh, {token}")).unwrap_or_default();
        assert_eq!(harness::upgrade(address, socket, "penguins.example", &protocols), 101, "{appmode}");
    }
}

/// A notebook with one cell of code.
fn notebook(code: &str) -> String {
    serde_json::json!({
        "nbformat": 4, "nbformat_minor": 5,
        // Not the name of a kernel that is installed.
        "metadata": {"kernelspec": {"name": "birds", "display_name": "Birds", "language": "python"}},
        "cells": [{"cell_type": "code", "id": "one", "metadata": {}, "execution_count": null, "outputs": [], "source": code}],
    })
    .to_string()
}

#[test]
fn voila() {
    answers("jupyter-voila", "birds.ipynb", &notebook("print(6 * 7, 'penguins')"), "/", "42 penguins");
}

fn render(directory: &Path, code: &str) -> (SessionJob, PathBuf) {
    let bundle = bundle(directory, &[("birds.ipynb", &notebook(code))]);
    let output = directory.join("results/penguins/first");
    let work = Render {
        title: "Penguins".to_owned(),
        bundle,
        appmode: "jupyter-static".to_owned(),
        entrypoint: SessionEntrypoint::File { path: "birds.ipynb".to_owned() },
        packages: [("python".to_owned(), packages().to_owned())].into(),
        output: output.clone(),
        timeout_seconds: Some(120),
    };
    (job("render-penguins", Work::Render(work)), output)
}

#[test]
fn a_notebook_is_rendered_once() {
    let directory = directory();
    let (job, output) = render(directory.path(), "print(6 * 7, 'penguins')");
    let exit = Session::start(directory.path(), &job).exit();
    assert_eq!((exit.outcome, exit.reason.as_str()), (Outcome::Succeeded, "rendered"), "{exit:#?}");
    assert!(fs::read_to_string(output.join("index.html")).unwrap().contains("42 penguins"));
    assert_eq!(fs::read_dir(output.parent().unwrap()).unwrap().count(), 1, "nothing half-made stays");

    let exit = Session::start(directory.path(), &job).exit();
    assert_eq!((exit.outcome, exit.reason.as_str()), (Outcome::Succeeded, "had been rendered already"));
}

#[test]
fn a_notebook_that_fails_leaves_no_result() {
    let directory = directory();
    let (job, output) = render(directory.path(), "raise ValueError('no penguins here')");
    let exit = Session::start(directory.path(), &job).exit();
    assert_eq!(exit.outcome, Outcome::Failed);
    assert_eq!(exit.reason, "ended with exit code 1: ValueError: no penguins here", "{exit:#?}");
    assert!(!output.exists());
}

#[test]
fn a_render_may_take_too_long() {
    let directory = directory();
    let (mut job, output) = render(directory.path(), "import signal\nsignal.pause()");
    if let Work::Render(render) = &mut job.work {
        render.timeout_seconds = Some(1);
    }
    let exit = Session::start(directory.path(), &job).exit();
    assert_eq!(
        (exit.outcome, exit.reason.as_str()),
        (Outcome::Failed, "rendering took longer than the 1 s that it may, and was ended")
    );
    assert!(!output.exists());
}

//! How Python content starts. The pinned servers that go with it are `model::server_packages`.

use super::{Mode, Role, Table};

/// Python's appmodes.
///
/// Bokeh and Panel are told to accept WebSockets of any origin: the address people use is a proxy's, which nobody here
/// knows, and the item listens on the loopback address or inside its pod.
pub(super) const TABLE: Table = Table {
    language: "python",
    interpreter: "bin/python",
    extension: "py",
    helper: ("serve.py", include_str!("serve.py")),
    modes: &[
        Mode {
            appmode: "python-api",
            role: Role::Serve,
            arguments: &["{helper}", "wsgi", "{module}", "{object}", "{address}", "{port}"],
            variables: &[],
        },
        Mode {
            appmode: "python-fastapi",
            role: Role::Serve,
            arguments: &["{helper}", "asgi", "{module}", "{object}", "{address}", "{port}"],
            variables: &[],
        },
        Mode {
            appmode: "python-dash",
            role: Role::Serve,
            arguments: &["{helper}", "dash", "{module}", "{object}", "{address}", "{port}"],
            variables: &[],
        },
        Mode {
            appmode: "python-streamlit",
            role: Role::Serve,
            arguments: &["-m", "streamlit", "run", "{file}", "--server.address={address}", "--server.port={port}"],
            variables: &[
                ("STREAMLIT_SERVER_HEADLESS", "true"),
                ("STREAMLIT_SERVER_FILE_WATCHER_TYPE", "none"),
                ("STREAMLIT_BROWSER_GATHER_USAGE_STATS", "false"),
                ("STREAMLIT_GLOBAL_DEVELOPMENT_MODE", "false"),
            ],
        },
        Mode {
            appmode: "python-bokeh",
            role: Role::Serve,
            arguments: &[
                "-m",
                "bokeh",
                "serve",
                "{file}",
                "--address={address}",
                "--port={port}",
                "--allow-websocket-origin=*",
            ],
            variables: &[],
        },
        Mode {
            appmode: "python-shiny",
            role: Role::Serve,
            arguments: &["-m", "shiny", "run", "--host={address}", "--port={port}", "{file}"],
            variables: &[],
        },
        Mode {
            appmode: "python-gradio",
            role: Role::Serve,
            arguments: &["{file}"],
            variables: &[
                ("GRADIO_SERVER_NAME", "{address}"),
                ("GRADIO_SERVER_PORT", "{port}"),
                ("GRADIO_ANALYTICS_ENABLED", "False"),
            ],
        },
        Mode {
            appmode: "python-panel",
            role: Role::Serve,
            arguments: &[
                "-m",
                "panel",
                "serve",
                "{file}",
                "--address={address}",
                "--port={port}",
                "--allow-websocket-origin=*",
            ],
            variables: &[],
        },
        Mode {
            appmode: "jupyter-voila",
            role: Role::Serve,
            arguments: &[
                "-m",
                "voila",
                "{file}",
                "--no-browser",
                "--port={port}",
                "--Voila.ip={address}",
                "--Voila.port_retries=0",
            ],
            variables: &[],
        },
        Mode {
            appmode: "jupyter-static",
            role: Role::Render,
            // The kernel a notebook names is its author's; here there is one, of the package environment.
            arguments: &[
                "-m",
                "nbconvert",
                "--to=html",
                "--execute",
                "--ExecutePreprocessor.kernel_name=python3",
                "--output-dir={output}",
                "--output=index.html",
                "{file}",
            ],
            variables: &[],
        },
    ],
};

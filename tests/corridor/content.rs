//! Items for tests, as people would commit them: pages, and small servers that need few packages or none.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use crate::git::Repo;

/// Answers every request with `TEXT`, by the standard library alone: its appmode brings no server, so nothing is built.
const PLAIN_APP: &str = r#"import http.server
import os


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        answer = b"TEXT"
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 64


Server(("127.0.0.1", int(os.environ["GRADIO_SERVER_PORT"])), Handler).serve_forever()
"#;

/// An ASGI application without a framework: only the server is installed.
const ASGI_APP: &str = r#"async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"TEXT"})
"#;

/// Ends at once, and says why.
const BROKEN_APP: &str = "raise SystemExit('the tide is out')\n";

fn manifest(appmode: &str, more: &str) -> String {
    format!(
        "{{\n  \"version\": 1,\n  \"metadata\": {{\"appmode\": \"{appmode}\", {more}}},\n  \
         \"environment\": {{\"python\": {{\"requires\": \">=3.9\"}}}},\n  \
         \"python\": {{\"version\": \"3.12.0\", \"package_manager\": {{\"name\": \"pip\", \"package_file\": \
         \"requirements.txt\"}}}}\n}}\n"
    )
}

/// A page of static files.
pub fn write_page(repo: &Repo, item: &str, text: &str) {
    let manifest = "{\"version\": 1, \"metadata\": {\"appmode\": \"static\", \"primary_html\": \"index.html\"}}\n";
    repo.write(&format!("content/{item}/manifest.json"), manifest);
    repo.write(&format!("content/{item}/index.html"), text);
}

/// A server that needs no packages.
pub fn write_app(repo: &Repo, item: &str, text: &str) {
    write_python(repo, item, "python-gradio", "app.py", "", &PLAIN_APP.replace("TEXT", text));
}

/// A FastAPI-like item whose server the build adds, with requirements of its own.
pub fn write_api(repo: &Repo, item: &str, requirements: &str, text: &str) {
    write_python(repo, item, "python-fastapi", "app:app", requirements, &ASGI_APP.replace("TEXT", text));
}

/// An item that ends as soon as it starts.
pub fn write_broken_app(repo: &Repo, item: &str) {
    write_python(repo, item, "python-gradio", "app.py", "", BROKEN_APP);
}

fn write_python(repo: &Repo, item: &str, appmode: &str, entrypoint: &str, requirements: &str, program: &str) {
    let manifest = manifest(appmode, &format!("\"entrypoint\": \"{entrypoint}\""));
    repo.write(&format!("content/{item}/manifest.json"), &manifest);
    repo.write(&format!("content/{item}/requirements.txt"), requirements);
    repo.write(&format!("content/{item}/app.py"), program);
}

/// A Python of this host that can make virtual environments, as the path of the program itself (pyenv's are shims).
pub fn python() -> &'static PathBuf {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| {
        let names = ["python3", "python3.12", "python3.11", "python3.13", "python3.10"];
        let ask = "import sys, venv, ensurepip; assert sys.version_info >= (3, 10); print(sys.executable)";
        let found = names.iter().find_map(|name| {
            let output = Command::new(name).args(["-c", ask]).output().ok()?;
            output.status.success().then(|| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
        });
        found.expect("these tests need a CPython from 3.10 on with venv and ensurepip on the PATH")
    })
}

/// Commits everything that was written.
pub fn commit(repo: &Repo, message: &str) -> String {
    repo.git(&["add", "--all"]);
    repo.git(&["commit", "--quiet", "--allow-empty", "--message", message]);
    repo.id("HEAD").to_string()
}

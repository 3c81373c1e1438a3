//! What starts an item, found from its manifest and its files (formats.md, "manifest.json"). How it is started: the session.

use super::{ENTRYPOINT, Keys, Reader};
use crate::desired::source_text::quoted;
use crate::model::{Appmode, Code, Entrypoint};

/// Nothing shows which page of static files comes first.
pub const NO_INDEX: Code = Code::new("W0305");

const FIELD: Keys<'static> = &["metadata", "entrypoint"];
const RMD: Keys<'static> = &["metadata", "primary_rmd"];
const HTML: Keys<'static> = &["metadata", "primary_html"];

/// What starts the item. Where it cannot be found an error is recorded.
pub fn entrypoint(reader: &mut Reader<'_>, appmode: Appmode) -> Option<Entrypoint> {
    match appmode {
        Appmode::PythonApi | Appmode::PythonFastapi | Appmode::PythonDash | Appmode::PythonShiny => module(reader),
        Appmode::PythonStreamlit | Appmode::PythonBokeh | Appmode::PythonGradio | Appmode::PythonPanel => {
            script(reader)
        }
        Appmode::JupyterStatic | Appmode::JupyterVoila => notebook(reader, appmode),
        Appmode::RmdStatic | Appmode::RmdShiny => document(reader, &["Rmd", "rmd"], false),
        Appmode::QuartoStatic | Appmode::QuartoShiny => {
            document(reader, &["qmd", "Rmd", "rmd", "ipynb", "md", "R", "r", "py"], true)
        }
        Appmode::Static => page(reader),
        Appmode::Shiny => shiny(reader),
        Appmode::Api => plumber(reader),
        Appmode::Nodejs => node(reader),
        Appmode::TensorflowSavedModel => model(reader),
    }
}

/// Records that nothing starts the item.
fn missing(reader: &mut Reader<'_>, keys: Keys<'_>, expected: &str, found: &str) -> Option<Entrypoint> {
    let message = format!("expected {expected}, found {found}");
    reader.error(ENTRYPOINT, keys, message, "commit the file, or correct the manifest");
    None
}

/// A named file must be tracked.
fn file(reader: &mut Reader<'_>, keys: Keys<'_>, path: String) -> Option<Entrypoint> {
    if reader.has(&path) {
        return Some(Entrypoint::File { path });
    }
    let expected = format!("the file {} that {} names", quoted(&path), keys.join("."));
    missing(reader, keys, &expected, "no such file in the item")
}

/// `module`, `module.py`, `package/module.py` or `module:object`.
fn module(reader: &mut Reader<'_>) -> Option<Entrypoint> {
    let Some(text) = reader.text(FIELD) else {
        let name = default_script(reader)?;
        let module = name.trim_end_matches(".py").to_owned();
        return Some(Entrypoint::Module { module, object: None });
    };
    let (module, object) = match text.split_once(':') {
        Some((module, object)) => (module.trim(), Some(object.trim()).filter(|object| !object.is_empty())),
        None => (text, None),
    };
    let word = |text: &str| !text.is_empty() && text.chars().all(|letter| letter.is_alphanumeric() || letter == '_');
    let object_is_name = object.is_none_or(|object| object.trim_end_matches("()").split('.').all(word));
    let path = super::plain_path(module.strip_suffix(".py").unwrap_or(module));
    let Some(path) = path.filter(|_| object_is_name) else {
        let found = quoted(text);
        return missing(reader, FIELD, "metadata.entrypoint to be module, module.py or module:object", &found);
    };
    let dotted = path.replace('/', ".");
    if module_file(reader, &dotted, object).is_none() {
        let file = format!("{}.py", dotted.replace('.', "/"));
        let expected = format!("the file {} of the entrypoint {}", quoted(&file), quoted(text));
        return missing(reader, FIELD, &expected, "no such file in the item");
    }
    Some(Entrypoint::Module { module: dotted, object: object.map(str::to_owned) })
}

/// The file that holds a module. Shiny Express names its own module, and the item's file in the object (`app_2e_py`).
fn module_file(reader: &Reader<'_>, dotted: &str, object: Option<&str>) -> Option<String> {
    let path = dotted.replace('.', "/");
    let express = (dotted == "shiny.express.app").then(|| object.map(decode_express)).flatten();
    let candidates = [Some(format!("{path}.py")), Some(format!("{path}/__init__.py")), express];
    candidates.into_iter().flatten().find(|candidate| reader.has(candidate))
}

/// `app_2e_py` is `app.py`: everything that is no letter or digit is written as its hexadecimal code point.
fn decode_express(object: &str) -> String {
    let mut decoded = String::with_capacity(object.len());
    let mut rest = object;
    while let Some((before, after)) = rest.split_once('_') {
        decoded.push_str(before);
        let code = after.split_once('_').and_then(|(hex, tail)| {
            let letter = u32::from_str_radix(hex, 16).ok().and_then(char::from_u32)?;
            Some((letter, tail))
        });
        // An underscore that starts no code stands for itself.
        let (letter, tail) = code.unwrap_or(('_', after));
        decoded.push(letter);
        rest = tail;
    }
    decoded.push_str(rest);
    decoded
}

/// A script, with or without `.py`; an object after a colon is not needed to run it.
fn script(reader: &mut Reader<'_>) -> Option<Entrypoint> {
    let Some(text) = reader.text(FIELD) else {
        return default_script(reader).map(|path| Entrypoint::File { path });
    };
    let name = text.split_once(':').map_or(text, |(name, _)| name);
    let Some(path) = super::plain_path(name) else {
        let found = quoted(text);
        return missing(reader, FIELD, "metadata.entrypoint to be a script of the item", &found);
    };
    let dotted = path.replace('.', "/");
    let candidates = [path.clone(), format!("{path}.py"), format!("{dotted}.py"), format!("{path}/main.py")];
    match candidates.iter().find(|candidate| reader.has(candidate)) {
        Some(found) => Some(Entrypoint::File { path: found.clone() }),
        None => file(reader, FIELD, if name.contains('.') { path } else { format!("{path}.py") }),
    }
}

/// Without an entrypoint: `app.py`, `main.py`, or the only script beside the manifest.
fn default_script(reader: &mut Reader<'_>) -> Option<String> {
    let usual = ["app.py", "main.py"].into_iter().find(|name| reader.has(name)).map(str::to_owned);
    let found = usual.or_else(|| only(reader, &["py"]));
    if found.is_none() {
        let expected = "metadata.entrypoint, or a script app.py or main.py";
        missing(reader, FIELD, expected, "neither");
    }
    found
}

/// The only file beside the manifest with one of these endings.
fn only(reader: &Reader<'_>, endings: &[&str]) -> Option<String> {
    let mut found = reader.beside().filter(|path| ends(path, endings));
    let first = found.next()?;
    found.next().is_none().then(|| first.to_owned())
}

fn ends(path: &str, endings: &[&str]) -> bool {
    path.rsplit_once('.').is_some_and(|(_, ending)| endings.contains(&ending))
}

/// The notebook that is named, else the first. Voila serves the directory if several could be meant.
fn notebook(reader: &mut Reader<'_>, appmode: Appmode) -> Option<Entrypoint> {
    if reader.get(FIELD).is_some() {
        let path = reader.path(FIELD)?;
        return file(reader, FIELD, path);
    }
    let notebooks: Vec<&str> = reader.beside().filter(|path| ends(path, &["ipynb"])).collect();
    match notebooks.as_slice() {
        [] => missing(reader, FIELD, "metadata.entrypoint, or a notebook (.ipynb)", "neither"),
        [_, _, ..] if appmode == Appmode::JupyterVoila => Some(Entrypoint::Directory),
        [first, ..] => Some(Entrypoint::File { path: (*first).to_owned() }),
    }
}

/// The document that is rendered. A Quarto project is rendered as a whole.
fn document(reader: &mut Reader<'_>, endings: &[&str], quarto: bool) -> Option<Entrypoint> {
    for keys in [RMD, FIELD] {
        if reader.get(keys).is_some() {
            let path = reader.path(keys)?;
            return file(reader, keys, path);
        }
    }
    if quarto && (reader.has("_quarto.yml") || reader.has("_quarto.yaml")) {
        return Some(Entrypoint::Directory);
    }
    let index = endings.iter().map(|ending| format!("index.{ending}")).find(|name| reader.has(name));
    let alone = || endings.chunks(1).find_map(|ending| only(reader, ending).filter(|name| name != "README.md"));
    match index.or_else(alone) {
        Some(path) => Some(Entrypoint::File { path }),
        None => missing(reader, RMD, "metadata.primary_rmd to name the document", "neither it nor a document to take"),
    }
}

/// The page that is shown first.
fn page(reader: &mut Reader<'_>) -> Option<Entrypoint> {
    for keys in [HTML, FIELD] {
        if reader.get(keys).is_some() {
            let path = reader.path(keys)?;
            return file(reader, keys, path);
        }
    }
    let index = ["index.html", "index.htm"].into_iter().find(|name| reader.has(name)).map(str::to_owned);
    if let Some(path) = index.or_else(|| only(reader, &["html", "htm"])) {
        return Some(Entrypoint::File { path });
    }
    let message = "expected metadata.primary_html or an index.html, found neither".to_owned();
    reader.warning(
        NO_INDEX,
        HTML,
        message,
        "the item's address shows no page; its files are served under their own names",
    );
    Some(Entrypoint::Directory)
}

/// `app.R`, or `server.R` with its `ui.R`. Shiny compares these names without case.
fn shiny(reader: &mut Reader<'_>) -> Option<Entrypoint> {
    let usual = ["app.r", "server.r"];
    if reader.beside().any(|path| usual.contains(&path.to_ascii_lowercase().as_str())) {
        return Some(Entrypoint::Directory);
    }
    if reader.get(FIELD).is_some() {
        let path = reader.path(FIELD)?;
        return file(reader, FIELD, path);
    }
    missing(reader, &["metadata", "appmode"], "an app.R, or a server.R with its ui.R, beside the manifest", "neither")
}

fn plumber(reader: &mut Reader<'_>) -> Option<Entrypoint> {
    if reader.get(FIELD).is_some() {
        let path = reader.path(FIELD)?;
        return file(reader, FIELD, path);
    }
    let usual = ["plumber.R", "entrypoint.R", "_server.yml", "plumber.r", "entrypoint.r", "_server.yaml"];
    if let Some(path) = usual.into_iter().find(|name| reader.has(name)) {
        return Some(Entrypoint::File { path: path.to_owned() });
    }
    let expected = "a plumber.R, entrypoint.R or _server.yml beside the manifest";
    missing(reader, &["metadata", "appmode"], expected, "none of them")
}

fn node(reader: &mut Reader<'_>) -> Option<Entrypoint> {
    let endings = ["", ".js", ".mjs", ".cjs", "/index.js"];
    if reader.get(FIELD).is_some() {
        let path = reader.path(FIELD)?;
        let found = endings.into_iter().map(|ending| format!("{path}{ending}")).find(|name| reader.has(name));
        return file(reader, FIELD, found.unwrap_or(path));
    }
    let usual = ["index", "server", "app", "main"].into_iter();
    let mut candidates =
        usual.flat_map(|name| [".js", ".mjs", ".cjs"].into_iter().map(move |end| format!("{name}{end}")));
    match candidates.find(|name| reader.has(name)) {
        Some(path) => Some(Entrypoint::File { path }),
        None => {
            missing(reader, FIELD, "metadata.entrypoint, or an index.js, server.js, app.js or main.js", "none of them")
        }
    }
}

fn model(reader: &mut Reader<'_>) -> Option<Entrypoint> {
    let saved = |path: &str| matches!(path.rsplit('/').next(), Some("saved_model.pb" | "saved_model.pbtxt"));
    if reader.files.iter().any(|file| saved(&file.path)) {
        return Some(Entrypoint::Directory);
    }
    missing(reader, &["metadata", "appmode"], "a saved_model.pb in the item", "none")
}

#[cfg(test)]
mod tests {
    use super::decode_express;

    #[test]
    fn shiny_express_hides_the_file_in_the_object() {
        assert_eq!(decode_express("app_2e_py"), "app.py");
        assert_eq!(decode_express("my_5f_app_2e_py"), "my_app.py");
        assert_eq!(decode_express("sub_2f_app_2e_py"), "sub/app.py");
        assert_eq!(decode_express("plain_"), "plain_");
    }
}

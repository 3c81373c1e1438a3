//! Appmodes: what kind of content an item is. How one is started is the session's business.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::language::Language;

/// What becomes of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Its files are served as they are.
    Static,
    /// It is rendered once a revision, and by its schedule.
    Rendered,
    /// Processes of it answer HTTP.
    Interactive,
}

/// A text that is no appmode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown appmode {found:?}")]
pub struct UnknownAppmode {
    /// The text as it was given.
    pub found: String,
}

macro_rules! appmodes {
    ($($variant:ident $key:literal $kind:ident $title:literal),+ $(,)?) => {
        /// An appmode, as `metadata.appmode` of a manifest names it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
        pub enum Appmode {
            $(#[doc = $title] #[serde(rename = $key)] $variant),+
        }

        impl Appmode {
            /// Every appmode, in the order in which they are listed to people.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The name used in manifests.
            pub const fn key(self) -> &'static str {
                match self { $(Self::$variant => $key),+ }
            }

            /// The name used for people.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title),+ }
            }

            /// Whether it is served, rendered or run.
            pub const fn kind(self) -> Kind {
                match self { $(Self::$variant => Kind::$kind),+ }
            }
        }
    };
}

appmodes! {
    Shiny "shiny" Interactive "Shiny for R application",
    Api "api" Interactive "Plumber API",
    RmdStatic "rmd-static" Rendered "R Markdown document",
    RmdShiny "rmd-shiny" Interactive "interactive R Markdown document",
    QuartoStatic "quarto-static" Rendered "Quarto document",
    QuartoShiny "quarto-shiny" Interactive "interactive Quarto document",
    Static "static" Static "static files",
    PythonApi "python-api" Interactive "Python WSGI API",
    PythonFastapi "python-fastapi" Interactive "Python ASGI API",
    PythonDash "python-dash" Interactive "Dash application",
    PythonStreamlit "python-streamlit" Interactive "Streamlit application",
    PythonBokeh "python-bokeh" Interactive "Bokeh application",
    PythonShiny "python-shiny" Interactive "Shiny for Python application",
    PythonGradio "python-gradio" Interactive "Gradio application",
    PythonPanel "python-panel" Interactive "Panel application",
    JupyterStatic "jupyter-static" Rendered "Jupyter notebook",
    JupyterVoila "jupyter-voila" Interactive "Voila notebook",
    Nodejs "nodejs" Interactive "Node.js application",
    TensorflowSavedModel "tensorflow-saved-model" Interactive "TensorFlow model",
}

impl Appmode {
    /// The language whose interpreter starts the item; `None` for static files.
    pub const fn runtime(self) -> Option<Language> {
        match self {
            Self::Static => None,
            Self::Shiny | Self::Api | Self::RmdStatic | Self::RmdShiny => Some(Language::R),
            Self::QuartoStatic | Self::QuartoShiny => Some(Language::Quarto),
            Self::Nodejs => Some(Language::Nodejs),
            Self::TensorflowSavedModel => Some(Language::Tensorflow),
            Self::PythonApi
            | Self::PythonFastapi
            | Self::PythonDash
            | Self::PythonStreamlit
            | Self::PythonBokeh
            | Self::PythonShiny
            | Self::PythonGradio
            | Self::PythonPanel
            | Self::JupyterStatic
            | Self::JupyterVoila => Some(Language::Python),
        }
    }

    /// Whether processes of it answer HTTP.
    pub fn is_interactive(self) -> bool {
        self.kind() == Kind::Interactive
    }
}

impl FromStr for Appmode {
    type Err = UnknownAppmode;

    /// Reads the name as manifests write it; `nodejs-api` is `nodejs`.
    fn from_str(text: &str) -> Result<Self, UnknownAppmode> {
        let name = if text == "nodejs-api" { "nodejs" } else { text };
        let known = Self::ALL.iter().copied().find(|mode| mode.key() == name);
        known.ok_or_else(|| UnknownAppmode { found: text.to_owned() })
    }
}

impl fmt::Display for Appmode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.key())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_appmode_reads_back() {
        for mode in Appmode::ALL {
            assert_eq!(mode.key().parse::<Appmode>(), Ok(*mode));
        }
        assert_eq!("nodejs-api".parse(), Ok(Appmode::Nodejs));
        assert!("python-dash ".parse::<Appmode>().is_err());
    }
}

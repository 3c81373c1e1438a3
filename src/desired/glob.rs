//! Globs that a repository or an operator writes: read once, compiled once, and never a way to panic. What they allow: others.
//!
//! `*` and `?` stay between slashes, `**` does not: a rule that opens something is read narrowly.

use std::fmt;

use globset::{GlobBuilder, GlobSet};

/// The longest glob, in bytes. globset panics or works for seconds on patterns that nobody writes by hand.
const LONGEST: usize = 256;
/// The most alternatives and classes in a glob.
const MOST_BRACKETS: usize = 16;

/// A text that is no glob.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GlobError {
    /// It is empty, too long, or holds too many brackets.
    #[error("expected 1 to {LONGEST} bytes with at most {MOST_BRACKETS} brackets")]
    Size,
    /// It does not follow the syntax.
    #[error("{0}")]
    Syntax(String),
}

/// A glob, compiled.
#[derive(Clone)]
pub struct Glob {
    text: String,
    // A set of one, since compiling a set returns an error where compiling a single glob panics.
    set: GlobSet,
}

impl Glob {
    /// Reads and compiles a glob.
    pub fn new(text: &str) -> Result<Self, GlobError> {
        let brackets = text.bytes().filter(|byte| matches!(byte, b'{' | b'[')).count();
        if text.is_empty() || text.len() > LONGEST || brackets > MOST_BRACKETS {
            return Err(GlobError::Size);
        }
        let syntax = |error: &globset::Error| GlobError::Syntax(error.kind().to_string());
        let glob = GlobBuilder::new(text).literal_separator(true).build().map_err(|error| syntax(&error))?;
        let set = GlobSet::builder().add(glob).build().map_err(|error| syntax(&error))?;
        Ok(Self { text: text.to_owned(), set })
    }

    /// Whether a name or path is matched.
    pub fn is_match(&self, name: &str) -> bool {
        self.set.is_match(name)
    }

    /// The glob as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether everything that `inner` matches is surely matched by this one.
    ///
    /// "Surely" may say no for globs that are within by some clever reading, never yes for one that is not: equal globs,
    /// a plain name that this one matches, and what starts with the plain text before its closing `*` or `**`.
    pub fn covers(&self, inner: &str) -> bool {
        let special = |text: &str| text.contains(['*', '?', '[', ']', '{', '}', '\\', '!']);
        if self.text == inner || self.text == "**" {
            return true;
        }
        if !special(inner) {
            return self.is_match(inner);
        }
        let (start, deep) = match (self.text.strip_suffix("**"), self.text.strip_suffix('*')) {
            (Some(start), _) => (start, true),
            (None, Some(start)) => (start, false),
            (None, None) => return false,
        };
        let Some(rest) = inner.strip_prefix(start).filter(|_| !special(start)) else { return false };
        // `a**` is `a*` where `**` is no whole part of the path, and `{b/c,d}` may hold a slash.
        let whole_part = start.is_empty() || start.ends_with('/');
        (deep && whole_part) || !(rest.contains(['/', '{', '[', '\\']) || rest.contains("**"))
    }
}

impl fmt::Debug for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn covers(outer: &str, inner: &str) -> bool {
        Glob::new(outer).unwrap().covers(inner)
    }

    #[test]
    fn a_glob_covers_only_what_it_surely_matches() {
        for (outer, inner) in [
            ("**", "a/**"),
            ("a/**", "a/b/*"),
            ("a/*", "a/b*"),
            ("a/*", "a/b"),
            ("a/{b,c}", "a/c"),
            ("db-*", "db-r*"),
            ("a/b", "a/b"),
        ] {
            assert!(covers(outer, inner), "{outer} covers {inner}");
        }
        for (outer, inner) in [
            ("a/*", "a/**"),
            ("a/*", "a/{b/c,d}"),
            ("a/*", "a/b/*"),
            ("a/**", "a*/b"),
            ("a*", "b*"),
            ("a/b", "a/*"),
            ("[ab]*", "[ab]c*"),
            ("a/b*", "a/{b,c}*"),
            ("a**", "a/b*"),
            ("?", "*"),
        ] {
            assert!(!covers(outer, inner), "{outer} does not cover {inner}");
        }
    }

    #[test]
    fn what_would_panic_or_take_long_is_refused() {
        for hostile in ["{".repeat(300) + &"}".repeat(300), "a".repeat(1 << 20), "[a]".repeat(50), String::new()] {
            assert_eq!(Glob::new(&hostile).unwrap_err(), GlobError::Size);
        }
        assert!(matches!(Glob::new("[a"), Err(GlobError::Syntax(_))));
    }

    proptest! {
        #[test]
        fn any_glob_is_compiled_or_refused(text in "[ab*?{}\\[\\],/!\\\\-]{0,40}", name in "[ab/]{0,6}") {
            if let Ok(glob) = Glob::new(&text) {
                glob.is_match(&name);
            }
        }

        #[test]
        fn what_is_covered_is_matched(outer in "[ab*?{},/]{1,6}", inner in "[ab*?{},/]{1,6}", name in "[ab/]{0,8}") {
            if let (Ok(outer), Ok(inner)) = (Glob::new(&outer), Glob::new(&inner))
                && outer.covers(inner.as_str())
                && inner.is_match(&name)
            {
                prop_assert!(outer.is_match(&name), "{outer:?} covers {inner:?}, which matches {name:?}");
            }
        }
    }
}

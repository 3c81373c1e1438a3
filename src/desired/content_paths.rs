//! Where items are, and what they are called: `content.paths` and `root_item` of the policy (formats.md, "Items").

use globset::{GlobBuilder, GlobMatcher};

use super::layout::join;
use crate::model::Policy;

/// What the repository's root is called when it is an item and the policy says nothing.
const ROOT_ITEM: &str = "root";

/// One pattern of `content.paths`.
#[derive(Debug)]
struct Pattern {
    matcher: GlobMatcher,
    /// Whether it means everything below a directory, and with that the directory itself.
    whole: bool,
    /// The parts before the first wildcard.
    literal: String,
}

/// Where items are.
#[derive(Debug)]
pub struct ContentPaths {
    patterns: Vec<Pattern>,
    /// The directory from which names are counted: what all patterns have in common before their wildcards.
    root: String,
    root_item: String,
}

impl ContentPaths {
    /// The rules of a policy: `content/**`, or `**` in a repository without `content/`, where it names none.
    /// A pattern that cannot be read matches nothing; reading the policy reports it.
    pub fn of(policy: &Policy, has_content_directory: bool) -> Self {
        let standard = if has_content_directory { "content/**" } else { "**" };
        let texts = policy.content_paths.clone().unwrap_or_else(|| vec![standard.to_owned()]);
        let patterns: Vec<Pattern> = texts.iter().filter_map(|text| Pattern::of(text)).collect();
        let roots: Vec<Vec<&str>> = patterns.iter().map(Pattern::root).collect();
        let root = roots.iter().skip(1).fold(roots.first().cloned().unwrap_or_default(), |common, other| {
            common.iter().zip(other).take_while(|(one, other)| one == other).map(|(part, _)| *part).collect()
        });
        let root = root.join("/");
        Self { patterns, root, root_item: policy.root_item.clone().unwrap_or_else(|| ROOT_ITEM.to_owned()) }
    }

    /// Whether a directory with a manifest is an item.
    pub fn is_item(&self, directory: &str) -> bool {
        self.patterns.iter().any(|pattern| pattern.matches(directory))
    }

    /// Whether an item may lie in a directory or below it.
    pub fn may_hold(&self, directory: &str) -> bool {
        self.patterns
            .iter()
            .any(|pattern| is_below(directory, &pattern.literal) || is_below(&pattern.literal, directory))
    }

    /// The name of the item in a directory. It may be one that no item can have.
    pub fn name_of<'a>(&'a self, directory: &'a str) -> &'a str {
        let below = directory.strip_prefix(self.root.as_str()).unwrap_or(directory).trim_start_matches('/');
        if below.is_empty() { &self.root_item } else { below }
    }
}

/// Whether a path is a directory or lies below it.
fn is_below(path: &str, directory: &str) -> bool {
    directory.is_empty() || path.strip_prefix(directory).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl Pattern {
    fn of(text: &str) -> Option<Self> {
        let text = text.trim().trim_start_matches("./").trim_end_matches('/');
        let is_wild = |part: &&str| part.contains(['*', '?', '[', '{']);
        let literal: Vec<&str> = text.split('/').take_while(|part| !is_wild(part) && *part != ".").collect();
        let literal = literal.join("/");
        // A directory without wildcards means itself and everything below.
        let pattern = if literal == text || text == "." { join(&literal, "**") } else { text.to_owned() };
        let matcher = GlobBuilder::new(&pattern).literal_separator(true).build().ok()?.compile_matcher();
        Some(Self { matcher, whole: pattern == "**" || pattern.ends_with("/**"), literal })
    }

    /// The parts of the directory from which its items' names are counted.
    fn root(&self) -> Vec<&str> {
        self.literal.split('/').filter(|part| !part.is_empty()).collect()
    }

    fn matches(&self, directory: &str) -> bool {
        // `content/**` matches what is below `content`, hence also its manifest, which makes `content` an item.
        self.matcher.is_match(directory) || self.whole && self.matcher.is_match(join(directory, "manifest.json"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(patterns: &[&str]) -> ContentPaths {
        let content_paths = Some(patterns.iter().map(|text| (*text).to_owned()).collect());
        ContentPaths::of(&Policy { content_paths, ..Policy::default() }, true)
    }

    #[test]
    fn names_are_paths_below_what_the_patterns_share() {
        let content = ContentPaths::of(&Policy::default(), true);
        assert_eq!(content.name_of("content/team/app"), "team/app");
        assert_eq!(content.name_of("content"), "root");
        assert!(content.is_item("content") && content.is_item("content/a/b") && !content.is_item("other"));
        assert!(!content.is_item("") && content.may_hold("") && !content.may_hold("contents"));
        let everywhere = ContentPaths::of(&Policy::default(), false);
        assert_eq!((everywhere.name_of(""), everywhere.name_of("a/b")), ("root", "a/b"));
        assert!(everywhere.is_item("") && everywhere.is_item("a/b"));
        let two = paths(&["apps/**", "reports/**"]);
        assert_eq!(two.name_of("apps/x"), "apps/x");
        assert!(two.may_hold("apps/x/y") && !two.may_hold("docs"));
    }

    #[test]
    fn patterns_are_read_as_people_mean_them() {
        assert!(paths(&["./apps/"]).is_item("apps/x"));
        assert!(paths(&["."]).is_item("x"));
        let one_level = paths(&["apps/*"]);
        assert!(one_level.is_item("apps/x") && !one_level.is_item("apps/x/y") && !one_level.is_item("apps"));
        assert_eq!(one_level.name_of("apps/x"), "x");
        let deep = paths(&["teams/*/apps/**"]);
        assert!(deep.may_hold("teams/a") && deep.is_item("teams/a/apps/x") && !deep.is_item("teams/a/x"));
        assert!(!paths(&[]).is_item("x"));
    }
}

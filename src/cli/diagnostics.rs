//! Draws diagnostics: message, place, the line of the file with the place marked, figures and help. What is a problem is known elsewhere.

use std::fmt::Write as _;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use super::escape::{plain, same_columns};
use crate::model::{Diagnostic, Excerpt, Severity, Span};

/// The width that is drawn for: code frames of longer lines are cut around the mark.
const WIDTH: usize = 140;

/// Every diagnostic, in order, an empty line between two.
pub fn draw(diagnostics: &[Diagnostic]) -> String {
    diagnostics.iter().fold(String::new(), |mut text, diagnostic| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}\n", draw_one(diagnostic));
        text
    })
}

/// One diagnostic, without a line feed at its end.
pub fn draw_one(diagnostic: &Diagnostic) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Note => Level::NOTE,
    };
    let title = level.primary_title(plain(&diagnostic.message)).id(diagnostic.code.as_str());
    let mut group = place(Group::with_title(title), diagnostic);
    if let Some(detail) = &diagnostic.detail {
        group = group.element(Level::NOTE.message(plain(detail)));
    }
    if let Some((place, text)) = &diagnostic.related {
        group = group.element(Level::NOTE.message(format!("{}: {}", plain(text), plain(&place.to_string()))));
    }
    if let Some(help) = &diagnostic.help {
        group = group.element(Level::HELP.message(plain(help)));
    }
    Renderer::styled().term_width(WIDTH).render(&[group])
}

fn place<'a>(group: Group<'a>, diagnostic: &'a Diagnostic) -> Group<'a> {
    let Some(place) = &diagnostic.place else { return group };
    let path = plain(&place.file);
    let Some(span) = place.span else { return group.element(Origin::path(path)) };
    let frame = diagnostic.excerpt.as_ref().and_then(|excerpt| marked(excerpt, span));
    let line = usize::try_from(span.line).unwrap_or_default();
    match frame {
        Some((text, range)) => {
            let snippet = Snippet::source(text).line_start(line).path(path);
            group.element(snippet.annotation(AnnotationKind::Primary.span(range)))
        }
        None => {
            group.element(Origin::path(path).line(line).char_column(usize::try_from(span.column).unwrap_or_default()))
        }
    }
}

/// The line a span starts in, with control characters made visible, and the bytes of it to mark.
fn marked(excerpt: &Excerpt, span: Span) -> Option<(String, std::ops::Range<usize>)> {
    let line = excerpt.text.lines().nth(usize::try_from(span.line.checked_sub(excerpt.first_line)?).ok()?)?;
    let first = usize::try_from(span.column).ok()?.checked_sub(1)?;
    let start = line.char_indices().map(|(at, _)| at).chain([line.len()]).nth(first)?;
    let bytes = usize::try_from(span.end.saturating_sub(span.start)).ok()?;
    let letters = line.get(start..).map_or(0, |rest| rest.char_indices().take_while(|(at, _)| *at < bytes).count());
    let text = same_columns(line);
    let at = |number: usize| text.char_indices().map(|(at, _)| at).chain([text.len()]).nth(number);
    let (from, to) = (at(first)?, at(first + letters.max(1)).unwrap_or(text.len()));
    Some((text, from..to))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Code, Place};

    fn drawn(diagnostic: &Diagnostic) -> String {
        anstream::adapter::strip_str(&draw_one(diagnostic)).to_string()
    }

    fn at(text: &str, found: &str) -> Span {
        let start = text.find(found).unwrap();
        let line = text[..start].matches('\n').count() + 1;
        let column = text[text[..start].rfind('\n').map_or(0, |feed| feed + 1)..start].chars().count() + 1;
        let number = |number: usize| u32::try_from(number).unwrap();
        Span { line: number(line), column: number(column), start: number(start), end: number(start + found.len()) }
    }

    #[test]
    fn the_place_is_marked_and_the_figures_stand_before_the_help() {
        let text = "{\n  \"python\": {\n    \"version\": \"3.9.5\"\n  }\n}\n";
        let place = Place::at("content/penguins-api/manifest.json", at(text, "\"3.9.5\""));
        let diagnostic = Diagnostic::error(Code::new("E0201"), place, "no environment has Python 3.9.5")
            .with_source(text)
            .with_detail("asked for: 3.9.5 (major-minor)   available: 3.10.14, 3.11.9, 3.12.3")
            .with_help("add an environment with Python 3.9.x, or set environment.python.requires")
            .with_related(Place::file("wharf.yaml"), "the strategy is set here");
        insta::assert_snapshot!(drawn(&diagnostic));
    }

    #[test]
    fn hostile_text_is_shown_and_not_obeyed() {
        let text = "title: é\u{1b}[2J\u{9b}31m\u{202e}bad\n";
        let place = Place::at("content/a\u{1b}[1m/content.yaml", at(text, "bad"));
        let diagnostic =
            Diagnostic::warning(Code::new("W0301"), place, "unknown \u{7}field\nsecond line").with_source(text);
        let drawn = drawn(&diagnostic);
        assert!(!drawn.contains(|c: char| c != '\n' && super::super::escape::is_harmful(c)), "{drawn:?}");
        insta::assert_snapshot!(drawn);
    }

    #[test]
    fn a_place_without_a_line_and_no_place_at_all() {
        let whole = Diagnostic::note(Code::new("N0302"), Place::file("content/a/manifest.json"), "2 files differ");
        let nowhere = Diagnostic::new(Severity::Error, Code::new("E0101"), None, "nothing is there");
        let long = Span { line: 9, column: 3, start: 100, end: 4 };
        let odd = Diagnostic::error(Code::new("E0103"), Place::at("a.yaml", long), "odd");
        insta::assert_snapshot!([whole, nowhere, odd].iter().map(drawn).collect::<Vec<_>>().join("\n\n"));
    }
}

//! One file's bytes as text that can be pointed into: decoding, lines, and diagnostics with their line. No grammar.

use std::fmt::Write as _;
use std::sync::Arc;

use crate::model::{Code, Diagnostic, Excerpt, Place, Severity, Span};

/// A fault that ends the reading of a file; boxed because it travels through many returns.
pub type Fault = Box<Diagnostic>;

/// The file is not text.
pub const NOT_TEXT: Code = Code::new("E0101");
/// The file is larger than what is read.
pub const TOO_LARGE: Code = Code::new("E0102");
/// Somebody committed a merge that was not finished.
pub const CONFLICT: Code = Code::new("E0106");

/// Lines longer than this many bytes are not quoted: nobody reads them, and a file may be one such line.
const LONGEST_QUOTED_LINE: usize = 200;

/// A file's text, its path, and where its lines begin.
#[derive(Debug, Clone)]
pub struct SourceText {
    file: Arc<str>,
    text: String,
    /// Bytes before the text in the file: 3 for a byte order mark, else 0.
    skipped: u32,
    line_starts: Vec<u32>,
}

impl SourceText {
    /// Decodes a file: UTF-8 with or without a byte order mark, at most `limit` bytes, without Git's conflict markers.
    pub fn decode(file: &str, bytes: &[u8], limit: usize) -> Result<Self, Fault> {
        let whole = || Place::file(file);
        if bytes.len() > limit {
            let message = format!("expected at most {}, found {}", size(limit), size(bytes.len()));
            return Err(Diagnostic::error(TOO_LARGE, whole(), message)
                .with_help("split the file into several; every file of the directory is read")
                .into());
        }
        let (bytes, skipped) = bytes.strip_prefix(b"\xef\xbb\xbf").map_or((bytes, 0), |rest| (rest, 3));
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let message = format!("expected UTF-8 text, found other bytes at byte {}", error.valid_up_to());
            let help = "save the file as UTF-8; a binary file does not belong in this place";
            Fault::from(Diagnostic::error(NOT_TEXT, whole(), message).with_help(help))
        })?;
        let source = Self { skipped, ..Self::new(file, text) };
        source.refuse_conflict_markers()?;
        Ok(source)
    }

    /// A text that is known to be one, such as a text found inside another file.
    pub fn new(file: impl Into<Arc<str>>, text: impl Into<String>) -> Self {
        let text = text.into();
        let feeds = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let line_starts = std::iter::once(0).chain(feeds.map(|(at, _)| narrow(at + 1))).collect();
        Self { file: file.into(), text, skipped: 0, line_starts }
    }

    /// The path of the file.
    pub fn file(&self) -> &Arc<str> {
        &self.file
    }

    /// The text, without a byte order mark.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// A line (counted from 1) without its line end; `None` past the last.
    pub fn line(&self, line: u32) -> Option<&str> {
        let start = self.line_start(line)?;
        let rest = self.text.get(start..)?;
        let end = self.line_start(line + 1).map_or(rest.len(), |next| next - start);
        Some(rest.get(..end)?.trim_end_matches(['\n', '\r']))
    }

    /// The byte of the text at which a line (counted from 1) begins.
    pub fn line_start(&self, line: u32) -> Option<usize> {
        let start = self.line_starts.get(usize::try_from(line).ok()?.checked_sub(1)?)?;
        usize::try_from(*start).ok()
    }

    /// The span of a range of bytes of the text. The column is counted, so this costs the length of the line.
    pub fn span(&self, start: usize, end: usize) -> Span {
        let at = narrow(start);
        let line = self.line_starts.partition_point(|begin| *begin <= at).max(1);
        let begin = self.line_starts.get(line - 1).copied().unwrap_or_default();
        let before = usize::try_from(begin).ok().and_then(|begin| self.text.get(begin..start));
        let column = before.map_or(0, |before| before.chars().count());
        self.span_at(narrow(line), narrow(column) + 1, start, end)
    }

    /// The span whose line and column are known already.
    pub fn span_at(&self, line: u32, column: u32, start: usize, end: usize) -> Span {
        let (start, end) = (narrow(start) + self.skipped, narrow(end.max(start)) + self.skipped);
        Span { line, column, start, end }
    }

    /// A place in the file.
    pub fn place(&self, span: Span) -> Place {
        Place::at(Arc::clone(&self.file), span)
    }

    /// The line a span stands in, as a code frame needs it; `None` when the line is too long to be shown.
    pub fn excerpt(&self, span: Span) -> Option<Excerpt> {
        let text = self.line(span.line).filter(|line| line.len() <= LONGEST_QUOTED_LINE)?;
        Some(Excerpt { first_line: span.line, text: text.to_owned() })
    }

    /// A problem at a span, with the line it stands in.
    pub fn problem(&self, severity: Severity, code: Code, span: Span, message: impl Into<String>) -> Diagnostic {
        let excerpt = self.excerpt(span);
        Diagnostic { excerpt, ..Diagnostic::new(severity, code, Some(self.place(span)), message) }
    }

    /// An error at a span, with the line it stands in.
    pub fn error(&self, code: Code, span: Span, message: impl Into<String>) -> Diagnostic {
        self.problem(Severity::Error, code, span, message)
    }

    /// Markers of an unfinished merge give strange syntax errors, or none; the real reason is worth more.
    fn refuse_conflict_markers(&self) -> Result<(), Fault> {
        let ours = self.line_starting_with("<<<<<<< ", 0);
        let Some(ours) = ours else { return Ok(()) };
        if self.line_starting_with(">>>>>>> ", ours).is_none() {
            return Ok(());
        }
        let message = "expected a finished file, found the conflict markers of an unfinished merge";
        Err(self
            .error(CONFLICT, self.span(ours, ours + 7), message)
            .with_help("choose one side, remove the lines that start with <<<<<<<, ======= and >>>>>>>, and commit")
            .into())
    }

    /// The byte at which the first line begins that starts with `mark`, from byte `from` on.
    fn line_starting_with(&self, mark: &str, from: usize) -> Option<usize> {
        let rest = self.text.get(from..)?;
        rest.match_indices(mark).map(|(at, _)| from + at).find(|at| *at == 0 || self.text.as_bytes()[at - 1] == b'\n')
    }
}

/// Byte offsets and line numbers fit in 32 bits, since files are at most some MiB.
fn narrow(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// A size for a sentence.
fn size(bytes: usize) -> String {
    if bytes >= 1 << 20 {
        format!("{} MiB", bytes.div_ceil(1 << 20))
    } else {
        format!("{} KiB", bytes.div_ceil(1 << 10))
    }
}

/// A text of a file as messages show it: quoted, control characters escaped, at most 60 characters.
pub fn quoted(text: &str) -> String {
    let mut shown = String::with_capacity(text.len().min(60) + 2);
    shown.push('"');
    for letter in text.chars().take(60) {
        // `escape_debug` would also escape the quote characters that readers expect to see as they are.
        let outcome =
            if letter.is_control() { write!(shown, "{}", letter.escape_default()) } else { shown.write_char(letter) };
        debug_assert!(outcome.is_ok(), "writing to a String cannot fail");
    }
    if text.chars().nth(60).is_some() {
        shown.push_str("...");
    }
    shown.push('"');
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(bytes: &[u8]) -> Result<SourceText, Fault> {
        SourceText::decode("a.yaml", bytes, 1 << 20)
    }

    #[test]
    fn a_byte_order_mark_and_crlf_do_not_move_places() {
        let source = decode(b"\xef\xbb\xbfone: 1\r\ntwo: \xc3\xbc2\r\n").unwrap();
        assert_eq!(source.line(1), Some("one: 1"));
        assert_eq!(source.line(2), Some("two: ü2"));
        let at = source.as_str().find('2').unwrap();
        let span = source.span(at, at + 1);
        assert_eq!((span.line, span.column), (2, 7), "columns count characters");
        assert_eq!(span.start, u32::try_from(at).unwrap() + 3, "bytes count from the file's first");
    }

    #[test]
    fn what_is_no_text_is_refused_with_a_reason() {
        assert_eq!(decode(b"a\xff").unwrap_err().code, NOT_TEXT);
        assert_eq!(decode(&vec![b'a'; (1 << 20) + 1]).unwrap_err().code, TOO_LARGE);
        let conflict = decode(b"a: 1\n<<<<<<< HEAD\nb: 1\n=======\nb: 2\n>>>>>>> other\n").unwrap_err();
        assert_eq!((conflict.code, conflict.place.unwrap().to_string()), (CONFLICT, "a.yaml:2:1".to_owned()));
        assert!(decode(b"text: <<<<<<< no marker\n").is_ok());
    }

    #[test]
    fn quoted_text_is_short_and_harmless() {
        assert_eq!(quoted("a\u{1b}[31m"), "\"a\\u{1b}[31m\"");
        assert_eq!(quoted(&"x".repeat(100)).len(), 65);
    }
}

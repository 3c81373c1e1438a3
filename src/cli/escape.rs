//! Text from repositories and logs, made harmless for a terminal: control characters become visible. Nothing is printed here.

use std::borrow::Cow;

/// Whether a character could move the cursor, change colours or reorder what is read.
pub fn is_harmful(letter: char) -> bool {
    letter.is_control() || matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// One line of text as it may be printed: `\n`, `\u{1b}` and the like instead of the characters themselves.
pub fn plain(text: &str) -> Cow<'_, str> {
    if !text.contains(is_harmful) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 8);
    for letter in text.chars() {
        if is_harmful(letter) { safe.extend(letter.escape_default()) } else { safe.push(letter) }
    }
    Cow::Owned(safe)
}

/// A line of source code: every harmful character becomes one visible character, so that columns stay what they are.
pub fn same_columns(text: &str) -> String {
    let visible = |letter: char| match letter {
        // The renderer draws tabs as spaces, and moves its marks with them.
        '\t' => '\t',
        letter if u32::from(letter) < 0x20 => char::from_u32(0x2400 + u32::from(letter)).unwrap_or('\u{fffd}'),
        letter if is_harmful(letter) => '\u{fffd}',
        letter => letter,
    };
    text.chars().map(visible).collect()
}

/// Takes JSON as it is written, and lets no harmful character of its strings through raw. Outside of strings JSON has
/// none but line feeds.
pub struct JsonWriter<W>(pub W);

impl<W: std::io::Write> std::io::Write for JsonWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let harmful = |letter: char| letter != '\n' && is_harmful(letter);
        // The serializer writes whole characters: it splits strings only where it escapes ASCII.
        let text = std::str::from_utf8(bytes).map_err(std::io::Error::other)?;
        if !text.contains(harmful) {
            self.0.write_all(bytes)?;
            return Ok(bytes.len());
        }
        for letter in text.chars() {
            if harmful(letter) {
                write!(self.0, "\\u{:04x}", u32::from(letter))?;
            } else {
                write!(self.0, "{letter}")?;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> String {
        written_value(&serde_json::Value::from(text))
    }

    fn written_value(value: &serde_json::Value) -> String {
        let mut out = Vec::new();
        serde_json::to_writer(JsonWriter(&mut out), value).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn nothing_reaches_the_terminal_raw() {
        let hostile = "a\u{1b}]0;owned\u{7}b\u{9b}31m\u{202e}c\r\n\u{7f}";
        for safe in [plain(hostile).into_owned(), same_columns(hostile), written(&hostile.replace('\n', ""))] {
            assert!(!safe.contains(is_harmful), "{safe:?}");
        }
        assert_eq!(plain("\u{1b}[31m"), "\\u{1b}[31m");
        assert_eq!(plain("Über uns – 日本"), "Über uns – 日本");
    }

    #[test]
    fn columns_and_json_stay_what_they_are() {
        assert_eq!(same_columns("a\u{1b}\tb").chars().count(), 4);
        let value = serde_json::json!({ "title": "x\u{9b}y\u{7f}\u{202e}" });
        let safe = written_value(&value);
        assert_eq!(serde_json::from_str::<serde_json::Value>(&safe).unwrap(), value);
    }
}

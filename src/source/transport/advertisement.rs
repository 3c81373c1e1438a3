//! The list of refs at the start of a conversation, made safe to read. Everything after it passes through unchanged.
//!
//! Git allows any bytes in a ref's name, git2 stops the thread at a name that is no UTF-8. So bytes that are no UTF-8 become
//! `?`, which no ref name contains: such a ref can be listed, never asked for, and never taken for another.

use std::io::{self, Read};

/// A ref line is far shorter; pkt-line cannot say more than this.
const LONGEST_LINE: usize = 0xffff;

/// Reads pkt-lines until the list is over.
pub(super) struct Advertisement<R> {
    inner: R,
    /// Flush packets still to come: one over ssh, two over HTTP, none once bytes pass through.
    flushes: u8,
    /// A line that was read and not yet given out.
    line: Vec<u8>,
    given: usize,
}

impl<R: Read> Advertisement<R> {
    pub(super) const fn new(inner: R, flushes: u8) -> Self {
        Self { inner, flushes, line: Vec::new(), given: 0 }
    }

    /// What is read from, for what is said in return.
    pub(super) const fn inner_mut(&mut self) -> &mut R {
        &mut self.inner
    }

    /// Reads one whole line into `line`. What is no pkt-line is left to libgit2 to complain about.
    fn next_line(&mut self) -> io::Result<()> {
        self.given = 0;
        self.line.clear();
        if self.read_up_to(4)? < 4 {
            self.flushes = 0;
            return Ok(());
        }
        let length = std::str::from_utf8(&self.line).ok().and_then(|digits| usize::from_str_radix(digits, 16).ok());
        match length {
            Some(0) => self.flushes -= 1,
            Some(length @ 5..=LONGEST_LINE) => {
                self.read_up_to(length)?;
                replace_non_utf8(&mut self.line);
            }
            _ => self.flushes = 0,
        }
        Ok(())
    }

    /// Fills `line` up to `length` bytes, or to the end of the stream.
    fn read_up_to(&mut self, length: usize) -> io::Result<usize> {
        let missing = length.saturating_sub(self.line.len()) as u64;
        (&mut self.inner).take(missing).read_to_end(&mut self.line)?;
        Ok(self.line.len())
    }
}

impl<R: Read> Read for Advertisement<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.given == self.line.len() {
            if self.flushes == 0 {
                return self.inner.read(buffer);
            }
            self.next_line()?;
        }
        let count = self.line.get(self.given..).unwrap_or_default().read(buffer)?;
        self.given += count;
        Ok(count)
    }
}

/// Puts `?` for every byte that is not part of a UTF-8 character. The length stays.
fn replace_non_utf8(line: &mut [u8]) {
    let mut start = 0;
    while let Some(Err(error)) = line.get(start..).map(std::str::from_utf8) {
        let bad = start + error.valid_up_to();
        let end = error.error_len().map_or(line.len(), |length| bad + length);
        if let Some(bytes) = line.get_mut(bad..end) {
            bytes.fill(b'?');
        }
        start = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one byte at a time, as a slow network may.
    struct Slow<'a>(&'a [u8]);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = usize::from(!self.0.is_empty()).min(buffer.len());
            self.0.read(&mut buffer[..count])
        }
    }

    fn through(bytes: &[u8], flushes: u8) -> Vec<u8> {
        let mut out = Vec::new();
        Advertisement::new(Slow(bytes), flushes).read_to_end(&mut out).unwrap();
        out
    }

    #[test]
    fn a_list_in_utf8_passes_unchanged() {
        let bytes = "001e# service=git-upload-pack\n0000000bgröße\n0000after \u{1F9ED}".as_bytes();
        assert_eq!(through(bytes, 2), bytes);
    }

    #[test]
    fn other_bytes_become_question_marks_and_only_in_the_list() {
        assert_eq!(through(b"0009\xffa\xe2\x82\n0000\xff", 1), b"0009?a??\n0000\xff"[..].to_vec());
    }

    #[test]
    fn what_is_no_list_is_passed_on() {
        for bytes in [&b"<html>"[..], b"00", b"", b"0003xyz", b"ffffshort"] {
            assert_eq!(through(bytes, 1), bytes);
        }
    }
}

//! Canonical JSON and the SHA-256 digests made of it: identity by content. What is hashed is decided in `plan`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::ids::IdError;

/// A SHA-256 digest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of some bytes.
    pub fn of(bytes: impl AsRef<[u8]>) -> Self {
        Self(Sha256::digest(bytes.as_ref()).into())
    }

    /// The digest of a value's JSON. Our types write their fields in one order and their maps sorted, so equal values
    /// have equal digests; it is the digest of [`canonical_json`] for a value whose fields are sorted by name.
    pub fn of_value(value: &impl Serialize) -> Self {
        let mut writer = HashWriter { hasher: Sha256::new(), buffer: Vec::with_capacity(BUFFER) };
        // Hashing cannot fail, and our types hold nothing that JSON cannot.
        let _ = serde_json::to_writer(&mut writer, value);
        writer.hasher.update(&writer.buffer);
        Self(writer.hasher.finalize().into())
    }

    /// The digest of several digests, in the order given.
    pub fn of_all<'a>(parts: impl IntoIterator<Item = &'a Digest>) -> Self {
        let mut hasher = Sha256::new();
        for part in parts {
            hasher.update(part.0);
        }
        Self(hasher.finalize().into())
    }

    /// The first `digits` hexadecimal digits (at most 64).
    pub fn prefix(&self, digits: usize) -> String {
        let mut text = hexadecimal(self.0.get(..digits.div_ceil(2)).unwrap_or(&self.0));
        text.truncate(digits);
        text
    }

    /// The raw bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Bytes collected before they are hashed: JSON comes in very small pieces.
const BUFFER: usize = 1024;

/// Hashes what is written, without keeping it.
struct HashWriter {
    hasher: Sha256,
    buffer: Vec<u8>,
}

impl std::io::Write for HashWriter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.buffer.len() + bytes.len() > BUFFER {
            self.hasher.update(&self.buffer);
            self.buffer.clear();
        }
        if bytes.len() >= BUFFER {
            self.hasher.update(bytes);
        } else {
            self.buffer.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hexadecimal(&self.0))
    }
}

/// Bytes as hexadecimal digits, lower case. Names are made of these everywhere, so no formatting a byte at a time.
pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from(if value < 10 { b'0' + value } else { b'a' + value - 10 });
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(digit(byte >> 4));
        text.push(digit(byte & 15));
    }
    text
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for Digest {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let wrong = || IdError { found: text.to_owned() };
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        let mut bytes = [0_u8; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| wrong())?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| wrong())?;
        }
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for Digest {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

/// A value as JSON with sorted keys and no white space, so that equal values are equal bytes.
///
/// `serde_json::Value` keeps its keys sorted (the crate's `preserve_order` feature is off), so going through it sorts.
/// A value that JSON cannot hold (a map with keys that are no text) becomes `null`; our types have none.
pub fn canonical_json(value: &impl Serialize) -> String {
    serde_json::to_value(value).unwrap_or_default().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_keys_does_not_matter() {
        let one: serde_json::Value = serde_json::from_str(r#"{"b":1,"a":{"d":2,"c":3}}"#).unwrap();
        assert_eq!(canonical_json(&one), r#"{"a":{"c":3,"d":2},"b":1}"#);
        assert_eq!(Digest::of_value(&one), Digest::of(r#"{"a":{"c":3,"d":2},"b":1}"#));
    }
}

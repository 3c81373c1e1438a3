//! Git object names as types. Reading objects is `source`'s work.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A text that is not a Git object name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected 40 hexadecimal digits of a Git object, found {found:?}")]
pub struct IdError {
    /// The text as it was given.
    pub found: String,
}

macro_rules! object_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name([u8; 20]);

        impl $name {
            /// The id from its twenty raw bytes.
            pub const fn from_bytes(bytes: [u8; 20]) -> Self {
                Self(bytes)
            }

            /// The twenty raw bytes.
            pub const fn as_bytes(&self) -> &[u8; 20] {
                &self.0
            }

            /// The first ten digits, enough for a person.
            pub fn short(&self) -> String {
                self.to_string()[..10].to_owned()
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let wrong = || IdError { found: text.to_owned() };
                let digits = text.as_bytes();
                if digits.len() != 40 || !digits.iter().all(u8::is_ascii_hexdigit) {
                    return Err(wrong());
                }
                let mut bytes = [0_u8; 20];
                for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
                    let pair = std::str::from_utf8(pair).map_err(|_| wrong())?;
                    *byte = u8::from_str_radix(pair, 16).map_err(|_| wrong())?;
                }
                Ok(Self(bytes))
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;

            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.to_string()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&super::canonical::hexadecimal(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self}")
            }
        }
    };
}

object_id! {
    /// A commit.
    CommitId
}
object_id! {
    /// A directory's content. Equal trees have equal ids, wherever they stand.
    TreeId
}
object_id! {
    /// A file's content. Parsed results are cached by it.
    BlobId
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_as_it_was_written() {
        let text = "00ff5d1ee9c8b7a6f5e4d3c2b1a0918273645546";
        let id: CommitId = text.parse().unwrap();
        assert_eq!(id.to_string(), text);
        assert_eq!(id.short(), "00ff5d1ee9");
        assert!("00ff".parse::<CommitId>().is_err());
        assert!(format!("é{}", &text[2..]).parse::<CommitId>().is_err());
    }
}

//! Amounts: CPU, memory and durations, read from the forms that Connect and Kubernetes use. No limits here.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A text that is no amount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}, found {found:?}")]
pub struct UnitError {
    /// The text as given.
    pub found: String,
    /// The forms that are read.
    pub expected: &'static str,
}

/// CPU in thousandths of a core.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(transparent)]
pub struct Cpu(pub u64);

/// Memory in bytes.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(transparent)]
pub struct Memory(pub u64);

/// A duration in whole seconds.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(transparent)]
pub struct Seconds(pub u64);

/// A decimal number (`1`, `0.5`, `1.25`) times `scale`, rounded up; `None` where it is not one or does not fit.
fn scaled(text: &str, scale: u64) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) || fraction.len() > 9 {
        return None;
    }
    let whole = whole.parse::<u64>().ok()?.checked_mul(scale)?;
    if fraction.is_empty() {
        return Some(whole);
    }
    let power = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let part = (fraction.parse::<u128>().ok()? * u128::from(scale)).div_ceil(power);
    whole.checked_add(u64::try_from(part).ok()?)
}

impl FromStr for Cpu {
    type Err = UnitError;

    /// `0.5`, `2` or `500m`.
    fn from_str(text: &str) -> Result<Self, UnitError> {
        let wrong = || UnitError { found: text.to_owned(), expected: "CPU in cores, such as 0.5, 2 or 500m" };
        let trimmed = text.trim();
        let amount = match trimmed.strip_suffix('m') {
            Some(thousandths) => scaled(thousandths, 1),
            None => scaled(trimmed, 1000),
        };
        amount.map(Self).ok_or_else(wrong)
    }
}

impl fmt::Display for Cpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_multiple_of(1000) { write!(f, "{}", self.0 / 1000) } else { write!(f, "{}m", self.0) }
    }
}

impl FromStr for Memory {
    type Err = UnitError;

    /// Bytes, or `512Mi`, `2Gi`, `500M`.
    fn from_str(text: &str) -> Result<Self, UnitError> {
        let wrong = || UnitError { found: text.to_owned(), expected: "memory in bytes, or such as 512Mi, 2Gi or 500M" };
        let trimmed = text.trim();
        let units: [(&str, u64); 10] = [
            ("Ki", 1 << 10),
            ("Mi", 1 << 20),
            ("Gi", 1 << 30),
            ("Ti", 1 << 40),
            ("k", 1_000),
            ("K", 1_000),
            ("M", 1_000_000),
            ("G", 1_000_000_000),
            ("T", 1_000_000_000_000),
            ("", 1),
        ];
        let found = units.iter().find_map(|(unit, scale)| Some((trimmed.strip_suffix(unit)?, *scale)));
        found.and_then(|(number, scale)| scaled(number, scale)).map(Self).ok_or_else(wrong)
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
        let unit = units.iter().find(|(_, bits)| self.0 >= 1 << bits && self.0.trailing_zeros() >= *bits - 10);
        match unit {
            Some((name, bits)) => {
                let tenths = (u128::from(self.0) * 10) >> bits;
                if tenths.is_multiple_of(10) {
                    write!(f, "{} {name}", tenths / 10)
                } else {
                    write!(f, "{}.{} {name}", tenths / 10, tenths % 10)
                }
            }
            None => write!(f, "{} bytes", self.0),
        }
    }
}

impl FromStr for Seconds {
    type Err = UnitError;

    /// `90`, `90s`, `5m`, `1h`, `1h30m`.
    fn from_str(text: &str) -> Result<Self, UnitError> {
        let wrong =
            || UnitError { found: text.to_owned(), expected: "a duration in seconds, or such as 90s, 5m or 1h" };
        let trimmed = text.trim();
        if let Some(seconds) = scaled(trimmed, 1) {
            return Ok(Self(seconds));
        }
        let mut total = 0_u64;
        let mut rest = trimmed;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
            let (number, tail) = rest.split_at(digits);
            let unit = tail.chars().next().ok_or_else(wrong)?;
            let scale = match unit {
                's' => 1,
                'm' => 60,
                'h' => 3600,
                'd' => 86_400,
                _ => return Err(wrong()),
            };
            let part = number.parse::<u64>().ok().and_then(|n| n.checked_mul(scale)).ok_or_else(wrong)?;
            total = total.checked_add(part).ok_or_else(wrong)?;
            rest = &tail[unit.len_utf8()..];
        }
        if trimmed.is_empty() { Err(wrong()) } else { Ok(Self(total)) }
    }
}

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            seconds if seconds > 0 && seconds.is_multiple_of(3600) => write!(f, "{} h", seconds / 3600),
            seconds if seconds > 0 && seconds.is_multiple_of(60) => write!(f, "{} min", seconds / 60),
            seconds => write!(f, "{seconds} s"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_in_both_spellings() {
        assert_eq!("0.5".parse(), Ok(Cpu(500)));
        assert_eq!("500m".parse(), Ok(Cpu(500)));
        assert_eq!("2Gi".parse(), Ok(Memory(2 << 30)));
        assert_eq!("1.5Gi".parse(), Ok(Memory(3 << 29)));
        assert_eq!("1000".parse(), Ok(Memory(1000)));
        assert_eq!("1h30m".parse(), Ok(Seconds(5400)));
        assert_eq!("90".parse(), Ok(Seconds(90)));
        for bad in ["", "-1", "1e3", "m", "1.2.3", "5x", "99999999999999999999"] {
            assert!(bad.parse::<Cpu>().is_err() && bad.parse::<Seconds>().is_err(), "{bad}");
        }
        assert_eq!(Memory(3 << 29).to_string(), "1.5 GiB");
        assert_eq!(Memory(6 << 30).to_string(), "6 GiB");
    }
}

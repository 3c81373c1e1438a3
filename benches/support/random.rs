//! A small generator of repeatable numbers (splitmix64), so that a seed names a repository. Not for secrets.

/// The state: one number that every draw moves on.
pub struct Random(u64);

impl Random {
    /// Starts from a seed and a place in a list, so that one entry does not depend on how many came before it.
    pub fn at(seed: u64, index: usize) -> Self {
        let place = u64::try_from(index).unwrap_or(u64::MAX);
        Self(seed ^ place.wrapping_add(1).wrapping_mul(0xD6E8_FEB8_6659_FD93))
    }

    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`; 0 when the bound is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    /// A number from `low` to `high`, both possible.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// Whether something that happens `percent` times in a hundred happens.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One entry of a list that is not empty.
    pub fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        let length = u64::try_from(list.len()).unwrap_or(u64::MAX);
        let index = usize::try_from(self.below(length)).unwrap_or(0);
        &list[index]
    }
}

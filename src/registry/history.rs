//! The chain that makes a removed or edited history entry show. Where entries are stored is each registry's business.

use crate::model::Digest;

/// The chain after an entry: anybody can follow it with `printf '%s%s' PREVIOUS ENTRY | sha256sum`. The first entry's
/// previous chain is the empty text.
pub(super) fn link(previous: &str, entry: &str) -> Digest {
    Digest::of(format!("{previous}{entry}"))
}

/// The first place where the history is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Break {
    /// The number of the entry.
    pub number: i64,
    /// What is wrong with it.
    pub problem: String,
}

/// What following the whole history came to. That the newest entries were not removed shows only when `head` is
/// compared with one that is kept elsewhere, as in the commit status.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verification {
    /// How many entries there are.
    pub entries: u64,
    /// The newest entry's chain; `None` where there is no entry or its chain cannot be read.
    pub head: Option<Digest>,
    /// Where it was changed.
    pub broken: Option<Break>,
}

/// Follows a history entry by entry, oldest first.
#[derive(Debug, Default)]
pub(super) struct Follower {
    previous: String,
    number: i64,
    so_far: Verification,
}

impl Follower {
    /// Takes the next entry in, as it is stored.
    pub(super) fn follow(&mut self, number: i64, entry: &str, chain: &str) {
        let expected = self.number.saturating_add(1);
        let problem = if number != expected {
            Some(format!("entry {expected} is missing: the next one found is {number}"))
        } else if link(&self.previous, entry).to_string() != chain {
            Some("the entry or its chain was edited, or the entry before it was removed".to_owned())
        } else {
            None
        };
        if let (None, Some(problem)) = (&self.so_far.broken, problem) {
            self.so_far.broken = Some(Break { number: number.min(expected), problem });
        }
        self.so_far.entries += 1;
        chain.clone_into(&mut self.previous);
        self.number = number;
    }

    /// What it came to.
    pub(super) fn finish(self) -> Verification {
        Verification { head: self.previous.parse().ok(), ..self.so_far }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chained(entries: &[&str]) -> Vec<(i64, String, String)> {
        let mut previous = String::new();
        let mut rows = Vec::new();
        for (number, entry) in (1..).zip(entries) {
            previous = link(&previous, entry).to_string();
            rows.push((number, (*entry).to_owned(), previous.clone()));
        }
        rows
    }

    fn verify(rows: &[(i64, String, String)]) -> Verification {
        let mut follower = Follower::default();
        for (number, entry, chain) in rows {
            follower.follow(*number, entry, chain);
        }
        follower.finish()
    }

    #[test]
    fn an_untouched_history_holds() {
        let rows = chained(&["{\"a\":1}", "{\"a\":2}", "{\"a\":3}"]);
        let found = verify(&rows);
        assert_eq!((found.entries, found.broken), (3, None));
        assert_eq!(found.head.map(|head| head.to_string()).as_deref(), rows.last().map(|row| row.2.as_str()));
        assert_eq!(verify(&[]), Verification::default());
    }

    #[test]
    fn an_edited_a_removed_and_an_inserted_entry_show_where_they_are() {
        let rows = chained(&["1", "2", "3", "4"]);
        let number = |rows: &[(i64, String, String)]| verify(rows).broken.map(|broken| broken.number);

        let mut edited = rows.clone();
        edited[1].1 = "two".to_owned();
        assert_eq!(number(&edited), Some(2));

        // whoever also mends the edited entry's own chain breaks the next one
        edited[1].2 = link(&rows[0].2, "two").to_string();
        assert_eq!(number(&edited), Some(3));

        let mut removed = rows.clone();
        removed.remove(1);
        assert_eq!(number(&removed), Some(2));
        // nor does renumbering help
        for (row, number) in removed.iter_mut().zip(1..) {
            row.0 = number;
        }
        assert_eq!(number(&removed), Some(2));

        let mut first_removed = rows;
        first_removed.remove(0);
        assert_eq!(number(&first_removed), Some(1));
    }
}

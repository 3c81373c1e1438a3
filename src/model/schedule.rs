//! When a rendered item is due: five-field cron expressions in an IANA timezone. No clock here; "now" is passed in.
//!
//! A slot is a minute on the wall clock of the timezone. A slot that a clock change skips is due once, at the moment of
//! the change; one that a clock change doubles is due once, the first time (formats.md, "schedule").

use std::fmt;

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase};
use jiff::{Timestamp, ToSpan};

/// How many days are searched for a slot: leap days can be eight years apart (1896 and 1904).
const DAYS: u32 = 9 * 366;
/// How many slots are passed over around a clock change. The longest doubled period ever was a day.
const SLOTS: u32 = 2 * 24 * 60;

/// A text that is no schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// Not five fields.
    #[error(
        "expected a cron expression of five fields (minute, hour, day of month, month, day of week) such as \"0 6 * * mon-fri\", found {found:?} with {count}"
    )]
    Fields {
        /// The text as given.
        found: String,
        /// How many fields it has.
        count: usize,
    },
    /// One field cannot be read.
    #[error("the {field} of a schedule is {least} to {most}, a list, a range or a step such as */15; found {found:?}")]
    Field {
        /// The field's name.
        field: &'static str,
        /// The smallest value.
        least: u8,
        /// The largest value.
        most: u8,
        /// The part that cannot be read.
        found: String,
    },
    /// A word after `@` that is not known.
    #[error("expected @hourly, @daily, @weekly, @monthly or @yearly, found {found:?}")]
    Word {
        /// The text as given.
        found: String,
    },
    /// No day of any year matches.
    #[error("the schedule {found:?} is never due: no month has that day")]
    Never {
        /// The text as given.
        found: String,
    },
    /// Not in the timezone database.
    #[error("expected a timezone such as UTC or Europe/Berlin, found {found:?}")]
    Timezone {
        /// The text as given.
        found: String,
    },
}

/// The bounds and the names of one field.
struct Field {
    name: &'static str,
    least: u8,
    most: u8,
    names: &'static [&'static str],
}

const MINUTE: Field = Field { name: "minute", least: 0, most: 59, names: &[] };
const HOUR: Field = Field { name: "hour", least: 0, most: 23, names: &[] };
const DAY: Field = Field { name: "day of month", least: 1, most: 31, names: &[] };
const MONTH: Field = Field {
    name: "month",
    least: 1,
    most: 12,
    names: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
};
/// Sunday is 0 and 7.
const WEEKDAY: Field =
    Field { name: "day of week", least: 0, most: 7, names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"] };

impl Field {
    /// The values of a list such as `1,5-9,*/2`, one bit each.
    fn read(&self, text: &str) -> Result<u64, ScheduleError> {
        text.split(',').try_fold(0, |bits, part| {
            let wrong =
                || ScheduleError::Field { field: self.name, least: self.least, most: self.most, found: part.into() };
            Ok(bits | self.part(part).ok_or_else(wrong)?)
        })
    }

    fn part(&self, part: &str) -> Option<u64> {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(step.parse::<u8>().ok().filter(|step| *step > 0)?)),
            None => (part, None),
        };
        let (first, last) = match range.split_once('-') {
            _ if range == "*" => (self.least, self.most),
            Some((first, last)) => (self.value(first)?, self.value(last)?),
            // `5/15` is read as `5-59/15`, as most crons do.
            None => (self.value(range)?, if step.is_some() { self.most } else { self.value(range)? }),
        };
        if first > last {
            return None;
        }
        Some((first..=last).step_by(step.unwrap_or(1).into()).fold(0, |bits, value| bits | 1 << value))
    }

    fn value(&self, text: &str) -> Option<u8> {
        if let Some(index) = self.names.iter().position(|name| name.eq_ignore_ascii_case(text)) {
            return u8::try_from(index).ok()?.checked_add(self.least);
        }
        let digits = !text.is_empty() && text.len() <= 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|value| digits && (self.least..=self.most).contains(value))
    }
}

/// The slots of a cron expression, one bit for each value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cron {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// With both given, a day matches if either does, as in every cron since Vixie's.
    either_day: bool,
}

impl Cron {
    fn read(text: &str) -> Result<Self, ScheduleError> {
        let expression = match text.trim() {
            "@yearly" | "@annually" => "0 0 1 1 *",
            "@monthly" => "0 0 1 * *",
            "@weekly" => "0 0 * * 0",
            "@daily" | "@midnight" => "0 0 * * *",
            "@hourly" => "0 * * * *",
            word if word.starts_with('@') => return Err(ScheduleError::Word { found: text.to_owned() }),
            expression => expression,
        };
        let fields: Vec<&str> = expression.split_ascii_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields[..] else {
            return Err(ScheduleError::Fields { found: text.to_owned(), count: fields.len() });
        };
        let weekdays = WEEKDAY.read(weekday)?;
        let cron = Self {
            minutes: MINUTE.read(minute)?,
            hours: HOUR.read(hour)?,
            days: DAY.read(day)?,
            months: MONTH.read(month)?,
            weekdays: (weekdays | weekdays >> 7) & 0x7f,
            either_day: !day.starts_with('*') && !weekday.starts_with('*'),
        };
        let start = DateTime::constant(2000, 1, 1, 0, 0, 0, 0);
        cron.at_or_after(start).map(|_| cron).ok_or_else(|| ScheduleError::Never { found: text.to_owned() })
    }

    fn matches_day(&self, date: Date) -> bool {
        let has = |bits: u64, value: i8| bits >> value & 1 == 1;
        let day = has(self.days, date.day());
        let weekday = has(self.weekdays, date.weekday().to_sunday_zero_offset());
        has(self.months, date.month()) && if self.either_day { day || weekday } else { day && weekday }
    }

    /// The first slot at or after a minute.
    fn at_or_after(&self, from: DateTime) -> Option<DateTime> {
        let (mut date, mut hour, mut minute) = (from.date(), from.hour(), from.minute());
        for _ in 0..DAYS {
            if self.matches_day(date)
                && let Some(time) = self.time_at_or_after(hour, minute)
            {
                return Some(date.to_datetime(time));
            }
            (date, hour, minute) = (date.tomorrow().ok()?, 0, 0);
        }
        None
    }

    fn time_at_or_after(&self, hour: i8, minute: i8) -> Option<Time> {
        let lowest = |bits: u64, from: i8| {
            let left = bits & (u64::MAX << from);
            (left != 0).then(|| left.trailing_zeros()).and_then(|value| i8::try_from(value).ok())
        };
        let same = (self.hours >> hour & 1 == 1).then(|| lowest(self.minutes, minute)).flatten();
        match same {
            Some(minute) => Time::new(hour, minute, 0, 0).ok(),
            None => Time::new(lowest(self.hours, hour + 1)?, lowest(self.minutes, 0)?, 0, 0).ok(),
        }
    }

    /// The last slot at or before a minute.
    fn at_or_before(&self, from: DateTime) -> Option<DateTime> {
        let (mut date, mut hour, mut minute) = (from.date(), from.hour(), from.minute());
        for _ in 0..DAYS {
            if self.matches_day(date)
                && let Some(time) = self.time_at_or_before(hour, minute)
            {
                return Some(date.to_datetime(time));
            }
            (date, hour, minute) = (date.yesterday().ok()?, 23, 59);
        }
        None
    }

    fn time_at_or_before(&self, hour: i8, minute: i8) -> Option<Time> {
        let highest = |bits: u64, to: i8| {
            let left = if to < 0 { 0 } else { bits & (u64::MAX >> (63 - to)) };
            left.checked_ilog2().and_then(|value| i8::try_from(value).ok())
        };
        let same = (self.hours >> hour & 1 == 1).then(|| highest(self.minutes, minute)).flatten();
        match same {
            Some(minute) => Time::new(hour, minute, 0, 0).ok(),
            None => Time::new(highest(self.hours, hour - 1)?, highest(self.minutes, 59)?, 0, 0).ok(),
        }
    }
}

/// A cron expression in a timezone.
#[derive(Clone)]
pub struct Schedule {
    cron: Cron,
    zone: TimeZone,
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schedule").field("cron", &self.cron).field("zone", &self.zone.iana_name()).finish()
    }
}

impl Schedule {
    /// Reads a cron expression, and the IANA name of a timezone (`None` is UTC) from the database inside the program.
    pub fn read(expression: &str, timezone: Option<&str>) -> Result<Self, ScheduleError> {
        let cron = Cron::read(expression)?;
        let zone = match timezone {
            None => TimeZone::UTC,
            Some(name) => Self::timezone(name)?,
        };
        Ok(Self { cron, zone })
    }

    /// Reads the name of a timezone.
    pub fn timezone(name: &str) -> Result<TimeZone, ScheduleError> {
        TimeZoneDatabase::bundled().get(name).map_err(|_| ScheduleError::Timezone { found: name.to_owned() })
    }

    /// The first slot after a moment.
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let mut slot = self.cron.at_or_after(self.zone.to_datetime(after))?;
        for _ in 0..SLOTS {
            let due = self.moment(slot)?;
            if due > after {
                return Some(due);
            }
            slot = self.following(slot)?;
        }
        None
    }

    /// The latest slot in `(after, now]`: of several missed ones only the last is run.
    pub fn latest_due(&self, after: Timestamp, now: Timestamp) -> Option<Timestamp> {
        let mut slot = self.cron.at_or_before(self.zone.to_datetime(now))?;
        let mut latest = self.moment(slot)?;
        // While the clock shows an hour for the second time, slots that it shows later have been due already.
        for _ in 0..SLOTS {
            let Some((later, due)) = self
                .following(slot)
                .and_then(|later| Some((later, self.moment(later)?)))
                .filter(|(_, due)| *due <= now)
            else {
                break;
            };
            (slot, latest) = (later, due);
        }
        (after < latest && latest <= now).then_some(latest)
    }

    fn following(&self, slot: DateTime) -> Option<DateTime> {
        self.cron.at_or_after(slot.checked_add(1.minute()).ok()?)
    }

    /// When a slot is due. Later slots are never due earlier, on which both searches rest.
    fn moment(&self, slot: DateTime) -> Option<Timestamp> {
        match self.zone.to_ambiguous_timestamp(slot).offset() {
            AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(slot).ok(),
            AmbiguousOffset::Fold { before, .. } => before.to_timestamp(slot).ok(),
            AmbiguousOffset::Gap { after, .. } => {
                let before_the_change = after.to_timestamp(slot).ok()?;
                self.zone.following(before_the_change).next().map(|change| change.timestamp())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn schedule(expression: &str, zone: &str) -> Schedule {
        Schedule::read(expression, Some(zone)).unwrap()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn due(expression: &str, zone: &str, after: &str, until: &str) -> Vec<String> {
        let (schedule, mut after, until) = (schedule(expression, zone), at(after), at(until));
        let mut found = Vec::new();
        while let Some(next) = schedule.next(after).filter(|next| *next <= until) {
            found.push(next.to_string());
            after = next;
        }
        found
    }

    #[test]
    fn common_expressions_are_due_when_people_expect() {
        let (start, end) = ("2026-11-20T00:00:00Z", "2026-11-24T00:00:00Z");
        assert_eq!(due("0 6 * * mon-fri", "UTC", start, end), ["2026-11-20T06:00:00Z", "2026-11-23T06:00:00Z"]);
        assert_eq!(due("30 5 21,22 NOV 3", "UTC", start, end), ["2026-11-21T05:30:00Z", "2026-11-22T05:30:00Z"]);
        assert_eq!(due("@weekly", "Europe/Berlin", start, end), ["2026-11-21T23:00:00Z"]);
        assert_eq!(due("0 0 * * 7", "UTC", start, end), ["2026-11-22T00:00:00Z"]);
        assert_eq!(due("5/30 23 20 * *", "UTC", start, end), ["2026-11-20T23:05:00Z", "2026-11-20T23:35:00Z"]);
        assert_eq!(schedule("0 0 29 2 *", "UTC").next(at(start)), Some(at("2028-02-29T00:00:00Z")));
    }

    #[test]
    fn a_skipped_slot_is_due_once_and_a_doubled_one_once() {
        // Berlin, 2026: the clock goes from 2:00 to 3:00 on 29 March (01:00Z) and from 3:00 to 2:00 on 25 October.
        let spring = ("2026-03-29T00:00:00Z", "2026-03-29T23:00:00Z");
        assert_eq!(due("30 2 * * *", "Europe/Berlin", spring.0, spring.1), ["2026-03-29T01:00:00Z"]);
        assert_eq!(
            due("0,30 2-3 * * *", "Europe/Berlin", spring.0, spring.1),
            ["2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z"]
        );
        let autumn = ("2026-10-24T22:00:00Z", "2026-10-25T22:00:00Z");
        assert_eq!(due("30 2 * * *", "Europe/Berlin", autumn.0, autumn.1), ["2026-10-25T00:30:00Z"]);
        assert_eq!(
            due("0,45 2-3 * * *", "Europe/Berlin", autumn.0, autumn.1),
            ["2026-10-25T00:00:00Z", "2026-10-25T00:45:00Z", "2026-10-25T02:00:00Z", "2026-10-25T02:45:00Z"]
        );
        // While 2:10 comes for the second time, the latest due slot is that of the first 2:45.
        let twice = schedule("*/45 * * * *", "Europe/Berlin");
        assert_eq!(
            twice.latest_due(at("2026-10-24T00:00:00Z"), at("2026-10-25T01:10:00Z")),
            Some(at("2026-10-25T00:45:00Z"))
        );
    }

    #[test]
    fn only_the_latest_missed_slot_is_due() {
        let daily = schedule("0 6 * * *", "UTC");
        let last = at("2026-11-01T06:00:00Z");
        assert_eq!(daily.latest_due(last, at("2026-11-10T05:59:59Z")), Some(at("2026-11-09T06:00:00Z")));
        assert_eq!(daily.latest_due(last, last), None);
        assert_eq!(daily.latest_due(last, at("2026-11-02T06:00:00Z")), Some(at("2026-11-02T06:00:00Z")));
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_a_reason() {
        for (text, reason) in [
            ("* * * *", "with 4"),
            ("0 0 6 * * *", "with 6"),
            ("60 * * * *", "minute"),
            ("* * * foo *", "month"),
            ("* * * * fri-mon", "day of week"),
            ("*/0 * * * *", "minute"),
            ("@often", "@hourly"),
            ("0 0 30 2 *", "never due"),
            ("+1 * * * *", "minute"),
        ] {
            let message = Schedule::read(text, None).unwrap_err().to_string();
            assert!(message.contains(reason), "{text}: {message}");
        }
        assert!(Schedule::read("@daily", Some("Europe/Atlantis")).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[ -~*/,0-9a-z@]{0,30}") {
            let _ = Schedule::read(&text, Some(&text));
        }

        #[test]
        fn the_latest_due_slot_is_the_last_of_those_that_come_next(
            minute in 0..60, hour in "\\*|[0-4]|\\*/2", start in 0_i64..86_400 * 400, minutes in 0_i64..6000,
            zone in prop_oneof![Just("Europe/Berlin"), Just("America/New_York"), Just("Australia/Lord_Howe"), Just("Pacific/Apia")],
        ) {
            // From 2011-10-01: Samoa skipped a whole day at the end of that year.
            let schedule = schedule(&format!("{minute} {hour} * * *"), zone);
            let after = Timestamp::from_second(1_317_427_200 + start).unwrap();
            let now = after + minutes.minutes();
            let mut walked = None;
            let mut here = after;
            while let Some(next) = schedule.next(here).filter(|next| *next <= now) {
                prop_assert!(next > here);
                (walked, here) = (Some(next), next);
            }
            prop_assert_eq!(schedule.latest_due(after, now), walked);
        }
    }
}

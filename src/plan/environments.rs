//! The plan of the environment records. Which item runs in which environment is `select`'s work.

use super::goal::{Goal, WantedEnvironment};
use super::observed::{Observed, Ownership, Record};
use super::operation::{Action, Operation, Payload, Precondition, Stalled, Subject};
use crate::model::{Environment, ImageRef, RedirectLevel};

/// Environments that leave: their image and record.
pub(super) type LeavingEnvironment<'a> = (&'a ImageRef, &'a Record<Environment>);

/// Records to be written, in the order of their images.
pub(super) fn write(goal: &Goal<'_>, observed: Observed<'_>, stalled: &mut Vec<Stalled>) -> Vec<Operation> {
    let mut operations = Vec::new();
    for (image, wanted) in goal.environments {
        let record = observed.registry.environments.get(image);
        match record {
            Some(record) if record.ownership == Ownership::Foreign && !goal.options.adopt => stalled.push(Stalled {
                name: image.to_string(),
                reason: "a record of this environment exists and is not this instance's".to_owned(),
                help: Some("take it over with wharf apply --adopt, or remove it there".to_owned()),
                tail: Vec::new(),
            }),
            _ => operations.extend(write_one(image, wanted, record)),
        }
    }
    for (image, reason) in goal.broken_environments {
        stalled.push(Stalled {
            name: image.to_string(),
            reason: reason.clone(),
            help: Some("its record keeps its last good state until the entry is mended; see wharf validate".to_owned()),
            tail: Vec::new(),
        });
    }
    operations
}

fn write_one(image: &ImageRef, wanted: &WantedEnvironment, record: Option<&Record<Environment>>) -> Option<Operation> {
    let (action, reason, before, precondition) = match record {
        None => (Action::Create, "new environment".to_owned(), None, Precondition::Absent),
        Some(record) => {
            let foreign = record.ownership == Ownership::Foreign;
            let drifted = record.stored != record.applied;
            if !foreign && !drifted && record.applied == wanted.digest && record.origin == wanted.origin {
                return None;
            }
            let reason = match (foreign, drifted) {
                (true, _) => "taken over, as --adopt asks".to_owned(),
                (false, true) => "drift: the record was edited".to_owned(),
                (false, false) => changed(&record.form, &wanted.form),
            };
            let action = if foreign { Action::Adopt } else { Action::Update };
            let precondition = Precondition::Present { uid: record.uid.clone(), digest: record.stored };
            (action, reason, serde_json::to_value(&record.form).ok(), precondition)
        }
    };
    Some(Operation {
        action,
        subject: Subject::Environment(image.clone()),
        item: None,
        reason,
        before,
        after: Vec::new(),
        precondition,
        payload: Payload::Environment { form: wanted.form.clone(), origin: wanted.origin.clone() },
        housekeeping: false,
        due: true,
    })
}

fn changed(old: &Environment, new: &Environment) -> String {
    let mut found = Vec::new();
    let mut differs = |differs: bool, text: &str| {
        if differs {
            found.push(text.to_owned());
        }
    };
    differs(old.installations != new.installations, "installations changed");
    differs(old.digest != new.digest, "image moved digest");
    differs(old.matching != new.matching, "matching changed");
    differs(old.redirect != new.redirect, "redirect changed");
    differs(old.supervisor != new.supervisor, "supervisor changed");
    differs(old.volume_mounts != new.volume_mounts, "volume mounts changed");
    differs(old.title != new.title || old.description != new.description, "title or description changed");
    differs(old.guid != new.guid, "guid changed");
    if found.is_empty() { "its file changed".to_owned() } else { found.join(", ") }
}

/// Environments that are recorded and not wanted any more. None while any environment file is unreadable.
pub(super) fn leaving<'a>(goal: &Goal<'a>, observed: Observed<'a>) -> Vec<LeavingEnvironment<'a>> {
    if !goal.environments_complete {
        return Vec::new();
    }
    let recorded = observed.registry.environments.iter();
    let unwanted = recorded.filter(|(image, record)| {
        !goal.environments.contains_key(*image)
            && !goal.broken_environments.contains_key(*image)
            && record.ownership == Ownership::Ours
    });
    unwanted.collect()
}

/// One environment's record is deleted.
pub(super) fn remove((image, record): LeavingEnvironment<'_>) -> Operation {
    Operation {
        action: Action::Delete,
        subject: Subject::Environment(image.clone()),
        item: None,
        reason: "it left the repository".to_owned(),
        before: serde_json::to_value(&record.form).ok(),
        after: Vec::new(),
        precondition: Precondition::Present { uid: record.uid.clone(), digest: record.stored },
        payload: Payload::Nothing,
        housekeeping: false,
        due: true,
    }
}

/// The sentence shown where an environment has a successor.
pub fn redirect_text(environment: &Environment) -> Option<(RedirectLevel, String)> {
    let redirect = environment.redirect.as_ref()?;
    let message = redirect.message.as_deref().map(|message| format!(": {message}")).unwrap_or_default();
    Some((redirect.level, format!("{} is replaced by {}{message}", environment.name, redirect.to)))
}

//! The goal of a plan from a desired state: every item gets its environment, and what it should be. Cached by what it
//! is made of, so that a commit that changes one file costs one item.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::desired::{Desired, DesiredEnvironment};
use crate::executor::Candidates;
use crate::model::{
    Demands, Digest, Environment, Guid, ImageRef, Instance, Item, ItemName, Language, Policy, Selected, is_started_here,
};
use crate::plan::{
    Goal, ItemGoal, Note, Options, Origin, RegistryView, Site, WantedEnvironment, WantedItem, redirect_text, resolve,
};
use crate::select::{Again, Availability, Candidate, NoFit, Recorded, choose_again, demands_digest, explain};

/// What the operator's configuration adds to a goal.
#[derive(Debug, Clone)]
pub struct GoalSettings {
    /// Whose items they are.
    pub instance: Instance,
    /// The supervisor of environments that name none.
    pub supervisor: Option<String>,
    /// Whether an item that asks for an image may run on this host.
    pub require_image_match: bool,
    /// The session protocol that jobs speak.
    pub protocol: u32,
}

/// The parts of a [`Goal`], owned.
#[derive(Debug, Clone)]
pub struct Goals {
    environments: Arc<BTreeMap<ImageRef, WantedEnvironment>>,
    broken_environments: Arc<BTreeMap<ImageRef, String>>,
    environments_complete: bool,
    /// What should become of each item.
    pub items: BTreeMap<ItemName, ItemGoal>,
    notes: BTreeSet<Note>,
    policy: Arc<Policy>,
}

impl Goals {
    /// The goal, with the operator's choices.
    pub fn goal(&self, options: Options) -> Goal<'_> {
        Goal {
            environments: &self.environments,
            broken_environments: &self.broken_environments,
            environments_complete: self.environments_complete,
            items: &self.items,
            notes: &self.notes,
            policy: &self.policy,
            options,
        }
    }
}

/// What one item's goal was made of, and the goal.
struct Cached {
    item: Arc<Item>,
    /// The recorded form its selection was made with; `None` without one, or when it is to be made afresh.
    recorded: Option<Arc<WantedItem>>,
    goal: ItemGoal,
    notes: Vec<Note>,
}

/// Makes goals, and remembers those of items that did not change.
pub struct GoalMaker {
    settings: GoalSettings,
    /// The digest of everything that is the same for all items: a change of it empties the caches.
    context: Option<Digest>,
    items: HashMap<ItemName, Cached>,
    choices: HashMap<(Digest, Option<Selected>), Result<Again, NoFit>>,
}

/// Everything that is the same for all items of one commit.
struct Setting<'a> {
    desired: &'a Desired,
    candidates: Vec<Candidate<'a>>,
    by_name: BTreeMap<&'a ImageRef, &'a Environment>,
    /// On this host: which languages are missing, and what to install.
    host: Option<&'a [(Language, String)]>,
}

impl GoalMaker {
    /// A maker with empty caches.
    pub fn new(settings: GoalSettings) -> Self {
        Self { settings, context: None, items: HashMap::new(), choices: HashMap::new() }
    }

    /// The goal of a desired state.
    pub fn make(&mut self, desired: &Desired, candidates: &Candidates, registry: &RegistryView) -> Goals {
        let setting = self.setting(desired, candidates, registry);
        self.forget_unless_equal(&setting);
        let mut items = BTreeMap::new();
        let mut notes = BTreeSet::new();
        for (name, item) in &desired.items {
            let recorded = recorded(name, registry);
            let cached = self.items.get(name);
            let same = |cached: &&Cached| match (&cached.recorded, recorded) {
                (Some(one), Some(other)) => Arc::ptr_eq(one, other),
                (one, other) => one.is_none() && other.is_none(),
            };
            let hit = cached.filter(|cached| Arc::ptr_eq(&cached.item, item)).filter(same);
            if let Some(cached) = hit {
                items.insert(name.clone(), cached.goal.clone());
                notes.extend(cached.notes.iter().cloned());
                continue;
            }
            let (goal, said) = self.item(item, recorded.and_then(|form| selection_of(form)).as_ref(), &setting);
            items.insert(name.clone(), goal.clone());
            notes.extend(said.iter().cloned());
            self.items
                .insert(name.clone(), Cached { item: item.clone(), recorded: recorded.cloned(), goal, notes: said });
        }
        for (name, broken) in &desired.broken_items {
            let reason = broken.first.message.clone();
            let place = broken.first.place.as_ref().map(|place| format!("{place}: ")).unwrap_or_default();
            items.insert(
                name.clone(),
                ItemGoal::Keep { reason: format!("{place}{reason}"), help: broken.first.help.clone() },
            );
        }
        if self.items.len() > desired.items.len() * 2 + 16 {
            self.items.retain(|name, _| desired.items.contains_key(name));
        }
        Goals {
            environments: Arc::new(desired.environments.iter().map(|(name, it)| (name.clone(), wanted(it))).collect()),
            broken_environments: Arc::new(broken_environments(desired)),
            environments_complete: desired.environments_complete,
            items,
            notes,
            policy: desired.policy.clone(),
        }
    }

    fn setting<'a>(&self, desired: &'a Desired, candidates: &'a Candidates, registry: &'a RegistryView) -> Setting<'a> {
        let guid = |environment: &Environment| {
            let derived = || Guid::derived(&self.settings.instance, "environment", environment.name.as_str());
            environment.guid.unwrap_or_else(derived)
        };
        match candidates {
            Candidates::Host { environment, missing } => {
                let environment: &Environment = environment;
                let candidate =
                    Candidate { environment, guid: guid(environment), availability: Availability::Runnable };
                let by_name = BTreeMap::from([(&environment.name, environment)]);
                Setting { desired, candidates: vec![candidate], by_name, host: Some(missing) }
            }
            Candidates::FromGit => {
                let environments = desired.environments.values().map(|it| &it.environment);
                let environments = environments.chain(last_good(desired, registry));
                let candidates = environments.clone().map(|environment| Candidate {
                    environment,
                    guid: guid(environment),
                    availability: Availability::Runnable,
                });
                let by_name = environments.map(|environment| (&environment.name, environment)).collect();
                Setting { desired, candidates: candidates.collect(), by_name, host: None }
            }
        }
    }

    /// Empties the caches when what all items share changed.
    fn forget_unless_equal(&mut self, setting: &Setting<'_>) {
        let environments: Vec<_> =
            setting.candidates.iter().map(|it| (it.environment, it.availability == Availability::Runnable)).collect();
        let context = Digest::of_value(&(&*setting.desired.policy, environments, setting.host));
        if self.context != Some(context) {
            self.context = Some(context);
            self.items.clear();
            self.choices.clear();
        }
    }

    /// What one item should be.
    fn item(&mut self, item: &Item, recorded: Option<&Recorded>, setting: &Setting<'_>) -> (ItemGoal, Vec<Note>) {
        let mut notes = Vec::new();
        if item.demands.no_environment {
            let wanted = resolve(item, None, demands_digest(&item.demands), &self.site(setting));
            return (ItemGoal::Wanted(Arc::new(wanted)), notes);
        }
        if let Some(goal) = Self::not_here(item, setting).or_else(|| Self::not_installable(item, setting)) {
            return (goal, notes);
        }
        let demands = match self.demands_here(item, setting, &mut notes) {
            Ok(demands) => demands,
            Err(goal) => return (goal, notes),
        };
        let digest = demands_digest(&demands);
        let again = match self.choose(digest, &demands, recorded, setting) {
            Ok(again) => again,
            Err(problem) => {
                let diagnostic = explain::diagnostic(&problem, &demands, &item.manifest_place);
                let place = diagnostic.place.as_ref().map(|place| format!("{place}: ")).unwrap_or_default();
                let reason = format!("{place}{}", diagnostic.message);
                return (ItemGoal::Keep { reason, help: diagnostic.help }, notes);
            }
        };
        if let Some(to) = &again.could_move {
            notes.push(note(item, "could-move", could_move(&again, to)));
        }
        let Some(chosen) = &again.chosen else {
            let wanted = resolve(item, None, digest, &self.site(setting));
            return (ItemGoal::Wanted(Arc::new(wanted)), notes);
        };
        let Some(environment) = setting.by_name.get(&chosen.selected.environment) else {
            let reason = format!("its environment {} is not there any more", chosen.selected.environment);
            return (ItemGoal::Keep { reason, help: None }, notes);
        };
        if let Some((_, text)) = redirect_text(environment) {
            notes.push(note(item, "redirect", text));
        }
        let wanted = resolve(item, Some((&chosen.selected, environment)), digest, &self.site(setting));
        (ItemGoal::Wanted(Arc::new(wanted)), notes)
    }

    fn site<'a>(&'a self, setting: &'a Setting<'_>) -> Site<'a> {
        Site {
            policy: &setting.desired.policy,
            instance: &self.settings.instance,
            supervisor: self.settings.supervisor.as_deref(),
            protocol: self.settings.protocol,
        }
    }

    /// On this host: an item whose language is not installed is reported, and fails nothing.
    fn not_here(item: &Item, setting: &Setting<'_>) -> Option<ItemGoal> {
        let missing = setting.host?;
        let found: Vec<&str> = missing
            .iter()
            .filter(|(language, _)| item.demands.languages.contains_key(language))
            .map(|(_, install)| install.as_str())
            .collect();
        let appmode = item.manifest.appmode;
        let reason = match (found.is_empty(), is_started_here(appmode)) {
            (false, _) => format!("not runnable here: {}", found.join("; ")),
            (true, false) => format!("not runnable here: this version starts no {} ({appmode}) yet", appmode.title()),
            (true, true) => return None,
        };
        Some(ItemGoal::NotRunnableHere { reason })
    }

    /// Package lists that are recognised and that this version cannot install from.
    fn not_installable(item: &Item, setting: &Setting<'_>) -> Option<ItemGoal> {
        setting.host?;
        let file = &item.manifest.python_packages.as_ref()?.path;
        let is_list = !["toml", "lock"].iter().any(|ending| file.rsplit('.').next() == Some(ending));
        (!is_list).then(|| ItemGoal::Keep {
            reason: format!("its packages are listed in {file}, which this version does not install from"),
            help: Some("name a requirements.txt in the manifest; uv export and pip freeze write one".to_owned()),
        })
    }

    /// The demands as this executor can meet them: on a host there is no image to be asked for.
    fn demands_here(&self, item: &Item, setting: &Setting<'_>, notes: &mut Vec<Note>) -> Result<Demands, ItemGoal> {
        let demands = Demands::clone(&item.demands);
        let (Some(_), Some(asked)) = (setting.host, &demands.explicit) else { return Ok(demands) };
        if self.settings.require_image_match {
            return Err(ItemGoal::Keep {
                reason: format!("it asks for {asked}, and this host is no image (local.require_image_match is on)"),
                help: Some("run it with a cluster's executor, or switch local.require_image_match off".to_owned()),
            });
        }
        notes.push(note(item, "runs-on-host", format!("asks for {asked}, runs on this host")));
        Ok(demands.without_explicit())
    }

    /// The choice for these demands, made once for all items that ask the same.
    fn choose(
        &mut self,
        digest: Digest,
        demands: &Demands,
        recorded: Option<&Recorded>,
        setting: &Setting<'_>,
    ) -> Result<Again, NoFit> {
        let relevant = recorded.filter(|recorded| recorded.demands == digest);
        let key = (digest, relevant.map(|recorded| recorded.selected.clone()));
        let choice = self.choices.entry(key);
        let policy = &setting.desired.policy;
        choice.or_insert_with(|| choose_again(demands, &setting.candidates, policy, relevant)).clone()
    }
}

/// Environments whose entry cannot be read now: items stay on them as they were recorded.
fn last_good<'a>(desired: &'a Desired, registry: &'a RegistryView) -> impl Iterator<Item = &'a Environment> + Clone {
    registry
        .environments
        .iter()
        .filter(|(image, _)| !desired.environments.contains_key(*image))
        .filter(|(image, _)| !desired.environments_complete || desired.broken_environments.contains_key(*image))
        .map(|(_, record)| &*record.form)
}

/// The recorded selection of an item, unless it is to be computed afresh.
fn recorded<'a>(name: &ItemName, registry: &'a RegistryView) -> Option<&'a Arc<WantedItem>> {
    let record = registry.contents.get(name).filter(|_| !registry.memory.reselect.contains(name))?;
    if record.stored == record.applied {
        return Some(&record.form);
    }
    // What somebody wrote into a record by hand is no selection of ours.
    registry.memory.revisions.get(name)?.first()
}

fn selection_of(form: &WantedItem) -> Option<Recorded> {
    Some(Recorded { selected: form.selected.clone()?, demands: form.demands })
}

fn note(item: &Item, kind: &str, text: String) -> Note {
    Note { name: item.name.to_string(), kind: kind.to_owned(), text }
}

fn could_move(again: &Again, to: &Selected) -> String {
    let from = again.chosen.as_ref().map(|chosen| &chosen.selected);
    let versions = |selected: &Selected| {
        let versions = selected.installations.iter();
        versions.map(|(language, it)| format!("{language} {}", it.version)).collect::<Vec<_>>().join(", ")
    };
    match from {
        Some(from) if from.environment == to.environment => {
            format!("could move: {} -> {} in {}", versions(from), versions(to), to.environment)
        }
        Some(from) => format!("could move: {} -> {}", from.environment, to.environment),
        None => format!("could move to {}", to.environment),
    }
}

fn wanted(desired: &Arc<DesiredEnvironment>) -> WantedEnvironment {
    WantedEnvironment {
        form: Arc::new(desired.environment.clone()),
        digest: desired.digest,
        origin: Origin { path: desired.place.file.to_string(), blob: desired.blob },
    }
}

fn broken_environments(desired: &Desired) -> BTreeMap<ImageRef, String> {
    let broken = desired.broken_environments.iter();
    broken.map(|(image, broken)| (image.clone(), format!("{}: {}", broken.place, broken.first.message))).collect()
}

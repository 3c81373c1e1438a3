//! What the policy and the appmode allow of an item's settings. Which fields there are: `content_yaml`.

use globset::{GlobBuilder, GlobMatcher};

use super::content_yaml::Placed;
use super::source_text::quoted;
use crate::model::{
    Appmode, Code, Diagnostic, EnvironmentValue, ItemName, Kind, Limits, Place, Policy, Settings, Severity,
};

/// A request above its limit, or a limit above the policy's.
pub const TOO_MUCH: Code = Code::new("E0406");
/// More processes at least than at most.
pub const PROCESSES: Code = Code::new("E0407");
/// A secret that the policy does not allow this item.
pub const SECRET: Code = Code::new("E0408");
/// A service account that is not on the policy's list.
pub const SERVICE_ACCOUNT: Code = Code::new("E0409");
/// Interactive content that never starts.
pub const NEVER_STARTED: Code = Code::new("W0406");
/// A setting that has no effect on this appmode.
pub const NO_EFFECT: Code = Code::new("W0404");

/// `max_processes` where nobody says it (formats.md).
const DEFAULT_MAX_PROCESSES: u32 = 3;

/// A secret rule whose globs were read.
#[derive(Debug)]
struct SecretMatcher {
    items: GlobMatcher,
    names: GlobMatcher,
}

/// The policy's rules on settings, ready for many items.
#[derive(Debug)]
pub struct SettingsRules {
    limits: Limits,
    service_accounts: Vec<String>,
    secrets: Vec<SecretMatcher>,
}

impl SettingsRules {
    /// The rules of a policy. A glob that cannot be read allows nothing; reading the policy reports it.
    pub fn of(policy: &Policy) -> Self {
        // `*` stays inside one part of a name, as in a shell: what opens secrets is read narrowly.
        let glob = |text: &str| {
            let glob = GlobBuilder::new(text).literal_separator(true).build();
            glob.ok().map(|glob| glob.compile_matcher())
        };
        let secrets = policy.secrets_allow.iter();
        let secrets = secrets
            .filter_map(|rule| Some(SecretMatcher { items: glob(&rule.items)?, names: glob(&rule.names)? }))
            .collect();
        Self { limits: policy.limits, service_accounts: policy.service_accounts.clone(), secrets }
    }

    /// Checks the settings of one item: `written` is what its content.yaml says, `settings` that with the defaults.
    /// `otherwise` is the place of what the file does not say.
    pub fn check(
        &self,
        item: &ItemName,
        appmode: Appmode,
        settings: &Settings,
        written: &Placed,
        otherwise: &Place,
    ) -> Vec<Diagnostic> {
        let mut check = Check { written, otherwise, found: Vec::new() };
        check.processes(settings, self.limits.processes);
        let cpu = [settings.cpu_request, settings.cpu_limit, self.limits.cpu];
        check.amounts(["cpu_request", "cpu_limit", "limits.cpu"], cpu);
        let memory = [settings.memory_request, settings.memory_limit, self.limits.memory];
        check.amounts(["memory_request", "memory_limit", "limits.memory"], memory);
        self.secrets(item, settings, &mut check);
        self.service_account(settings, &mut check);
        check.without_effect(appmode);
        check.found
    }

    fn secrets(&self, item: &ItemName, settings: &Settings, check: &mut Check<'_>) {
        for (variable, value) in &settings.env {
            let EnvironmentValue::Secret { secret, .. } = value else { continue };
            let allowed = |rule: &SecretMatcher| rule.items.is_match(item.as_str()) && rule.names.is_match(secret);
            if self.secrets.iter().any(allowed) {
                continue;
            }
            let place = check.written.variables.get(variable).unwrap_or(check.otherwise).clone();
            let message =
                format!("the policy does not allow {item} the secret {}, which {variable} asks for", quoted(secret));
            let help = format!("add `{{items: {item}, names: {secret}}}` to secrets.allow in wharf.yaml");
            check.found.push(Diagnostic::error(SECRET, place, message).with_help(help));
        }
    }

    fn service_account(&self, settings: &Settings, check: &mut Check<'_>) {
        let Some(account) = &settings.service_account else { return };
        if !self.service_accounts.contains(account) {
            let message = format!("the policy does not allow the service account {}", quoted(account));
            check.error(SERVICE_ACCOUNT, "service_account", message, "add it to service_accounts in wharf.yaml");
        }
    }
}

struct Check<'a> {
    written: &'a Placed,
    otherwise: &'a Place,
    found: Vec<Diagnostic>,
}

impl Check<'_> {
    fn error(&mut self, code: Code, field: &str, message: String, help: impl Into<String>) {
        self.problem(Severity::Error, code, field, message, help);
    }

    fn problem(&mut self, severity: Severity, code: Code, field: &str, message: String, help: impl Into<String>) {
        let place = self.written.places.get(field).unwrap_or(self.otherwise).clone();
        self.found.push(Diagnostic::new(severity, code, Some(place), message).with_help(help));
    }

    fn processes(&mut self, settings: &Settings, limit: Option<u32>) {
        let least = settings.min_processes.unwrap_or(1);
        let most = settings.max_processes.unwrap_or(DEFAULT_MAX_PROCESSES.min(limit.unwrap_or(u32::MAX)));
        if least > most {
            let default = if settings.max_processes.is_none() { " by default" } else { "" };
            let message =
                format!("expected min_processes to be at most max_processes ({most}{default}), found {least}");
            self.error(PROCESSES, "min_processes", message, format!("set `max_processes: {least}` too"));
        }
        for (field, value) in [("min_processes", settings.min_processes), ("max_processes", settings.max_processes)] {
            if let (Some(value), Some(limit)) = (value, limit)
                && value > limit
            {
                let message =
                    format!("expected {field} to be at most the policy's limits.processes ({limit}), found {value}");
                self.error(TOO_MUCH, field, message, "lower it, or ask for a higher limit");
            }
        }
    }

    /// Request, limit and the policy's limit: each at most the next one that is given.
    fn amounts<T: Copy + Ord + std::fmt::Display>(&mut self, names: [&str; 3], amounts: [Option<T>; 3]) {
        let [request, limit, policy] = amounts;
        let [request_name, limit_name, policy_name] = names;
        let pairs = [
            (request_name, request, limit_name, limit),
            (limit_name, limit, policy_name, policy),
            (request_name, request.filter(|_| limit.is_none()), policy_name, policy),
        ];
        for (lower_name, lower, upper_name, upper) in pairs {
            if let (Some(lower), Some(upper)) = (lower, upper)
                && lower > upper
            {
                let message = format!("expected {lower_name} to be at most {upper_name} ({upper}), found {lower}");
                self.error(TOO_MUCH, lower_name, message, format!("write at most {upper}"));
            }
        }
    }

    /// Only what the item's own file says is worth a warning: defaults are for all kinds of items.
    fn without_effect(&mut self, appmode: Appmode) {
        if appmode.is_interactive() && self.written.settings.min_processes == Some(0) {
            let message = "`min_processes: 0` means that no process is ever started, since none is started on demand";
            let help = "write 1 or more, or `suspend: true` to leave the item as it is";
            self.problem(Severity::Warning, NEVER_STARTED, "min_processes", message.to_owned(), help);
        }
        let rendered = ["schedule", "timezone"];
        let interactive = ["min_processes", "max_processes", "init_timeout"];
        let written = self.written;
        for field in written.places.keys() {
            let needs = if rendered.contains(field) && appmode.kind() != Kind::Rendered {
                "rendered documents"
            } else if interactive.contains(field) && appmode.kind() != Kind::Interactive {
                "interactive content"
            } else {
                continue;
            };
            let message = format!("`{field}` has no effect: it is for {needs}, and the item is {appmode}");
            self.problem(Severity::Warning, NO_EFFECT, field, message, "remove it");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::content_yaml;
    use crate::model::{Cpu, SecretRule};

    fn problems(policy: &Policy, appmode: Appmode, text: &str) -> Vec<String> {
        let written = content_yaml::read("content.yaml", text.as_bytes()).0.unwrap();
        let settings = written.settings.clone().or(&policy.defaults);
        let item: ItemName = "team/app".parse().unwrap();
        let otherwise = Place::file("manifest.json");
        let found = SettingsRules::of(policy).check(&item, appmode, &settings, &written, &otherwise);
        found.into_iter().map(|one| format!("{} {}: {}", one.place.unwrap(), one.code, one.message)).collect()
    }

    #[test]
    fn requests_limits_and_the_policy_are_in_order() {
        let policy = Policy {
            limits: Limits { cpu: Some(Cpu(2000)), processes: Some(2), ..Limits::default() },
            ..Policy::default()
        };
        let text = "cpu_request: 3\ncpu_limit: 2500m\nmin_processes: 3\nmax_processes: 1\nschedule: '@daily'\n";
        insta::assert_snapshot!(problems(&policy, Appmode::PythonDash, text).join("\n"));
        assert!(problems(&policy, Appmode::PythonDash, "cpu_request: 2\nmin_processes: 2\n").is_empty());
        let never = problems(&policy, Appmode::PythonDash, "min_processes: 0\n");
        assert!(never.concat().starts_with("content.yaml:1:16 W0406"), "{never:?}");
    }

    #[test]
    fn secrets_and_accounts_must_be_allowed() {
        let rule = SecretRule { items: "team/*".to_owned(), names: "db-*".to_owned() };
        let policy = Policy { secrets_allow: vec![rule], ..Policy::default() };
        let text = "env: {A: {secret: db-main, key: k}, B: {secret: other, key: k}, C: x}\n";
        let found = problems(&policy, Appmode::Shiny, text);
        assert_eq!(
            found,
            ["content.yaml:1:37 E0408: the policy does not allow team/app the secret \"other\", which B asks for"]
        );
    }
}

//! Keeps a job's limits: a cgroup of version 2 where one can be made, RLIMIT_DATA elsewhere. Best effort by design: the
//! local executor promises no isolation, and in a pod the cluster keeps the limits.

use std::fs;
use std::path::{Path, PathBuf};

use super::protocol::{Confinement, SessionLimits};

const ROOT: &str = "/sys/fs/cgroup";
/// The period of a CPU limit in microseconds: the kernel's own default.
const CPU_PERIOD: u64 = 100_000;

/// How the limits of one job are kept.
#[derive(Debug, Default)]
pub(super) struct Confined {
    /// The job's cgroup, which the content enters.
    pub cgroup: Option<PathBuf>,
    /// RLIMIT_DATA in bytes, where there is no cgroup.
    pub data_limit: Option<u64>,
}

impl Confined {
    /// Prepares the limits of a job.
    pub fn prepare(job: &str, limits: SessionLimits) -> Self {
        if limits == SessionLimits::default() {
            return Self::default();
        }
        let cgroup = make_cgroup(job, limits);
        let data_limit = if cgroup.is_some() { None } else { limits.memory_bytes };
        Self { cgroup, data_limit }
    }

    /// What keeps the memory limit.
    pub fn kind(&self) -> Confinement {
        match (&self.cgroup, self.data_limit) {
            (Some(_), _) => Confinement::Cgroup,
            (None, Some(_)) => Confinement::Rlimit,
            (None, None) => Confinement::None,
        }
    }

    /// Whether the kernel killed a process of the cgroup because of its memory limit.
    pub fn killed_by_memory(&self) -> bool {
        let events = self.cgroup.as_ref().and_then(|path| fs::read_to_string(path.join("memory.events")).ok());
        events.is_some_and(|text| oom_kills(&text) > 0)
    }

    /// Ends what is left in the cgroup and removes it.
    pub fn dissolve(&self) {
        if let Some(path) = &self.cgroup {
            // Both may fail where the kernel is old or something holds on; a later boot clears it anyway.
            let _ = fs::write(path.join("cgroup.kill"), "1");
            let _ = fs::remove_dir(path);
        }
    }
}

fn oom_kills(events: &str) -> u64 {
    let value = events.lines().find_map(|line| line.strip_prefix("oom_kill "));
    value.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
}

/// A child of the session's own cgroup, or of the one above it: a group with processes in it may not share out memory.
fn make_cgroup(job: &str, limits: SessionLimits) -> Option<PathBuf> {
    if !Path::new(ROOT).join("cgroup.controllers").exists() {
        return None;
    }
    let own = own_cgroup(&fs::read_to_string("/proc/self/cgroup").ok()?)?;
    let own = Path::new(ROOT).join(own);
    let parents = [Some(own.as_path()), own.parent().filter(|parent| parent.starts_with(ROOT))];
    parents.into_iter().flatten().find_map(|parent| {
        let group = parent.join(format!("wharf-{job}"));
        let made = set_up(parent, &group, limits);
        if made.is_none() {
            let _ = fs::remove_dir(&group);
        }
        made.map(|()| group)
    })
}

fn set_up(parent: &Path, group: &Path, limits: SessionLimits) -> Option<()> {
    // Often they are shared out already, and then writing it again may be refused; what counts is the next step.
    let _ = fs::write(parent.join("cgroup.subtree_control"), "+memory +cpu");
    if !group.is_dir() {
        fs::create_dir(group).ok()?;
    }
    if let Some(bytes) = limits.memory_bytes {
        fs::write(group.join("memory.max"), bytes.to_string()).ok()?;
        let _ = fs::write(group.join("memory.swap.max"), "0");
        let _ = fs::write(group.join("memory.oom.group"), "1");
    }
    if let Some(millis) = limits.cpu_millis {
        fs::write(group.join("cpu.max"), format!("{} {CPU_PERIOD}", millis * CPU_PERIOD / 1000)).ok()?;
    }
    Some(())
}

/// The session's own place below the cgroup root, from `/proc/self/cgroup`.
fn own_cgroup(text: &str) -> Option<PathBuf> {
    let path = text.lines().find_map(|line| line.strip_prefix("0::"))?;
    Some(PathBuf::from(path.trim_start_matches('/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_files_are_read() {
        assert_eq!(oom_kills("low 0\noom 3\noom_kill 2\noom_group_kill 0\n"), 2);
        assert_eq!(oom_kills(""), 0);
        let own = own_cgroup("12:memory:/a\n0::/system.slice/wharf.service\n");
        assert_eq!(own, Some(PathBuf::from("system.slice/wharf.service")));
        assert_eq!(own_cgroup("1:name=systemd:/\n"), None);
    }

    #[test]
    fn no_limit_means_no_confinement() {
        assert_eq!(Confined::prepare("run-x", SessionLimits::default()).kind(), Confinement::None);
    }
}

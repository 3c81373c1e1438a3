//! The policy of a repository (`wharf.yaml`) and the operator's ceiling above it. Reading and narrowing: `desired`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::language::{Language, Strategy};
use super::settings::Settings;
use super::units::{Cpu, Memory};

/// Whether a recorded selection stays (selection.md, 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Selection {
    /// It stays while it still satisfies.
    #[default]
    Sticky,
    /// Computed afresh for every commit.
    Follow,
}

/// Limits of one item, or of all together (`limits` and `limits.total`). `None` is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Limits {
    /// Processes.
    pub processes: Option<u32>,
    /// CPU.
    pub cpu: Option<Cpu>,
    /// Memory.
    pub memory: Option<Memory>,
    /// The largest file, bytes.
    pub file_size: Option<u64>,
    /// How many files an item has.
    pub file_count: Option<u64>,
}

/// How much may change at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// At most this many deletions.
    pub max_deletions: u32,
    /// At most this share of deletions, from 20 managed things up.
    pub max_deletions_percent: u8,
    /// At most this share of items that move, from 20 items up.
    pub max_moves_percent: u8,
}

impl Default for Budget {
    fn default() -> Self {
        Self { max_deletions: 10, max_deletions_percent: 20, max_moves_percent: 20 }
    }
}

/// Which items may use which secrets.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SecretRule {
    /// A glob over item names.
    pub items: String,
    /// A glob over secret names.
    pub names: String,
}

/// Where packages of one language come from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct PackageSource {
    /// The index.
    pub index_url: Option<String>,
    /// More indexes.
    pub extra_index_urls: Vec<String>,
    /// Names or URLs in manifests, and the mirror to use instead.
    pub mirrors: BTreeMap<String, String>,
    /// Whether uv may install in place of pip.
    pub uv: bool,
}

/// The policy in force: what `wharf.yaml` asks, narrowed by what the operator allows.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Policy {
    /// Strategies that differ from the languages' defaults.
    pub matching: BTreeMap<Language, Strategy>,
    /// Sticky or follow.
    pub selection: Selection,
    /// Where items are; `None`: `content/**`, or `**` when there is no `content/`.
    pub content_paths: Option<Vec<String>>,
    /// What the repository's root is called when it is an item.
    pub root_item: Option<String>,
    /// Settings of items that say nothing.
    pub defaults: Settings,
    /// Per item.
    pub limits: Limits,
    /// For all items together.
    pub total: Limits,
    /// Globs of images; empty allows all.
    pub images_allow: Vec<String>,
    /// Whether an image must carry a digest.
    pub require_digest: bool,
    /// Where packages come from.
    pub packages: BTreeMap<Language, PackageSource>,
    /// Which items may use which secrets; empty allows none.
    pub secrets_allow: Vec<SecretRule>,
    /// Service accounts that items may ask for.
    pub service_accounts: Vec<String>,
    /// How much may change at once.
    pub budget: Budget,
    /// Report drift instead of correcting it.
    pub detect_only: bool,
}

impl Policy {
    /// The strategy of a language.
    pub fn strategy(&self, language: Language) -> Strategy {
        self.matching.get(&language).copied().unwrap_or_else(|| language.default_strategy())
    }
}

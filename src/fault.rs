//! Faults on demand, for the registry and the executor that live in memory. Nothing here is used by a real one.

use std::fmt;
use std::sync::Arc;

/// What happens to one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fault {
    /// It works.
    #[default]
    None,
    /// It fails and changes nothing.
    Error,
    /// It does what was asked and then fails, as after a lost answer.
    ErrorAfterDoing,
}

/// Decides about every call by the name of the method. It must be deterministic where the test is to be.
#[derive(Clone)]
pub struct FaultHook(Arc<dyn Fn(&'static str) -> Fault + Send + Sync>);

impl FaultHook {
    /// A hook that asks a function.
    pub fn new(decide: impl Fn(&'static str) -> Fault + Send + Sync + 'static) -> Self {
        Self(Arc::new(decide))
    }

    /// What happens to this call.
    pub fn decide(&self, call: &'static str) -> Fault {
        (self.0)(call)
    }
}

impl Default for FaultHook {
    fn default() -> Self {
        Self::new(|_| Fault::None)
    }
}

impl fmt::Debug for FaultHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FaultHook")
    }
}

//! The sentences that the text and the Markdown of a plan share. No layout here.

use super::operation::{Blocked, Cost, Operation, Plan, Wait};
use crate::model::{Cpu, Memory};

/// `starts 12 processes (3 cpu, 6 GiB), builds 2, renders 4, stops 2, deletes 1`.
pub fn cost_line(cost: &Cost) -> String {
    let mut parts = Vec::new();
    let mut part = |count: u32, text: String| {
        if count > 0 {
            parts.push(text);
        }
    };
    let asked: Vec<String> = [
        (cost.cpu != Cpu(0)).then(|| format!("{} cpu", cost.cpu)),
        (cost.memory != Memory(0)).then(|| cost.memory.to_string()),
    ]
    .into_iter()
    .flatten()
    .collect();
    let asked = if asked.is_empty() { String::new() } else { format!(" ({})", asked.join(", ")) };
    part(cost.starts, format!("starts {}{asked}", count(cost.starts, "process", "processes")));
    part(cost.builds, format!("builds {}", count(cost.builds, "package environment", "package environments")));
    part(cost.renders, format!("renders {}", cost.renders));
    part(cost.stops, format!("stops {}", cost.stops));
    part(cost.deletes, format!("deletes {}", cost.deletes));
    if parts.is_empty() { "starts and ends nothing".to_owned() } else { parts.join(", ") }
}

/// `1 process`, `2 processes`.
pub fn count(number: u32, one: &str, many: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {many}") }
}

/// What an operation waits for, in words; `None` where it waits for no job.
pub(super) fn waits(operation: &Operation) -> Option<String> {
    let words: Vec<String> = operation
        .after
        .iter()
        .filter_map(|wait| match wait {
            Wait::Done { .. } => None,
            Wait::Succeeded { job } => Some(format!("{job} succeeded")),
            Wait::Ready { job } => Some(format!("{job} is ready")),
        })
        .collect();
    (!words.is_empty()).then(|| words.join(" and "))
}

/// What is held back by a budget, and how to let it through.
pub(super) fn blocked(blocked: &Blocked) -> String {
    format!("held back: {}; let them through with: wharf approve {}", blocked.reason, blocked.approval)
}

/// The one line for a plan that changes nothing.
pub fn nothing_to_do(plan: &Plan) -> String {
    let items: u32 = plan.items.values().sum();
    let mut words = format!("nothing to do: {} as the commit says", count(items, "item is", "items are"));
    let others: Vec<String> = plan
        .items
        .iter()
        .filter(|(state, _)| !matches!(**state, "as they should be" | "changing"))
        .map(|(state, number)| format!("{number} {state}"))
        .collect();
    if !others.is_empty() {
        let fine = plan.items.get("as they should be").copied().unwrap_or_default();
        words =
            format!("nothing to do: {} as the commit says, {}", count(fine, "item is", "items are"), others.join(", "));
    }
    words
}

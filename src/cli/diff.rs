//! `wharf diff`: the plan, and nothing done about it. Making the plan is `plan`'s work, comparing two commits is `compare.rs`.

use std::sync::Arc;

use super::style::{BAD, GOOD, QUIET, REMOVED, STRONG, WAITING, paint};
use super::world::{self, World};
use super::{CliError, Context, Exit, Format, compare};
use crate::config::ExecutorKind;
use crate::plan::{self, Detail, Line, Options, Plan, PlanDocument, Tone};
use crate::reconcile::{Consent, Reconciler};
use crate::source::RefName;

/// Show what the next apply would do, and do nothing.
///
/// Compares the commit with what runs here; with --from, two commits with each other; with --against empty, a commit
/// with nothing at all. Exit code: 0 nothing to do, 1 changes, 2 an error or a stalled item.
#[derive(Debug, clap::Args)]
pub struct Diff {
    /// Compare with another commit instead of the world: what does merging --ref into it change?
    #[arg(long, value_name = "REF", conflicts_with = "against")]
    from: Option<RefName>,
    /// Compare with an empty world instead of this one.
    #[arg(long, value_name = "WORLD")]
    against: Option<Against>,
    /// Do not let stalled items decide about the exit code.
    #[arg(long)]
    ignore_stalled: bool,
    /// One line an operation, without what changes in each record.
    #[arg(long)]
    short: bool,
    /// Count objects of somebody else as ones to take over.
    #[arg(long)]
    adopt: bool,
}

/// What a commit can be compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Against {
    /// Nothing runs, nothing is recorded.
    Empty,
}

impl Diff {
    /// Makes the plan and prints it.
    pub async fn execute(self, context: &Context) -> Result<Exit, CliError> {
        let options = Options { adopt: self.adopt, fire_schedules: false };
        let plan = match (&self.from, self.against) {
            (Some(from), _) => compare::commits(context, from, options).await?,
            (None, Some(Against::Empty)) => compare::with_nothing(context, options).await?,
            (None, None) => with_the_world(context, options).await?,
        };
        self.print(context, &plan)?;
        Ok(if !plan.stalled.is_empty() && !self.ignore_stalled {
            Exit::Stalled
        } else if plan.is_empty() && plan.blocked.is_empty() {
            Exit::Good
        } else {
            Exit::Found
        })
    }

    fn print(&self, context: &Context, plan: &Plan) -> Result<(), CliError> {
        let document = PlanDocument::from(plan);
        match context.output.format() {
            Format::Text => {
                let detail = if self.short { Detail::Short } else { Detail::Full };
                context.output.text(&draw(&plan::lines(plan, detail)))
            }
            Format::Markdown => context.output.markdown(&plan::markdown(plan)),
            Format::Json => context.output.document(&document),
            Format::Jsonl => context.output.list(&document, &document.operations),
        }
    }
}

async fn with_the_world(context: &Context, options: Options) -> Result<Arc<Plan>, CliError> {
    if context.config.executor != ExecutorKind::Local {
        context.config.require_supported_pair()?;
    }
    let world = World::observe(context).await?;
    let source = super::commit::open(&context.config)?;
    let commits = Arc::new(world::git(&source, &context.config));
    let settings = world::settings(&context.config, options, Consent::default(), "diff");
    let mut reconciler = Reconciler::new(world.rooms(commits, &context.config), settings);
    let (_, plan) = reconciler.plan(false).await?;
    // A plan of an older commit would answer another question.
    compare::refused(&reconciler)?;
    Ok(plan)
}

/// The lines of a plan in colour.
pub fn draw(lines: &[Line]) -> String {
    let mut text = String::new();
    for line in lines {
        let drawn = match line.tone {
            Tone::Strong => paint(STRONG, &line.text),
            Tone::Added => paint(GOOD, &line.text),
            Tone::Removed => paint(REMOVED, &line.text),
            Tone::Changed => paint(WAITING, &line.text),
            Tone::Alarm => paint(BAD, &line.text),
            Tone::Quiet => paint(QUIET, &line.text),
            Tone::Plain => super::escape::plain(&line.text).into_owned(),
        };
        text.push_str(drawn.trim_end());
        text.push('\n');
    }
    text
}

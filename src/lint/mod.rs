//! Judges manifests offline, as a mount would: every class is parsed by the dialect of its provider, and its plan is
//! held against what policy says whoever asks. Who asks, and what a pod's volumeAttributes change, is known to a mount
//! only. It reads no file.

mod place;
mod report;

use std::sync::Arc;

use crate::dialect::{Dialect, Facts};
use crate::error::{Problem, Reason};
use crate::model::{Attributes, Catalog, Class, Manifest};
use crate::policy::{self, Policy};
use crate::text::nearest;
pub use report::{Closed, Finding, Report, Spot};

/// What manifests are judged by.
pub struct Linter<'a> {
    /// The dialects of this build.
    pub dialects: &'a [Arc<dyn Dialect>],
    /// What a dialect may know of the call.
    pub facts: Facts<'a>,
    /// The administrator's stores.
    pub catalog: &'a Catalog,
    /// The administrator's policy.
    pub policy: &'a Policy,
}

impl Linter<'_> {
    /// Judges the text of one file, and adds to the report what it finds.
    pub fn check(&self, file: &str, text: &str, report: &mut Report) {
        let lines: Vec<&str> = text.lines().collect();
        let manifest = Manifest::read(text);
        report.others += manifest.others;
        for problem in manifest.problems {
            let at = problem.place.at.unwrap_or((1, 1));
            report.problems.push(Finding::new(Spot::new(file, at, None), problem));
        }
        for class in &manifest.classes {
            self.class(file, &lines, class, report);
        }
    }

    fn class(&self, file: &str, lines: &[&str], class: &Class, report: &mut Report) {
        let spot = |at| Spot::new(file, at, Some(class));
        let Some(dialect) = self.dialects.iter().find(|dialect| dialect.provider() == class.provider) else {
            match self.misspelt(&class.provider) {
                Some(problem) => report.problems.push(Finding::new(spot((class.line, 1)), problem)),
                None => report.strangers.push((spot((class.line, 1)), class.provider.clone())),
            }
            return;
        };
        report.classes += 1;
        let attributes = Attributes::new(class.parameters.clone());
        let problems = match dialect.parse(&attributes, self.facts, self.catalog) {
            Ok(plan) => {
                let violations = policy::violations(&plan, self.policy, self.catalog);
                for endpoint in violations.endpoints {
                    report.closed(endpoint, spot((class.line, 1)));
                }
                violations.problems
            }
            Err(problems) => problems.into_iter().collect(),
        };
        for problem in problems {
            let written = problem.place.parameter.as_deref().and_then(|name| class.written.get(name));
            let at = written.map_or((class.line, 1), |value| place::in_file(lines, value, problem.place.at));
            report.problems.push(Finding::new(spot(at), problem));
        }
    }

    /// A provider that is nearly one of ours is taken for a slip; any other is somebody else's.
    fn misspelt(&self, provider: &str) -> Option<Problem> {
        let near = nearest(provider, self.dialects.iter().map(|dialect| dialect.provider()))?;
        let problem = Problem::new(Reason::Setup, format!("there is no provider `{provider}` in this build"));
        Some(problem.parameter("spec.provider").remedy(format!("did you mean `{near}`?")))
    }
}

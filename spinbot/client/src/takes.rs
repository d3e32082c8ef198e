//! Several takes of one render: their plan, in which they share every step that is the same, and what they leave.

use crate::bundle::{Bundle, Show};
use crate::plan::{Input, Plan, Step};
use crate::take::Take;
use crate::{Fault, JobView, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Most takes of a render.
pub const MOST_TAKES: u64 = 9;

/// Takes of one render that differ in their seeds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Takes {
    job: String,
    /// The seed of each, and what it left.
    takes: Vec<(u64, Take)>,
    seconds: f64,
}

impl Takes {
    /// What a magic left, from [`Takes::to_json`].
    ///
    /// # Errors
    /// When the text is of something else.
    pub fn from_json(text: &str) -> Result<Self> {
        serde_json::from_str(text).map_err(|e| Fault::new(format!("these are no takes: {e}")))
    }

    /// As text, to hand them from one process to another.
    ///
    /// # Errors
    /// When a path is not Unicode.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string(self)
            .map_err(|e| Fault::new(format!("the takes cannot be written as JSON: {e}")))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.takes.len()
    }

    /// Never true: a render has one take at least.
    pub fn is_empty(&self) -> bool {
        self.takes.is_empty()
    }

    /// Their seeds and the takes, in order.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &Take)> {
        self.takes.iter().map(|(seed, take)| (*seed, take))
    }

    /// The take of that number, counted from 1 as they are shown.
    ///
    /// # Errors
    /// When there is no such take.
    pub fn keep(&self, number: usize) -> Result<Take> {
        let found = number.checked_sub(1).and_then(|at| self.takes.get(at));
        found.map(|(_, take)| take.clone()).ok_or_else(|| {
            let count = self.takes.len();
            Fault::new(format!("there is no take {number}"))
                .help(format!("they are counted from 1 to {count}"))
        })
    }

    /// Wall seconds the job took.
    pub fn seconds(&self) -> f64 {
        self.seconds
    }

    /// The job that made them.
    pub fn job(&self) -> &str {
        &self.job
    }
}

/// As [`Takes::to_json`], for `%keep`; empty where it cannot be written.
#[doc(hidden)]
pub fn json_of(takes: &Takes) -> String {
    takes.to_json().unwrap_or_default()
}

impl Show for Takes {
    fn bundle(&self) -> Bundle {
        let line = |(at, (seed, take)): (usize, &(u64, Take))| {
            format!("{}: seed {seed}, {}", at + 1, take.path().display())
        };
        let lines: Vec<String> = self.takes.iter().enumerate().map(line).collect();
        Bundle::text(format!("{} takes of job {}\n{}", self.takes.len(), self.job, lines.join("\n")))
    }
}

/// Plans of takes as one, whose result is that of the first, and what the steps of each are called in it.
pub(crate) struct Merged {
    pub(crate) plan: Plan,
    names: Vec<BTreeMap<String, String>>,
}

impl Merged {
    /// Of plans in the order of their takes. A step that is the same in two of them, with the same inputs and seed, is one.
    pub(crate) fn of(plans: Vec<Plan>) -> Option<Self> {
        let first = plans.first()?;
        let title = format!("{}, {} takes", first.title, plans.len());
        let mut plan = Plan { title, steps: Vec::new(), result: first.result.clone() };
        let mut names = Vec::new();
        for (take, one) in plans.into_iter().enumerate() {
            let mut named = BTreeMap::new();
            for step in one.steps {
                let own = step.id.clone();
                let step = renamed(step, &named);
                let same = plan.steps.iter().find(|known| alike(known, &step)).map(|known| known.id.clone());
                let id = same.unwrap_or_else(|| {
                    let id = if take == 0 { own.clone() } else { format!("{own}_{}", take + 1) };
                    plan.steps.push(Step { id: id.clone(), ..step });
                    id
                });
                named.insert(own, id);
            }
            names.push(named);
        }
        Some(Merged { plan, names })
    }

    /// What a finished job of the plan left, `seeds` those of the takes.
    pub(crate) fn takes(&self, view: &JobView, seeds: impl Iterator<Item = u64>) -> Result<Takes> {
        view.result()?;
        let (step, output) = &self.plan.result;
        let take = |(named, seed): (&BTreeMap<String, String>, u64)| {
            let name = |id: &str| named.get(id).cloned().unwrap_or_else(|| id.to_owned());
            let video = view.artifact(&name(step), output)?.clone();
            Ok((seed, Take::of_steps(view, &name, video)))
        };
        let takes = self.names.iter().zip(seeds).map(take).collect::<Result<_>>()?;
        Ok(Takes { job: view.job.clone(), takes, seconds: view.seconds() })
    }
}

/// The step with its inputs from steps as they are called in the whole plan.
fn renamed(mut step: Step, named: &BTreeMap<String, String>) -> Step {
    for input in step.inputs.values_mut() {
        if let Input::Output { step: from, .. } = input
            && let Some(name) = named.get(from)
        {
            from.clone_from(name);
        }
    }
    step
}

/// Whether two steps leave the same. What was made by which steps is another story for each video.
fn alike(one: &Step, other: &Step) -> bool {
    (&one.kind, &one.params, &one.inputs, one.seed) == (&other.kind, &other.params, &other.inputs, other.seed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::AddedModels;
    use crate::render::render;

    #[test]
    fn takes_share_what_does_not_depend_on_the_seed() {
        let spoken = render().portrait("me.jpg").text("Hello you.").seed(7).takes(3);
        let plan = spoken.plan().unwrap();
        plan.check().unwrap();
        let ids: Vec<&str> = plan.steps.iter().map(|step| step.id.as_str()).collect();
        assert_eq!(
            ids,
            [
                "read_portrait",
                "read_voice",
                "speak",
                "articulate",
                "animate",
                "encode",
                "articulate_2",
                "animate_2",
                "encode_2",
                "articulate_3",
                "animate_3",
                "encode_3"
            ]
        );
        let seeds: Vec<u64> = plan.steps.iter().filter(|s| s.kind == "articulate").map(|s| s.seed).collect();
        assert_eq!(seeds, [7, 8, 9]);
        assert_eq!(plan.result, ("encode".into(), "video".into()));
        assert!(plan.title.ends_with(", 3 takes"), "{}", plan.title);
        // A topic is written anew for each, and said anew.
        let script = crate::script("tea").models(AddedModels::at("nowhere"));
        let topic = render().portrait("me.jpg").script(script).takes(2).plan().unwrap();
        topic.check().unwrap();
        let count = |kind: &str| topic.steps.iter().filter(|step| step.kind == kind).count();
        assert_eq!(["read_portrait", "write_script", "speak", "encode"].map(count), [1, 2, 2, 2]);
    }

    #[test]
    fn one_take_is_a_plain_render_and_more_than_nine_are_refused() {
        let spoken = || render().portrait("me.jpg").text("Hello you.");
        assert_eq!(spoken().takes(1).plan().unwrap(), spoken().plan().unwrap());
        for count in [0, MOST_TAKES + 1] {
            let fault = spoken().takes(count).plan().unwrap_err();
            assert_eq!(fault.argument.as_deref(), Some("takes"));
        }
    }

    #[test]
    fn a_take_is_kept_by_its_number_from_one() {
        let takes = Takes { job: "j".into(), takes: Vec::new(), seconds: 1.0 };
        for number in [0, 1] {
            assert!(takes.keep(number).unwrap_err().help.unwrap().contains("from 1"));
        }
        assert_eq!(Takes::from_json(&takes.to_json().unwrap()).unwrap(), takes);
    }
}

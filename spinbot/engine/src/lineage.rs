//! Which of a plan's steps another one comes from, as files tell it that are made of them.

use spinbot::plan::{Input, Plan, Step};
use spinbot::provenance::MadeStep;
use std::collections::BTreeMap;

/// Of the steps that are done, in the plan's order, those that feed `step` or feed what feeds it. A plan may make several
/// files, of which each tells of its own making alone; so the steps are called after their kind, with a number where there
/// are several, as in a plan that makes nothing else, and the same file made by either is the same file.
pub(crate) fn lineage(step: &Step, plan: &Plan, done: &[MadeStep]) -> Vec<MadeStep> {
    let before = |step: &Step| -> Vec<String> {
        let from = step.inputs.values().filter_map(|input| match input {
            Input::Output { step, .. } => Some(step.clone()),
            _ => None,
        });
        from.collect()
    };
    let mut wanted = before(step);
    let mut lineage: Vec<MadeStep> = Vec::new();
    for (made, planned) in done.iter().zip(&plan.steps).rev() {
        if wanted.contains(&made.id) {
            wanted.extend(before(planned));
            lineage.push(made.clone());
        }
    }
    lineage.reverse();
    let count = |kind: &str| lineage.iter().filter(|made| made.kind == kind).count();
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    for made in &lineage {
        let nth = seen.entry(&made.kind).or_default();
        *nth += 1;
        let number = if count(&made.kind) > 1 { nth.to_string() } else { String::new() };
        names.insert(made.id.clone(), format!("{}{number}", made.kind));
    }
    let renamed = |made: &MadeStep| {
        let mut made = made.clone();
        for input in made.inputs.values_mut() {
            let from = input.from.as_deref().and_then(|from| from.rsplit_once('.'));
            if let Some((step, output)) = from
                && let Some(name) = names.get(step)
            {
                input.from = Some(format!("{name}.{output}"));
            }
        }
        made.id = names.get(&made.id).unwrap_or(&made.id).clone();
        made
    };
    lineage.iter().map(renamed).collect()
}

//! Prior preservation: pictures that the model draws of its own before it is taught, learned from beside the subject's
//! (Ruiz et al. 2023, DreamBooth).

use super::Trainer;
use super::dataset::Item;
use crate::diffusion::pipeline::{DrawRequest, PipelineAdapters, Subject};
use crate::error::{ModelError, Result};
use std::collections::{BTreeSet, HashMap};
use std::ops::ControlFlow;

/// In how many steps the model draws its own pictures.
const PRIOR_STEPS: usize = 20;

impl Trainer {
    /// Whether pictures of the model's own are wanted and not there.
    pub fn wants_prior(&self) -> bool {
        let there = self.dataset.buckets.values().any(|bucket| !bucket.prior.is_empty());
        self.config.prior_share > 0.0 && self.config.prior_pictures > 0 && !there && self.steps_done() == 0
    }

    /// Lets the model draw pictures of its own, of the captions with the class in the trigger's place, before it is
    /// taught. Gives false if `on_picture`, told how many of how many there are, breaks off.
    ///
    /// # Errors
    /// As [`Pipeline::draw`].
    pub fn draw_prior(
        &mut self,
        on_picture: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
    ) -> Result<bool> {
        let (wanted, learned) = (self.config.prior_pictures, self.dataset.learned());
        let (factor, mut done) = (self.pipeline.vae().factor(), 0);
        let mut drawn = HashMap::new();
        for (&(h, w), bucket) in &self.dataset.buckets {
            let own = (wanted * bucket.learned.len()).div_ceil(learned);
            let captions: Vec<&str> = bucket
                .learned
                .iter()
                .map(|item| item.caption.as_str())
                .collect::<BTreeSet<_>>()
                .into_iter()
                .collect();
            let mut items = Vec::new();
            while items.len() < own {
                let some = items.len()..own.min(items.len() + self.config.batch);
                let prompts: Vec<String> =
                    some.clone().map(|n| self.of_class(captions[n % captions.len()])).collect();
                let subjects = some.zip(&prompts).map(|(n, prompt)| Subject::new(prompt, n as u64)).collect();
                let mut request = DrawRequest::new(subjects, h * factor, w * factor);
                (request.steps, request.guidance_scale) = (PRIOR_STEPS, self.config.guidance);
                // The last step's clean latents are what is learned from: they need no decoding.
                let mut latents = None;
                let mut broken = false;
                self.pipeline.draw(&request, &PipelineAdapters::default(), &mut |progress| {
                    if progress.step == progress.steps {
                        latents = Some(progress.latents().detach());
                    }
                    broken = on_picture(done, wanted).is_break();
                    if broken || latents.is_some() {
                        ControlFlow::Break(())
                    } else {
                        ControlFlow::Continue(())
                    }
                })?;
                if broken {
                    return Ok(false);
                }
                let Some(latents) = latents else { break };
                for (n, prompt) in prompts.into_iter().enumerate() {
                    let latents = latents.narrow(0, n, 1).and_then(|one| one.contiguous());
                    let latents = latents.map_err(ModelError::tensor("keeping a picture"))?;
                    items.push(Item { latents, caption: prompt });
                    done += 1;
                }
            }
            drawn.insert((h, w), items);
        }
        for (size, items) in drawn {
            self.dataset.buckets.entry(size).or_default().prior = items;
        }
        self.keep_texts()?;
        Ok(true)
    }

    /// A caption with the class in the trigger's place.
    pub fn of_class(&self, caption: &str) -> String {
        let (trigger, class) = (&self.config.trigger, self.config.class.trim());
        if trigger.is_empty() {
            return caption.to_owned();
        }
        let bare = ["a ", "an "].iter().find_map(|article| class.strip_prefix(article)).unwrap_or(class);
        caption.replace(&format!("a {trigger}"), &format!("a {bare}")).replace(trigger, class)
    }
}

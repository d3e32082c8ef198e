//! Gradients with little memory: forward keeps only what goes between segments, and backward runs each segment again
//! (gradient checkpointing; Chen et al. 2016).

use super::{Conditioning, Given, State, UNet2DCondition};
use crate::diffusion::adapters::Adapters;
use crate::error::{ModelError, Result};
use candle_core::backprop::GradStore;
use candle_core::{Tensor, Var};

/// A loss and its gradients.
#[derive(Debug)]
pub struct Checkpointed {
    /// The loss, a detached scalar.
    pub loss: Tensor,
    /// Gradients of the adapters' variables.
    pub gradients: GradStore,
    /// That of the text's hidden states, to continue from where the text's encoder is trained too.
    pub hidden: Tensor,
    /// That of the pooled text of SDXL.
    pub pooled: Option<Tensor>,
}

impl UNet2DCondition {
    /// The gradients of `loss(prediction)`, as `loss(forward(..)).backward()` gives them, at the memory of one segment
    /// and the time of another pass forward.
    ///
    /// # Errors
    /// As [`UNet2DCondition::forward`]; errors of `loss` are passed on.
    pub fn backward_checkpointed(
        &self,
        latents: &Tensor,
        timesteps: &[f32],
        conditioning: &Conditioning,
        adapters: &Adapters,
        loss: impl FnOnce(&Tensor) -> candle_core::Result<Tensor>,
    ) -> Result<Checkpointed> {
        self.by_segments(latents, timesteps, conditioning, adapters, loss)
            .map_err(ModelError::tensor("training by segments"))
    }

    fn by_segments(
        &self,
        latents: &Tensor,
        timesteps: &[f32],
        conditioning: &Conditioning,
        adapters: &Adapters,
        loss: impl FnOnce(&Tensor) -> candle_core::Result<Tensor>,
    ) -> candle_core::Result<Checkpointed> {
        let quiet = adapters.quiet();
        let mut conditioning = Conditioning { hidden: conditioning.hidden.detach(), ..conditioning.clone() };
        if let Some(added) = &mut conditioning.added {
            // Else each segment's graph would stay through the text encoder's.
            added.text_embeds = added.text_embeds.detach();
        }
        let (mut state, given) = self.enter(latents, timesteps, &conditioning, &quiet)?;
        let mut kept = Vec::with_capacity(self.segments.len());
        for segment in &self.segments {
            kept.push(state.detached());
            state = segment.run(state, &given, &quiet)?;
        }

        let [time, text] = [Var::from_tensor(&given.time)?, Var::from_tensor(&given.text)?];
        let given = Given { time: time.as_tensor().clone(), text: text.as_tensor().clone() };
        let mut given_grad = [given.time.zeros_like()?, given.text.zeros_like()?];

        let hidden = Var::from_tensor(&state.hidden.detach())?;
        let value = loss(&self.leave(&hidden, adapters)?.to_dtype(latents.dtype())?)?;
        let mut gradients = value.backward()?;
        let mut grad = gradients.remove(&hidden).map_or_else(|| hidden.zeros_like(), Ok)?;
        // Of the skips that the rest of the network has read, by their place.
        let mut skips: Vec<Option<Tensor>> = vec![None; state.skips.len()];

        for (segment, State { hidden, skips: before }) in self.segments.iter().zip(kept).rev() {
            let hidden = Var::from_tensor(&hidden)?;
            let taken = before.last().filter(|_| segment.takes()).map(Var::from_tensor).transpose()?;
            let count = before.len();
            let mut inputs = before;
            if let (Some(last), Some(taken)) = (inputs.last_mut(), &taken) {
                *last = taken.as_tensor().clone();
            }
            let State { hidden: result, skips: after } =
                segment.run(State { hidden: hidden.as_tensor().clone(), skips: inputs }, &given, adapters)?;
            if after.len() > count {
                // What was left for the way up is the result itself.
                if let Some(left) = skips.pop().flatten() {
                    grad = (grad + left)?;
                }
            }
            let part = (result * grad.detach())?.sum_all()?.backward()?;
            if let Some(taken) = &taken {
                skips.push(part.get(taken).cloned());
            }
            for (sum, given) in given_grad.iter_mut().zip([&time, &text]) {
                if let Some(grad) = part.get(given) {
                    *sum = (&*sum + grad)?;
                }
            }
            collect(&mut gradients, &part, adapters)?;
            grad = part.get(&hidden).cloned().map_or_else(|| hidden.zeros_like(), Ok)?;
        }

        if let Some(left) = skips.pop().flatten() {
            grad = (grad + left)?;
        }
        // Only adapters before the first segment are left.
        let pooled = conditioning.added.as_ref().map(|added| Var::from_tensor(&added.text_embeds.detach()));
        let pooled = pooled.transpose()?;
        if let (Some(added), Some(pooled)) = (&mut conditioning.added, &pooled) {
            added.text_embeds = pooled.as_tensor().clone();
        }
        let (state, given) = self.enter(latents, timesteps, &conditioning, adapters)?;
        let time = (given.time * given_grad[0].detach())?.sum_all()?;
        let first = (state.hidden * grad.detach())?.sum_all()?;
        let part = (time + first)?.backward()?;
        collect(&mut gradients, &part, adapters)?;
        let [_, text] = given_grad;
        Ok(Checkpointed {
            loss: value.detach(),
            gradients,
            hidden: text.to_dtype(conditioning.hidden.dtype())?,
            pooled: pooled.and_then(|pooled| part.get(&pooled).cloned()),
        })
    }
}

/// Adds the gradients of the adapters' variables to the sum of them.
fn collect(sum: &mut GradStore, part: &GradStore, adapters: &Adapters) -> candle_core::Result<()> {
    for (_, variable) in adapters.variables() {
        if let Some(grad) = part.get(variable) {
            let total = match sum.get(variable) {
                Some(sum) => (sum + grad)?,
                None => grad.detach(),
            };
            sum.insert(variable, total);
        }
    }
    Ok(())
}

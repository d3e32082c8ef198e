//! Teaching a model: adapters beside its layers and embeddings of a word, from pictures and captions.
//!
//! [`Trainer`] owns the model while it learns. Everything random in it follows from the seed and the step, so that what
//! [`Trainer::save`] keeps is enough to go on bit for bit, on the same device with as many threads.
//!
//! Where pictures come from, when to look and when to stop is for who calls it.

mod adamw;
mod checkpoint;
mod config;
mod dataset;
mod loss;
mod memory;
mod prior;
mod random;
#[cfg(test)]
mod tests;
mod trainer;
mod validation;
mod variables;

pub use adamw::AdamW;
pub use config::{Schedule, TrainConfig, targets};
pub use dataset::Example;
pub use memory::MemoryEstimate;
pub use trainer::{Batch, Text, Trainer};

//! Everything that listens, each network loaded when it is first asked for.

use super::{Dnsmos, SpeakerEncoder, Transcriber, VoiceJudge};
use crate::device::Device;
use crate::error::Result;
use crate::store::Store;
use std::sync::{Arc, OnceLock};

/// The networks of one store on one device. What is not asked for is neither loaded nor needed on this machine.
pub struct Listener {
    store: Arc<Store>,
    device: Device,
    encoder: OnceLock<SpeakerEncoder>,
    judge: OnceLock<VoiceJudge>,
    transcriber: OnceLock<Transcriber>,
    dnsmos: OnceLock<Dnsmos>,
}

impl Listener {
    /// With the store that holds the weights which are not built in.
    pub fn new(store: impl Into<Arc<Store>>, device: Device) -> Self {
        let store = store.into();
        let (encoder, judge) = (OnceLock::new(), OnceLock::new());
        let (transcriber, dnsmos) = (OnceLock::new(), OnceLock::new());
        Listener { store, device, encoder, judge, transcriber, dnsmos }
    }

    /// Who speaks.
    ///
    /// # Errors
    /// As [`SpeakerEncoder::load`].
    pub fn encoder(&self) -> Result<&SpeakerEncoder> {
        once(&self.encoder, || SpeakerEncoder::load(&self.device))
    }

    /// Who speaks, by the second encoder.
    ///
    /// # Errors
    /// As [`VoiceJudge::load`].
    pub fn judge(&self) -> Result<&VoiceJudge> {
        once(&self.judge, || VoiceJudge::load(&self.store, &self.device))
    }

    /// What is said.
    ///
    /// # Errors
    /// As [`Transcriber::load`].
    pub fn transcriber(&self) -> Result<&Transcriber> {
        once(&self.transcriber, || Transcriber::load(&self.store, &self.device))
    }

    /// How clean it is.
    ///
    /// # Errors
    /// As [`Dnsmos::load`].
    pub fn dnsmos(&self) -> Result<&Dnsmos> {
        once(&self.dnsmos, || Dnsmos::load(&self.device))
    }
}

/// The value, made at the first call that succeeds. Two threads may both make it; one of the two is kept.
fn once<T>(cell: &OnceLock<T>, load: impl FnOnce() -> Result<T>) -> Result<&T> {
    match cell.get() {
        Some(value) => Ok(value),
        None => load().map(|value| cell.get_or_init(|| value)),
    }
}

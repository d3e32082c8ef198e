//! What can be made on this machine: what the client declares, with what the steps load and the store holds.

use spinbot::capabilities::{Capabilities, Inventory, Need};
use spinbot::models::AddedModels;
use spinbot_engine::{Catalogue, Studio};
use spinbot_models::{ModelStatus, Place, Store};

struct Shelf(Vec<ModelStatus>);

impl Inventory for Shelf {
    fn of_step(&self, kind: &str) -> Vec<Need> {
        let found = Studio.kinds().iter().find(|known| known.kind == kind);
        let ids = found.map_or(&[][..], |kind| kind.models);
        ids.iter().filter_map(|id| self.of_model(id)).collect()
    }

    fn of_model(&self, id: &str) -> Option<Need> {
        let model = self.0.iter().find(|model| model.id == id)?;
        let missing = model.place == Place::Missing;
        Some(Need {
            id: model.id.clone(),
            title: model.title.clone(),
            bytes: Some(model.bytes),
            licence: model.licence.clone(),
            present: Some(!missing),
            how: missing.then(|| format!("`spinbot models pull {id}`")),
        })
    }
}

/// The capability manifest.
///
/// # Errors
/// When the list of added models cannot be read.
pub(crate) fn capabilities() -> anyhow::Result<Capabilities> {
    let cache = spinbot::home::cache_dir();
    let shelf = Shelf(Store::open(cache.clone())?.list()?);
    Ok(Capabilities::gather(&shelf, &AddedModels::at(cache))?)
}

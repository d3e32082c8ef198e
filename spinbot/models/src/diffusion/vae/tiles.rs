//! Large pictures in overlapping tiles whose seams are blended, by diffusers' rule.

use candle_core::{Result, Tensor};

/// Tiles of a picture or of its latents.
pub(super) struct Tiles {
    /// A tile's edge as it goes into the network.
    pub(super) size: usize,
    /// As it comes out.
    pub(super) scaled: usize,
}

impl Tiles {
    /// A tile's edge in pixels.
    pub(super) const DEFAULT: usize = 512;

    /// `network` of each tile of `[batch, h, w, c]`, put together. A quarter of each tile lies over the one before it.
    pub(super) fn run(&self, x: &Tensor, network: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
        let (_, h, w, _) = x.dims4()?;
        let stride = (self.size - self.size / 4).max(1);
        let (overlap, kept) = (self.scaled / 4, self.scaled - self.scaled / 4);
        let (mut above, mut rows): (Vec<Tensor>, _) = (Vec::new(), Vec::new());
        for top in (0..h).step_by(stride) {
            let mut row: Vec<Tensor> = Vec::new();
            for (column, left) in (0..w).step_by(stride).enumerate() {
                let tile =
                    x.narrow(1, top, self.size.min(h - top))?.narrow(2, left, self.size.min(w - left))?;
                let mut tile = network(&tile.contiguous()?)?;
                if let Some(above) = above.get(column) {
                    tile = blended(above, &tile, 1, overlap)?;
                }
                if let Some(before) = row.last() {
                    tile = blended(before, &tile, 2, overlap)?;
                }
                row.push(tile);
            }
            let kept_of = |tile: &Tensor| {
                let (_, h, w, _) = tile.dims4()?;
                tile.narrow(1, 0, kept.min(h))?.narrow(2, 0, kept.min(w))
            };
            rows.push(Tensor::cat(&row.iter().map(kept_of).collect::<Result<Vec<_>>>()?, 2)?);
            above = row;
        }
        Tensor::cat(&rows, 1)
    }
}

/// `tile` with its first pixels along `dim` faded over from the last ones of the tile before.
fn blended(before: &Tensor, tile: &Tensor, dim: usize, overlap: usize) -> Result<Tensor> {
    let (length, own) = (before.dim(dim)?, tile.dim(dim)?);
    let overlap = overlap.min(length).min(own);
    if overlap == 0 {
        return Ok(tile.clone());
    }
    let mut shape = [1; 4];
    shape[dim] = overlap;
    let share: Vec<f32> = (0..overlap).map(|at| at as f32 / overlap as f32).collect();
    let share = Tensor::from_vec(share, &shape, tile.device())?.to_dtype(tile.dtype())?;
    let old = before.narrow(dim, length - overlap, overlap)?;
    let new = tile.narrow(dim, 0, overlap)?;
    let mixed = (&old + (new - &old)?.broadcast_mul(&share)?)?;
    Tensor::cat(&[&mixed, &tile.narrow(dim, overlap, own - overlap)?], dim)
}

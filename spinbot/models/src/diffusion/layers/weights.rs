//! What layers are loaded from.

use crate::diffusion::adapters::{Site, SiteKind};
use crate::ops::OpSet;
use candle_core::{DType, Device, Result, Tensor};
use candle_nn::VarBuilder;
use std::cell::RefCell;
use std::rc::Rc;

/// A place in a network's weights, with the op set that its layers will compute by and the list of adapter sites
/// that they enter themselves in.
#[derive(Clone)]
pub struct Weights<'a> {
    vb: VarBuilder<'a>,
    set: OpSet,
    component: Rc<str>,
    /// Characters of the prefix that the weights came with, which are no part of a site's path.
    root: usize,
    sites: Rc<RefCell<Vec<Site>>>,
}

impl<'a> Weights<'a> {
    /// The root of a component's weights: `unet`, `text_encoder`, `text_encoder_2`, `vae`. The fused set is for f32
    /// on the CPU; for anything else the stock set is taken in its place. bf16 becomes f32 on the CPU, where candle
    /// multiplies no bf16.
    pub fn new(component: &str, vb: VarBuilder<'a>, set: OpSet) -> Self {
        let vb = match vb.device().is_cpu() && vb.dtype() == DType::BF16 {
            true => vb.to_dtype(DType::F32),
            false => vb,
        };
        let fusible = vb.device().is_cpu() && vb.dtype() == DType::F32;
        let root = match vb.prefix().len() {
            0 => 0,
            length => length + 1,
        };
        Weights {
            set: if fusible { set } else { OpSet::Stock },
            component: component.into(),
            root,
            sites: Rc::default(),
            vb,
        }
    }

    /// The place called that below this one; dots descend further.
    pub fn pp(&self, name: impl ToString) -> Self {
        Weights { vb: self.vb.pp(name), ..self.clone() }
    }

    /// The tensor called that, which must have that shape.
    ///
    /// # Errors
    /// When it is missing or has another shape.
    pub fn get(&self, shape: impl Into<candle_core::Shape>, name: &str) -> Result<Tensor> {
        self.vb.get(shape, name)
    }

    /// Whether there is a tensor called that.
    pub fn contains(&self, name: &str) -> bool {
        self.vb.contains_tensor(name)
    }

    /// The op set that layers loaded from here compute by.
    pub fn op_set(&self) -> OpSet {
        self.set
    }

    /// The type of the weights, which is that of activations too.
    pub fn dtype(&self) -> DType {
        self.vb.dtype()
    }

    /// Where the weights are.
    pub fn device(&self) -> &Device {
        self.vb.device()
    }

    /// The sites of all layers loaded so far, in the order of loading.
    pub fn sites(&self) -> Vec<Site> {
        self.sites.borrow().clone()
    }

    /// Enters the layer here in the list; its index is what adapters are found by.
    pub(super) fn enter(&self, kind: SiteKind, inputs: usize, outputs: usize) -> usize {
        let mut sites = self.sites.borrow_mut();
        let index = sites.len();
        let path = format!("{}.{}", self.component, &self.vb.prefix()[self.root..]);
        sites.push(Site { index, path, kind, inputs, outputs });
        index
    }
}

//! Resemblyzer's `pretrained.pt` -> the tensors of its network, as safetensors.
//!
//! The file is a pickle of PyTorch's old format, and pickles are programs: it is never interpreted. Its bytes are
//! pinned by a hash, so where each tensor's floats lie is known once and for all, and they are copied from there.
//! The optimiser's state, two thirds of the file, is left out.

use safetensors::tensor::{Dtype, TensorView};

/// Name, shape and first byte of each tensor, little-endian f32. Found by looking for the bytes of the tensors
/// that PyTorch loads; each occurs once.
const TENSORS: [(&str, &[usize], usize); 14] = [
    ("lstm.weight_ih_l0", &[1024, 40], 269_883),
    ("lstm.weight_hh_l0", &[1024, 256], 433_723),
    ("lstm.bias_ih_l0", &[1024], 5_676_603),
    ("lstm.bias_hh_l0", &[1024], 5_680_699),
    ("lstm.weight_ih_l1", &[1024, 256], 1_482_299),
    ("lstm.weight_hh_l1", &[1024, 256], 2_530_875),
    ("lstm.bias_ih_l1", &[1024], 5_684_795),
    ("lstm.bias_hh_l1", &[1024], 5_688_891),
    ("lstm.weight_ih_l2", &[1024, 256], 3_579_451),
    ("lstm.weight_hh_l2", &[1024, 256], 4_628_027),
    ("lstm.bias_ih_l2", &[1024], 5_692_987),
    ("lstm.bias_hh_l2", &[1024], 5_697_083),
    ("linear.weight", &[256, 256], 7_731),
    ("linear.bias", &[256], 6_699),
];

pub(super) fn convert(file: &[u8]) -> Result<Vec<u8>, String> {
    let views = TENSORS
        .iter()
        .map(|&(name, shape, start)| {
            let bytes = shape.iter().product::<usize>() * size_of::<f32>();
            let data = file.get(start..start + bytes).ok_or_else(|| {
                format!("{name} ends at byte {}, the file at {}", start + bytes, file.len())
            })?;
            let view = TensorView::new(Dtype::F32, shape.to_vec(), data).map_err(|e| e.to_string())?;
            Ok((name, view))
        })
        .collect::<Result<Vec<_>, String>>()?;
    safetensors::serialize(views, None).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn tensors_are_copied_from_their_places_and_a_short_file_is_refused() {
        let mut file = vec![0_u8; 5_701_179];
        for (nth, &(_, _, start)) in TENSORS.iter().enumerate() {
            file[start..start + 4].copy_from_slice(&(nth as f32).to_le_bytes());
        }
        let made = convert(&file).unwrap();
        let made = safetensors::SafeTensors::deserialize(&made).unwrap();
        for (nth, (name, shape, _)) in TENSORS.iter().enumerate() {
            let tensor = made.tensor(name).unwrap();
            assert_eq!((tensor.shape(), &tensor.data()[..4]), (*shape, &(nth as f32).to_le_bytes()[..]));
        }
        file.pop();
        assert!(convert(&file).unwrap_err().contains("lstm.bias_hh_l2 ends at byte 5701179"));
    }
}

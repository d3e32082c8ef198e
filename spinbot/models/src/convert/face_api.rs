//! face-api's networks: TensorFlow.js' weight list and its 8-bit values.

use super::transpose;
use safetensors::tensor::{Dtype, TensorView};
use serde::Deserialize;

/// Ends the name of the `[scale, min]` pair that belongs to a quantised tensor.
pub(crate) const RANGE_SUFFIX: &str = ".range";

#[derive(Deserialize)]
struct Group {
    weights: Vec<Weight>,
}

#[derive(Deserialize)]
struct Weight {
    name: String,
    shape: Vec<usize>,
    dtype: String,
    quantization: Option<Quantization>,
}

#[derive(Deserialize)]
struct Quantization {
    dtype: String,
    scale: f64,
    min: f64,
}

/// TensorFlow.js' weight list plus bytes -> safetensors that keep the stored values, 8-bit ones or f32. `name` is u8 in
/// PyTorch's axis order (convolutions [out, in, h, w], depthwise [channels, 1, h, w], matrices [in, out]);
/// `name.range` is f64 [scale, min] with value = stored x scale + min, computed in f64 and rounded once, as
/// TensorFlow.js does.
pub(super) fn convert(listing: &[u8], weights: &[u8]) -> Result<Vec<u8>, String> {
    let groups: Vec<Group> = serde_json::from_slice(listing).map_err(|e| format!("the weight list: {e}"))?;
    let mut tensors = Vec::new();
    let mut rest = weights;
    for weight in groups.into_iter().flat_map(|group| group.weights) {
        let stored_as =
            weight.quantization.as_ref().map_or(&weight.dtype, |quantization| &quantization.dtype);
        let (dtype, width) = match (stored_as.as_str(), &weight.quantization) {
            ("uint8", Some(_)) => (Dtype::U8, 1),
            ("float32", None) => (Dtype::F32, 4),
            _ => return Err(format!("{}: stored as {stored_as}, expected uint8 or float32", weight.name)),
        };
        let count = weight.shape.iter().try_fold(width, |n: usize, &dim| n.checked_mul(dim));
        let (stored, after) = count
            .and_then(|count| rest.split_at_checked(count))
            .ok_or_else(|| format!("{}: {:?} does not fit in the bytes left", weight.name, weight.shape))?;
        rest = after;
        let (shape, stored) = match *weight.shape {
            [h, w, channels, 1] if weight.name.contains("depthwise") => {
                (vec![channels, 1, h, w], transpose(stored, width, h * w, channels))
            }
            [h, w, input, output] => {
                let by_output = transpose(stored, width, h * w * input, output);
                let by_input = by_output
                    .chunks(h * w * input * width)
                    .flat_map(|one| transpose(one, width, h * w, input));
                (vec![output, input, h, w], by_input.collect())
            }
            _ => (weight.shape, stored.to_vec()),
        };
        if let Some(Quantization { scale, min, .. }) = weight.quantization {
            let range: Vec<u8> = [scale, min].iter().flat_map(|value| value.to_le_bytes()).collect();
            tensors.push((format!("{}{RANGE_SUFFIX}", weight.name), Dtype::F64, vec![2], range));
        }
        tensors.push((weight.name, dtype, shape, stored));
    }
    if !rest.is_empty() {
        return Err(format!("{} bytes are left after the last weight", rest.len()));
    }
    let views = tensors
        .iter()
        .map(|(name, dtype, shape, data)| Ok((name, TensorView::new(*dtype, shape.clone(), data)?)))
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()
        .map_err(|e| e.to_string())?;
    safetensors::serialize(views, None).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn listing(name: &str, shape: &[usize], dtype: &str) -> Vec<u8> {
        let quantization = serde_json::json!({"dtype": dtype, "scale": 0.5, "min": -1.0});
        let weight = serde_json::json!({"name": name, "shape": shape, "dtype": "float32", "quantization": quantization});
        serde_json::to_vec(&serde_json::json!([{"weights": [weight], "paths": ["x.bin"]}])).unwrap()
    }

    #[test]
    fn tensorflow_axes_become_pytorch_axes_and_the_range_is_kept() {
        // [h=1, w=2, in=3, out=2]; the value at (w, i, o) is 6w + 2i + o.
        let stored: Vec<u8> = (0..12).collect();
        let file = convert(&listing("conv/filters", &[1, 2, 3, 2], "uint8"), &stored).unwrap();
        let file = safetensors::SafeTensors::deserialize(&file).unwrap();
        let tensor = file.tensor("conv/filters").unwrap();
        assert_eq!(tensor.shape(), [2, 3, 1, 2]);
        assert_eq!(tensor.data(), [0, 6, 2, 8, 4, 10, 1, 7, 3, 9, 5, 11]);
        let range = file.tensor("conv/filters.range").unwrap();
        assert_eq!(range.data(), [0.5_f64.to_le_bytes(), (-1.0_f64).to_le_bytes()].concat());

        // [h=1, w=2, channels=3, 1]; the value at (w, c) is 3w + c.
        let stored: Vec<u8> = (0..6).collect();
        let list = listing("conv/depthwise_filter", &[1, 2, 3, 1], "uint8");
        let file = convert(&list, &stored).unwrap();
        let file = safetensors::SafeTensors::deserialize(&file).unwrap();
        let tensor = file.tensor("conv/depthwise_filter").unwrap();
        assert_eq!((tensor.shape(), tensor.data()), (&[3, 1, 1, 2][..], &[0, 3, 1, 4, 2, 5][..]));
    }

    #[test]
    fn weights_that_are_not_quantised_stay_f32() {
        let weight = serde_json::json!({"name": "conv/filters", "shape": [1, 1, 2, 2], "dtype": "float32"});
        let list = serde_json::to_vec(&serde_json::json!([{ "weights": [weight] }])).unwrap();
        let bytes = |values: [f32; 4]| values.map(f32::to_le_bytes).concat();
        let file = convert(&list, &bytes([0.0, 1.0, 2.0, 3.0])).unwrap();
        let file = safetensors::SafeTensors::deserialize(&file).unwrap();
        assert_eq!(file.names(), ["conv/filters"]);
        let tensor = file.tensor("conv/filters").unwrap();
        assert_eq!((tensor.dtype(), tensor.shape()), (Dtype::F32, &[2, 2, 1, 1][..]));
        assert_eq!(tensor.data(), bytes([0.0, 2.0, 1.0, 3.0]));
    }

    #[test]
    fn a_list_that_does_not_fit_its_bytes_is_refused_with_a_reason() {
        let huge = usize::MAX / 2;
        for (list, bytes, reason) in [
            (listing("w", &[4], "uint8"), vec![0; 3], "does not fit"),
            (listing("w", &[4], "uint8"), vec![0; 5], "1 bytes are left"),
            (listing("w", &[huge, huge], "uint8"), vec![0; 4], "does not fit"),
            (listing("w", &[4], "uint16"), vec![0; 8], "stored as uint16"),
            (b"[{".to_vec(), vec![], "the weight list"),
        ] {
            let error = convert(&list, &bytes).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }
}

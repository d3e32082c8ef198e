//! Kokoro-82M: the int8 ONNX file back to named f32 tensors, and the voice packs as one file.
//!
//! The ONNX file is thewh1teagle's export of hexgrad/Kokoro-82M v1.0, dynamically quantised by onnxruntime, weight
//! norm already fused. Which initialiser becomes which tensor is in `recipes/kokoro.tsv`; tensors get the names of
//! the reference's modules (PyPI `kokoro` 0.9.4). The values are what the int8 file computes with, not the
//! unquantised checkpoint's.

use super::Lazy;
use super::onnx::{Initialiser, Initialisers};

/// One line of the recipe, with its initialisers found.
enum Step<'a> {
    /// A tensor as it is stored.
    AsIs(Stored<'a>),
    /// A matrix whose axes are exchanged.
    Transposed(Stored<'a>),
    /// One direction of an LSTM's weights, stored [directions, in, 4 x hidden].
    Gates(Stored<'a>, usize),
    /// One of the two biases, W's then R's, of one direction of an LSTM: stored [directions, 8 x hidden].
    GateBiases(Stored<'a>, usize, usize),
}

/// An initialiser, and zero point and scale when it is quantised.
#[derive(Clone, Copy)]
struct Stored<'a> {
    values: &'a Initialiser<'a>,
    quantised: Option<(&'a Initialiser<'a>, &'a Initialiser<'a>)>,
}

/// The parts of the ONNX file, in order -> one safetensors file. The error is a reason.
pub(super) fn weights(parts: Vec<Vec<u8>>) -> Result<Vec<u8>, String> {
    let onnx = parts.concat();
    drop(parts);
    convert(&onnx, include_str!("../../recipes/kokoro.tsv"))
}

/// Raw little-endian f32 packs with their paths, whose file names are the voices' -> one safetensors file.
pub(super) fn voices<'a>(packs: impl Iterator<Item = (&'a str, &'a Vec<u8>)>) -> Result<Vec<u8>, String> {
    let mut tensors = Vec::new();
    for (path, bytes) in packs {
        let name = path.rsplit('/').next().and_then(|file| file.strip_suffix(".bin"));
        let name = name.ok_or_else(|| format!("`{path}` is not named like a voice pack"))?;
        if bytes.len() != 510 * 256 * size_of::<f32>() {
            return Err(format!("`{path}` is {} bytes long, not 510 x 256 x 4", bytes.len()));
        }
        let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![510, 256], bytes);
        tensors.push((name, view.map_err(|e| e.to_string())?));
    }
    safetensors::serialize(tensors, None).map_err(|e| e.to_string())
}

fn convert(onnx: &[u8], recipe: &str) -> Result<Vec<u8>, String> {
    let all = Initialisers::read(onnx)?;
    let mut steps = Vec::new();
    for line in recipe.lines().filter(|line| !line.starts_with('#')) {
        read_line(&all, line, &mut steps)?;
    }
    // What is listed comes first; f32 under a module's own name that is left belongs to that module.
    for initialiser in all.iter().filter(|initialiser| initialiser.is_f32()) {
        let name = initialiser.name();
        let module = name.strip_prefix("encoder.").or_else(|| name.strip_prefix("decoder."));
        let Some(module) = module.filter(|name| !name.ends_with("_scale") && !name.contains(".istft."))
        else {
            continue;
        };
        steps.push((module.to_owned(), Step::AsIs(Stored { values: initialiser, quantised: None })));
    }
    let tensors = steps
        .into_iter()
        .map(|(name, step)| step.tensor().map(|tensor| (name, tensor)))
        .collect::<Result<Vec<_>, String>>()?;
    let mut names: Vec<_> = tensors.iter().map(|(name, _)| name).collect();
    names.sort_unstable();
    if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(format!("two initialisers would become `{}`", twice[0]));
    }
    safetensors::serialize(tensors.iter().map(|(name, tensor)| (name, tensor)), None)
        .map_err(|e| e.to_string())
}

/// Appends the tensors one line makes.
fn read_line<'a>(
    all: &'a Initialisers<'a>,
    line: &str,
    steps: &mut Vec<(String, Step<'a>)>,
) -> Result<(), String> {
    let stored = |values: &str, zero_point: &str| {
        let scale = values.strip_suffix("_quantized").ok_or_else(|| format!("`{values}` has no scale"))?;
        let quantised = Some((all.get(zero_point)?, all.get(&format!("{scale}_scale"))?));
        Ok::<_, String>(Stored { values: all.get(values)?, quantised })
    };
    let plain = |values: &str| Ok::<_, String>(Stored { values: all.get(values)?, quantised: None });
    let fields: Vec<_> = line.split('\t').collect();
    match fields[..] {
        ["as-is", tensor, values] => steps.push((tensor.into(), Step::AsIs(plain(values)?))),
        ["as-is", tensor, values, zero] => steps.push((tensor.into(), Step::AsIs(stored(values, zero)?))),
        ["transpose", tensor, values] => steps.push((tensor.into(), Step::Transposed(plain(values)?))),
        ["transpose", tensor, values, zero] => {
            steps.push((tensor.into(), Step::Transposed(stored(values, zero)?)));
        }
        ["lstm", module, input, recurrent, biases, input_zero, recurrent_zero] => {
            let (input, recurrent) = (stored(input, input_zero)?, stored(recurrent, recurrent_zero)?);
            let biases = plain(biases)?;
            for (direction, suffix) in ["", "_reverse"].into_iter().enumerate() {
                let name = |what| format!("{module}.{what}_l0{suffix}");
                steps.push((name("weight_ih"), Step::Gates(input, direction)));
                steps.push((name("weight_hh"), Step::Gates(recurrent, direction)));
                steps.push((name("bias_ih"), Step::GateBiases(biases, direction, 0)));
                steps.push((name("bias_hh"), Step::GateBiases(biases, direction, 1)));
            }
        }
        _ => return Err(format!("the recipe's line `{line}` is not understood")),
    }
    Ok(())
}

impl<'a> Step<'a> {
    /// The tensor this step makes. Everything that can fail is tried here, so that writing it cannot.
    fn tensor(self) -> Result<Lazy<'a>, String> {
        let (Step::AsIs(stored)
        | Step::Transposed(stored)
        | Step::Gates(stored, _)
        | Step::GateBiases(stored, ..)) = self;
        let stored_shape = stored.values.shape();
        let shape = match (&self, stored_shape) {
            (Step::AsIs(_), shape) => shape.to_vec(),
            (Step::Transposed(_), &[input, output]) => vec![output, input],
            (Step::Gates(_, direction), &[2, input, gates]) if *direction < 2 && gates % 4 == 0 => {
                vec![gates, input]
            }
            (Step::GateBiases(..), &[2, both]) if both % 8 == 0 => vec![both / 2],
            _ => return Err(format!("`{}` has shape {stored_shape:?}", stored.values.name())),
        };
        // Conv's channels are its first axis; MatMul's and the LSTM's outputs their last.
        let axis = match self {
            Step::AsIs(_) => 0,
            _ => stored_shape.len() - 1,
        };
        stored.values(&self, axis)?;
        Ok(Lazy {
            shape,
            // Tried just before, and nothing it reads can change.
            values: Box::new(move || {
                let values = stored.values(&self, axis).unwrap_or_default();
                self.arranged(&values, stored.values.shape())
            }),
        })
    }

    /// The stored values in the order the tensor has them.
    fn arranged(&self, values: &[f32], stored_shape: &[usize]) -> Vec<f32> {
        match (self, stored_shape) {
            (Step::AsIs(_), _) => values.to_vec(),
            (Step::Transposed(_), &[rows, columns]) => transpose(values, rows, columns),
            (Step::Gates(_, direction), &[_, input, gates]) => {
                let direction = values.chunks(input * gates).nth(*direction).unwrap_or_default();
                input_forget_cell_output(&transpose(direction, input, gates))
            }
            (Step::GateBiases(_, direction, which), &[_, both]) => input_forget_cell_output(
                values.chunks(both / 2).nth(direction * 2 + which).unwrap_or_default(),
            ),
            _ => Vec::new(),
        }
    }
}

impl Stored<'_> {
    fn values(&self, step: &Step, axis: usize) -> Result<Vec<f32>, String> {
        match (self.quantised, step) {
            (None, _) => self.values.f32(),
            // onnxruntime keeps one scale and zero point for each of the LSTM's directions.
            (Some((zero_point, scale)), Step::Gates(..)) => self.values.dequantised(zero_point, scale, 0),
            (Some((zero_point, scale)), _) => self.values.dequantised(zero_point, scale, axis),
        }
    }
}

/// ONNX's gates i, o, f, c, four blocks of rows, in PyTorch's order i, f, c, o.
fn input_forget_cell_output(values: &[f32]) -> Vec<f32> {
    let gate = values.len() / 4;
    [0, 2, 3, 1].into_iter().flat_map(|n| &values[n * gate..][..gate]).copied().collect()
}

/// Row-major [rows, columns] -> [columns, rows].
fn transpose(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|c| (0..rows).map(move |r| values[r * columns + c])).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::onnx::tests::{model, tensor};
    use super::*;

    const FLOAT: u64 = 1;
    const INT8: u64 = 3;

    fn floats(values: impl IntoIterator<Item = f32>) -> Vec<u8> {
        values.into_iter().flat_map(f32::to_le_bytes).collect()
    }

    /// An LSTM of two units and one input, a matrix, and f32 under their modules' names.
    fn file() -> Vec<u8> {
        let count = |n: u8| (0..n).collect::<Vec<_>>();
        model(&[
            tensor("x_quantized", &[2, 1, 8], INT8, 9, &count(16)),
            tensor("x_scale", &[2], FLOAT, 9, &floats([1.0, 2.0])),
            tensor("h_quantized", &[2, 2, 8], INT8, 9, &count(32)),
            tensor("h_scale", &[2], FLOAT, 9, &floats([1.0, 1.0])),
            tensor("zeros", &[2], INT8, 9, &[0, 1]),
            tensor("biases", &[2, 16], FLOAT, 9, &floats((0..32).map(|n| n as f32))),
            tensor("m_quantized", &[2, 3], INT8, 9, &count(6)),
            tensor("m_scale", &[3], FLOAT, 9, &floats([1.0, 10.0, 100.0])),
            tensor("m_zero_point", &[3], INT8, 9, &[0, 0, 0]),
            tensor("encoder.a.bias", &[2], FLOAT, 9, &floats([7.0, 8.0])),
            tensor("decoder.decoder.b", &[1], FLOAT, 9, &floats([9.0])),
            tensor("decoder.decoder.generator.stft.istft.basis", &[1], FLOAT, 9, &floats([0.0])),
            tensor("onnx::Slice_579", &[1], FLOAT, 9, &floats([0.0])),
        ])
    }

    #[test]
    fn gates_are_reordered_matrices_turned_and_named_floats_taken() {
        let recipe = "# a comment\nlstm\tl\tx_quantized\th_quantized\tbiases\tzeros\tzeros\n\
                      transpose\tm\tm_quantized\tm_zero_point\n";
        let converted = convert(&file(), recipe).unwrap();
        let converted = safetensors::SafeTensors::deserialize(&converted).unwrap();
        for (name, shape, values) in [
            ("a.bias", vec![2], vec![7.0, 8.0]),
            ("decoder.b", vec![1], vec![9.0]),
            ("m", vec![3, 2], vec![0.0, 3.0, 10.0, 40.0, 200.0, 500.0]),
            // Gates i, o, f, c of two units each become i, f, c, o; the second direction has zero point 1, scale 2.
            ("l.weight_ih_l0", vec![8, 1], vec![0.0, 1.0, 4.0, 5.0, 6.0, 7.0, 2.0, 3.0]),
            ("l.weight_ih_l0_reverse", vec![8, 1], vec![14.0, 16.0, 22.0, 24.0, 26.0, 28.0, 18.0, 20.0]),
            (
                "l.weight_hh_l0",
                vec![8, 2],
                vec![0., 8., 1., 9., 4., 12., 5., 13., 6., 14., 7., 15., 2., 10., 3., 11.],
            ),
            ("l.bias_ih_l0", vec![8], vec![0., 1., 4., 5., 6., 7., 2., 3.]),
            ("l.bias_hh_l0_reverse", vec![8], vec![24., 25., 28., 29., 30., 31., 26., 27.]),
        ] {
            let tensor = converted.tensor(name).unwrap();
            assert_eq!((tensor.shape(), tensor.data()), (&shape[..], &floats(values)[..]), "{name}");
        }
        assert_eq!(converted.len(), 3 + 8);
    }

    #[test]
    fn a_file_that_does_not_fit_the_recipe_is_refused_with_a_reason() {
        for (recipe, reason) in [
            ("as-is\tt\tnowhere", "no initialiser `nowhere`"),
            ("as-is\tt\tbiases\tzeros", "`biases` has no scale"),
            ("as-is\tt\tm_quantized", "expected float"),
            ("as-is\tt\tm_quantized\tm_zero_point", "3 values for 2 places"),
            ("as-is\tt\tm_quantized\tbiases", "expected 8-bit"),
            ("transpose\tt\tx_quantized\tzeros", "has shape [2, 1, 8]"),
            ("lstm\tl\tm_quantized\th_quantized\tbiases\tzeros\tzeros", "has shape [2, 3]"),
            ("as-is\ta.bias\tbiases", "two initialisers would become `a.bias`"),
            ("turn\tt\tbiases", "is not understood"),
        ] {
            let error = convert(&file(), recipe).unwrap_err();
            assert!(error.contains(reason), "{recipe}: {error}");
        }
        assert!(weights(vec![b"\x0a".to_vec()]).unwrap_err().contains("cut short"));
    }

    #[test]
    fn packs_become_tensors_named_like_their_files() {
        let pack = vec![0; 510 * 256 * 4];
        let file = voices([("package/voices/af_heart.bin", &pack)].into_iter()).unwrap();
        let file = safetensors::SafeTensors::deserialize(&file).unwrap();
        assert_eq!(file.tensor("af_heart").unwrap().shape(), [510, 256]);
        let short = pack[1..].to_vec();
        assert!(voices([("a/b.bin", &short)].into_iter()).unwrap_err().contains("522239 bytes"));
        assert!(voices([("a/b.pt", &pack)].into_iter()).unwrap_err().contains("not named like"));
    }
}

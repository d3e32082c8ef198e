//! TensorFlow Lite's files: the constants of a float network's layers, in the order in which they run.
//!
//! The graph itself is not kept: the networks are written in this crate, and take their weights one after another.
//! The file is a FlatBuffer (flatbuffers.dev, "Internals"), of the schema `tensorflow/lite/schema/schema.fbs`; the
//! numbers of fields below are that schema's.

use super::transpose;
use safetensors::tensor::{Dtype, TensorView};
use std::collections::HashMap;

/// Operators with constants, by the schema's `BuiltinOperator`.
const CONV_2D: i32 = 3;
const DEPTHWISE_CONV_2D: i32 = 4;
const DEQUANTIZE: i32 = 6;
const CUSTOM: i32 = 32;
const PRELU: i32 = 54;
/// MediaPipe's own operator, whose weights lie as a convolution's.
const TRANSPOSED: &str = "Convolution2DTransposeBias";

/// One .tflite file -> safetensors. The constants of the n-th layer that has any are `nnn.weight` and `nnn.bias`, or
/// `nnn.slope` of a PReLU; f16 or f32 as they are stored, in PyTorch's axis order: convolutions [out, in, h, w],
/// transposed ones [in, out, h, w], depthwise ones [channels, 1, h, w], slopes [channels].
pub(super) fn convert(file: &[u8]) -> Result<Vec<u8>, String> {
    let tensors = layers(file).map_err(|reason| format!("the .tflite file: {reason}"))?;
    let views = tensors
        .iter()
        .map(|(name, dtype, shape, data)| Ok((name, TensorView::new(*dtype, shape.clone(), data)?)))
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()
        .map_err(|e| e.to_string())?;
    safetensors::serialize(views, None).map_err(|e| e.to_string())
}

type Named = (String, Dtype, Vec<usize>, Vec<u8>);

fn layers(file: &[u8]) -> Result<Vec<Named>, String> {
    let model = Table::root(file)?;
    let codes = model.tables(1)?;
    let graphs = model.tables(2)?;
    let buffers = model.tables(4)?;
    let graph = graphs.first().ok_or("it has no graph")?;
    let tensors = graph.tables(0)?;
    // Where a constant is stored: f16 ones come through an operator that widens them.
    let mut widened = HashMap::new();
    let mut found = Vec::new();
    let mut number = 0;
    for operator in graph.tables(3)? {
        let code = codes.get(operator.u32(0)? as usize).ok_or("an operator without a code")?;
        let builtin = code.i32(3)?.max(i32::from(code.u8(0)?));
        let (inputs, outputs) = (operator.ints(1)?, operator.ints(2)?);
        if builtin == DEQUANTIZE {
            widened.extend(outputs.iter().copied().zip(inputs.iter().copied()));
            continue;
        }
        let kind = match builtin {
            CONV_2D => Kind::Conv,
            DEPTHWISE_CONV_2D => Kind::Depthwise,
            PRELU => Kind::Slope,
            CUSTOM if code.text(1)? == TRANSPOSED => Kind::Transposed,
            _ => continue,
        };
        for (&input, name) in inputs.iter().skip(1).zip(kind.names()) {
            let stored = widened.get(&input).copied().unwrap_or(input);
            let tensor = usize::try_from(stored).ok().and_then(|at| tensors.get(at));
            let tensor = tensor.ok_or_else(|| format!("layer {number}: its {name} is missing"))?;
            let (dtype, width) = match tensor.u8(1)? {
                0 => (Dtype::F32, 4),
                1 => (Dtype::F16, 2),
                other => {
                    return Err(format!("layer {number}: its {name} has type {other}, expected f16 or f32"));
                }
            };
            let shape: Vec<usize> =
                tensor.ints(0)?.into_iter().map(|n| usize::try_from(n).unwrap_or(0)).collect();
            let buffer = buffers.get(tensor.u32(2)? as usize).ok_or("a tensor without a buffer")?;
            let data = buffer.bytes(0)?;
            let values = shape.iter().try_fold(width, |n: usize, &dim| n.checked_mul(dim));
            if values != Some(data.len()) {
                return Err(format!("layer {number}: its {name} of {shape:?} has {} bytes", data.len()));
            }
            let (shape, data) = kind.in_order(&shape, data, width)?;
            found.push((format!("{number:03}.{name}"), dtype, shape, data));
        }
        number += 1;
    }
    if found.is_empty() {
        return Err("no layer in it has weights".into());
    }
    Ok(found)
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Conv,
    Transposed,
    Depthwise,
    Slope,
}

impl Kind {
    fn names(self) -> &'static [&'static str] {
        match self {
            Kind::Slope => &["slope"],
            _ => &["weight", "bias"],
        }
    }

    /// TensorFlow's axes in PyTorch's order.
    fn in_order(self, shape: &[usize], data: &[u8], width: usize) -> Result<(Vec<usize>, Vec<u8>), String> {
        Ok(match (self, shape) {
            (_, &[n]) | (Kind::Slope, &[1, 1, n]) => (vec![n], data.to_vec()),
            (Kind::Conv, &[output, h, w, input]) => {
                let one = h * w * input * width;
                let each = data.chunks(one).flat_map(|one| transpose(one, width, h * w, input));
                (vec![output, input, h, w], each.collect())
            }
            // [out, h, w, in] -> [in, out, h, w]
            (Kind::Transposed, &[output, h, w, input]) => {
                (vec![input, output, h, w], transpose(data, width, output * h * w, input))
            }
            (Kind::Depthwise, &[1, h, w, channels]) => {
                (vec![channels, 1, h, w], transpose(data, width, h * w, channels))
            }
            _ => return Err(format!("weights of shape {shape:?} are of no known layer")),
        })
    }
}

/// A FlatBuffer's table: fields by number, each read with its bounds checked.
#[derive(Clone, Copy)]
struct Table<'a> {
    file: &'a [u8],
    at: usize,
}

impl<'a> Table<'a> {
    fn root(file: &'a [u8]) -> Result<Self, String> {
        match file.get(4..8) {
            Some(b"TFL3") => Ok(Table { file, at: number(file, 0)? as usize }),
            _ => Err("it does not begin as one".into()),
        }
    }

    /// Where field `n` lies; nothing where it has its default.
    fn field(&self, n: usize) -> Result<Option<usize>, String> {
        let back = number(self.file, self.at)? as i32;
        let table = self.at as i64 - i64::from(back);
        let table = usize::try_from(table).map_err(|_| "a table before its beginning")?;
        let short = |at: usize| -> Result<usize, String> {
            let bytes = self.file.get(at..at.saturating_add(2)).ok_or("a table after its end")?;
            Ok(usize::from(u16::from_le_bytes([bytes[0], bytes[1]])))
        };
        let (size, entry) = (short(table)?, 4 + 2 * n);
        let offset = if entry + 2 <= size { short(table + entry)? } else { 0 };
        Ok((offset > 0).then_some(self.at + offset))
    }

    fn u8(&self, n: usize) -> Result<u8, String> {
        let Some(at) = self.field(n)? else { return Ok(0) };
        self.file.get(at).copied().ok_or_else(|| "a byte after its end".into())
    }

    fn u32(&self, n: usize) -> Result<u32, String> {
        self.field(n)?.map_or(Ok(0), |at| number(self.file, at))
    }

    fn i32(&self, n: usize) -> Result<i32, String> {
        Ok(self.u32(n)? as i32)
    }

    /// The items of a vector, `width` bytes each.
    fn vector(&self, n: usize, width: usize) -> Result<(usize, &'a [u8]), String> {
        let Some(at) = self.field(n)? else { return Ok((0, &[])) };
        let start = at + number(self.file, at)? as usize;
        let bytes = (number(self.file, start)? as usize).saturating_mul(width);
        let from = start + 4;
        let items = self.file.get(from..from.saturating_add(bytes)).ok_or("a vector after its end")?;
        Ok((from, items))
    }

    fn bytes(&self, n: usize) -> Result<&'a [u8], String> {
        Ok(self.vector(n, 1)?.1)
    }

    fn text(&self, n: usize) -> Result<&'a str, String> {
        std::str::from_utf8(self.bytes(n)?).map_err(|e| e.to_string())
    }

    fn ints(&self, n: usize) -> Result<Vec<i32>, String> {
        let (_, items) = self.vector(n, 4)?;
        Ok(items.chunks_exact(4).map(|b| i32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
    }

    fn tables(&self, n: usize) -> Result<Vec<Table<'a>>, String> {
        let (from, items) = self.vector(n, 4)?;
        let places = (0..items.len() / 4).map(|i| from + 4 * i);
        places.map(|at| Ok(Table { file: self.file, at: at + number(self.file, at)? as usize })).collect()
    }
}

fn number(file: &[u8], at: usize) -> Result<u32, String> {
    let bytes = file.get(at..at.saturating_add(4)).ok_or("a number after its end")?;
    Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// What a field of a table holds.
    enum Field<'a> {
        Number(u32),
        Ints(&'a [i32]),
        Bytes(&'a [u8]),
        Tables(Vec<Vec<(usize, Field<'a>)>>),
    }

    /// Appends a table of numbered fields and all that hangs from it; gives its place.
    fn table(file: &mut Vec<u8>, fields: &[(usize, Field<'_>)]) -> usize {
        let count = fields.iter().map(|(n, _)| n + 1).max().unwrap_or(0);
        let vtable = file.len();
        let mut entries = vec![0_u16; count];
        for (place, (n, _)) in fields.iter().enumerate() {
            entries[*n] = 4 + 4 * place as u16;
        }
        let sizes = [4 + 2 * count as u16, 4 + 4 * fields.len() as u16];
        file.extend(sizes.iter().chain(&entries).flat_map(|entry| entry.to_le_bytes()));
        let at = file.len();
        file.extend(((at - vtable) as i32).to_le_bytes());
        file.resize(at + 4 + 4 * fields.len(), 0);
        for (place, (_, field)) in fields.iter().enumerate() {
            let slot = at + 4 + 4 * place;
            let value = match field {
                Field::Number(number) => *number,
                Field::Ints(items) => {
                    let start = file.len();
                    file.extend((items.len() as u32).to_le_bytes());
                    file.extend(items.iter().flat_map(|item| item.to_le_bytes()));
                    (start - slot) as u32
                }
                Field::Bytes(items) => {
                    let start = file.len();
                    file.extend((items.len() as u32).to_le_bytes());
                    file.extend(*items);
                    (start - slot) as u32
                }
                Field::Tables(tables) => {
                    let start = file.len();
                    file.extend((tables.len() as u32).to_le_bytes());
                    file.resize(start + 4 + 4 * tables.len(), 0);
                    for (n, fields) in tables.iter().enumerate() {
                        let slot = start + 4 + 4 * n;
                        let to = table(file, fields);
                        file[slot..slot + 4].copy_from_slice(&((to - slot) as u32).to_le_bytes());
                    }
                    (start - slot) as u32
                }
            };
            file[slot..slot + 4].copy_from_slice(&value.to_le_bytes());
        }
        at
    }

    /// A depthwise convolution whose f16 weights are widened, and a PReLU.
    fn graph(slopes: &[u8]) -> Vec<u8> {
        use Field::{Bytes, Ints, Number, Tables};
        let tensor = |shape: &'static [i32], kind: u32, buffer: u32| {
            vec![(0, Ints(shape)), (1, Number(kind)), (2, Number(buffer))]
        };
        let operator = |code: u32, inputs: &'static [i32], outputs: &'static [i32]| {
            vec![(0, Number(code)), (1, Ints(inputs)), (2, Ints(outputs))]
        };
        // [1, h=1, w=2, channels=3] of f16 numbers 0 to 5, by their bytes.
        let weights: Vec<u8> = (0..6_u8).flat_map(|n| [n, 0x3c]).collect();
        let graph = vec![
            (
                0,
                Tables(vec![
                    tensor(&[1, 1, 2, 3], 0, 0),
                    tensor(&[1, 1, 2, 3], 1, 1),
                    tensor(&[1, 1, 2, 3], 0, 0),
                    tensor(&[3], 0, 2),
                    tensor(&[1, 1, 3], 0, 3),
                ]),
            ),
            (
                3,
                Tables(vec![
                    operator(0, &[1], &[2]),
                    operator(1, &[0, 2, 3], &[5]),
                    operator(2, &[5, 4], &[6]),
                ]),
            ),
        ];
        let codes = [DEQUANTIZE, DEPTHWISE_CONV_2D, PRELU].map(|code| vec![(0, Number(code as u32))]);
        let buffers = [&[][..], &weights, &[1; 12], slopes].map(|bytes| vec![(0, Bytes(bytes))]);
        let model = [
            (1, Tables(codes.into_iter().collect())),
            (2, Tables(vec![graph])),
            (4, Tables(buffers.into_iter().collect())),
        ];
        let mut file = b"\0\0\0\0TFL3".to_vec();
        let root = table(&mut file, &model);
        file[..4].copy_from_slice(&(root as u32).to_le_bytes());
        file
    }

    #[test]
    fn layers_are_numbered_as_they_run_and_their_axes_turned() {
        let made = convert(&graph(&[2; 12])).unwrap();
        let made = safetensors::SafeTensors::deserialize(&made).unwrap();
        let mut names = made.names();
        names.sort_unstable();
        assert_eq!(names, ["000.bias", "000.weight", "001.slope"]);
        let weight = made.tensor("000.weight").unwrap();
        assert_eq!((weight.dtype(), weight.shape()), (Dtype::F16, &[3, 1, 1, 2][..]));
        let firsts: Vec<u8> = weight.data().iter().step_by(2).copied().collect();
        assert_eq!(firsts, [0, 3, 1, 4, 2, 5]);
        assert_eq!(made.tensor("001.slope").unwrap().shape(), [3]);
    }

    #[test]
    fn what_is_no_such_file_or_broken_off_is_refused_with_a_reason() {
        let whole = graph(&[2; 12]);
        assert!(convert(b"PK\x03\x04....").unwrap_err().contains("does not begin as one"));
        let short = convert(&graph(&[2; 8])).unwrap_err();
        assert!(short.contains("its slope of [1, 1, 3] has 8 bytes"), "{short}");
        for cut in 8..whole.len() {
            assert!(convert(&whole[..cut]).is_err(), "cut at {cut}");
        }
    }
}

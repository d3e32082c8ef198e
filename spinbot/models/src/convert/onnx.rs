//! The initialisers of an ONNX file: their names, shapes and values, and the way back from onnxruntime's integer
//! quantisation. The graph's nodes are not read, nothing is computed, and values kept in other files are refused.
//!
//! The bytes are borrowed, not copied; a file that lies about lengths is refused before anything is allocated for
//! it. Field numbers are those of onnx.proto3 (ONNX IR version 3 and later).

use std::collections::HashMap;

/// The initialisers of a model, by name.
pub(crate) struct Initialisers<'a>(HashMap<&'a str, Initialiser<'a>>);

/// One constant tensor of the graph.
pub(crate) struct Initialiser<'a> {
    name: &'a str,
    shape: Vec<usize>,
    /// How many values the shape has places for.
    count: usize,
    kind: u64,
    /// `raw_data`: little-endian values.
    raw: Option<&'a [u8]>,
    /// `float_data` and `int32_data` in the pieces they came in; an element may also stand alone.
    typed: Vec<Field<'a>>,
}

/// ONNX's numbers for the kinds of element that are read here.
const FLOAT: u64 = 1;
const UINT8: u64 = 2;
const INT8: u64 = 3;

/// No tensor in a file that is worth reading has more dimensions.
const MAX_RANK: usize = 8;

impl<'a> Initialisers<'a> {
    /// Reads a serialised `ModelProto`. The error is a reason.
    pub(crate) fn read(model: &'a [u8]) -> Result<Self, String> {
        let mut all = HashMap::new();
        // ModelProto.graph = 7, GraphProto.initializer = 5.
        for graph in messages(model, 7) {
            for tensor in messages(graph?, 5) {
                let tensor = Initialiser::read(tensor?)?;
                if let Some(twice) = all.insert(tensor.name, tensor) {
                    return Err(format!("the ONNX file has two initialisers `{}`", twice.name));
                }
            }
        }
        if all.is_empty() {
            return Err("the ONNX file has no initialisers".into());
        }
        Ok(Initialisers(all))
    }

    /// The initialiser of that name. The error is a reason.
    pub(crate) fn get(&self, name: &str) -> Result<&Initialiser<'a>, String> {
        self.0.get(name).ok_or_else(|| format!("the ONNX file has no initialiser `{name}`"))
    }

    /// All of them, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Initialiser<'a>> {
        self.0.values()
    }
}

impl<'a> Initialiser<'a> {
    fn read(tensor: &'a [u8]) -> Result<Self, String> {
        let (mut name, mut shape, mut kind, mut raw, mut typed) = ("", Vec::new(), 0, None, Vec::new());
        for field in Fields(tensor) {
            let (number, field) = field?;
            match (number, field) {
                (1, field) => field.varints(&mut |dim| {
                    shape.push(usize::try_from(dim).map_err(|_| "a dimension is too large".to_owned())?);
                    if shape.len() > MAX_RANK {
                        Err("a tensor has too many dimensions".into())
                    } else {
                        Ok(())
                    }
                })?,
                (2, Field::Varint(number)) => kind = number,
                (4 | 5, field) => typed.push(field),
                (8, Field::Bytes(bytes)) => {
                    name =
                        str::from_utf8(bytes).map_err(|_| "an initialiser's name is not UTF-8".to_owned())?;
                }
                (9, Field::Bytes(bytes)) => raw = Some(bytes),
                (13, _) | (14, Field::Varint(1)) => {
                    return Err(format!("`{name}` keeps its values in another file"));
                }
                _ => {}
            }
        }
        let count = shape.iter().try_fold(1_usize, |n, &dim| n.checked_mul(dim));
        let count = count.ok_or_else(|| format!("`{name}` has the impossible shape {shape:?}"))?;
        Ok(Initialiser { name, shape, count, kind, raw, typed })
    }

    /// Its name.
    pub(crate) fn name(&self) -> &'a str {
        self.name
    }

    /// Its dimensions; none for a scalar.
    pub(crate) fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Whether it holds f32.
    pub(crate) fn is_f32(&self) -> bool {
        self.kind == FLOAT
    }

    /// Its values, row-major, when it holds f32. The error is a reason.
    pub(crate) fn f32(&self) -> Result<Vec<f32>, String> {
        if self.kind != FLOAT {
            return Err(format!("`{}` holds ONNX's type {}, expected float", self.name, self.kind));
        }
        let mut values = Vec::new();
        let mut four = |bytes: &[u8]| {
            values.extend(bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])));
        };
        match self.raw {
            Some(raw) => four(raw),
            None => self.typed.iter().for_each(|field| match field {
                Field::Bytes(bytes) => four(bytes),
                Field::Fixed32(bytes) => four(bytes),
                Field::Varint(_) | Field::Fixed64 => {}
            }),
        }
        self.whole(values)
    }

    /// Its values, row-major, when it holds 8-bit integers; they are exact in f32. The error is a reason.
    pub(crate) fn bytes_as_f32(&self) -> Result<Vec<f32>, String> {
        let signed = match self.kind {
            UINT8 => false,
            INT8 => true,
            kind => return Err(format!("`{}` holds ONNX's type {kind}, expected 8-bit integers", self.name)),
        };
        let value = |byte: u8| if signed { f32::from(byte as i8) } else { f32::from(byte) };
        let mut values = Vec::new();
        match self.raw {
            Some(raw) => values.extend(raw.iter().map(|&byte| value(byte))),
            // int32_data: the low byte of the two's complement is the value.
            None => {
                for field in &self.typed {
                    field.varints(&mut |number| {
                        values.push(value(number as u8));
                        Ok(())
                    })?;
                }
            }
        }
        self.whole(values)
    }

    /// (stored - zero point) x scale in f32, where zero point and scale are scalars or hold one value for each
    /// place along `axis`: what onnxruntime's dynamic quantisation takes the stored values for. The error is a
    /// reason.
    pub(crate) fn dequantised(
        &self,
        zero_point: &Initialiser,
        scale: &Initialiser,
        axis: usize,
    ) -> Result<Vec<f32>, String> {
        let (zero_points, scales) = (zero_point.bytes_as_f32()?, scale.f32()?);
        let places = self.shape.get(axis).copied().unwrap_or(1);
        let inner: usize = self.shape.get(axis + 1..).unwrap_or_default().iter().product();
        for (of, values) in [(zero_point, &zero_points), (scale, &scales)] {
            if ![1, places].contains(&values.len()) {
                return Err(format!(
                    "`{}` has {} values for {places} places of `{}`",
                    of.name,
                    values.len(),
                    self.name
                ));
            }
        }
        let mut values = self.bytes_as_f32()?;
        for (n, row) in values.chunks_exact_mut(inner.max(1)).enumerate() {
            let place = n % places;
            let zero_point = zero_points[if zero_points.len() == 1 { 0 } else { place }];
            let scale = scales[if scales.len() == 1 { 0 } else { place }];
            row.iter_mut().for_each(|value| *value = (*value - zero_point) * scale);
        }
        Ok(values)
    }

    fn whole(&self, values: Vec<f32>) -> Result<Vec<f32>, String> {
        if values.len() == self.count {
            return Ok(values);
        }
        Err(format!("`{}` has {} values for shape {:?}", self.name, values.len(), self.shape))
    }
}

/// One field of a protobuf message, after its tag.
#[derive(Clone, Copy)]
enum Field<'a> {
    Varint(u64),
    Fixed64,
    Bytes(&'a [u8]),
    Fixed32([u8; 4]),
}

impl Field<'_> {
    /// Hears every number of a repeated integer field, packed or alone.
    fn varints(self, hear: &mut dyn FnMut(u64) -> Result<(), String>) -> Result<(), String> {
        match self {
            Field::Varint(number) => hear(number),
            Field::Bytes(mut bytes) => {
                while !bytes.is_empty() {
                    hear(varint(&mut bytes)?)?;
                }
                Ok(())
            }
            Field::Fixed64 | Field::Fixed32(_) => Err("the ONNX file has a number of the wrong kind".into()),
        }
    }
}

/// The fields of a protobuf message with their numbers, until its end or its first fault.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Field<'a>), String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

impl<'a> Fields<'a> {
    fn field(&mut self) -> Result<(u64, Field<'a>), String> {
        let tag = varint(&mut self.0)?;
        let field = match tag & 7 {
            0 => Field::Varint(varint(&mut self.0)?),
            1 => {
                self.take(8)?;
                Field::Fixed64
            }
            2 => {
                let length = varint(&mut self.0)?;
                Field::Bytes(self.take(length)?)
            }
            5 => {
                let bytes = self.take(4)?;
                Field::Fixed32(std::array::from_fn(|n| bytes[n]))
            }
            kind => return Err(format!("the ONNX file is damaged: wire type {kind}")),
        };
        Ok((tag >> 3, field))
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], String> {
        let split = usize::try_from(length).ok().and_then(|length| self.0.split_at_checked(length));
        let (taken, rest) = split.ok_or_else(cut_short)?;
        self.0 = rest;
        Ok(taken)
    }
}

/// The messages in a field of that number.
fn messages(message: &[u8], number: u64) -> impl Iterator<Item = Result<&[u8], String>> {
    Fields(message).filter_map(move |field| match field {
        Ok((n, Field::Bytes(bytes))) if n == number => Some(Ok(bytes)),
        Ok(_) => None,
        Err(reason) => Some(Err(reason)),
    })
}

fn varint(bytes: &mut &[u8]) -> Result<u64, String> {
    let mut number = 0_u64;
    for n in 0..10 {
        let (&byte, rest) = bytes.split_first().ok_or_else(cut_short)?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << (7 * n);
        if byte < 0x80 {
            return Ok(number);
        }
    }
    Err("the ONNX file is damaged: a number has no end".into())
}

fn cut_short() -> String {
    "the ONNX file is cut short".into()
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn number(mut n: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        while n >= 0x80 {
            bytes.push(n as u8 | 0x80);
            n >>= 7;
        }
        bytes.push(n as u8);
        bytes
    }

    fn bytes(field: u64, bytes: &[u8]) -> Vec<u8> {
        [number(field << 3 | 2), number(bytes.len() as u64), bytes.to_vec()].concat()
    }

    /// A serialised TensorProto whose values lie in that field.
    pub(crate) fn tensor(name: &str, shape: &[u64], kind: u64, field: u64, values: &[u8]) -> Vec<u8> {
        let dims: Vec<u8> = shape.iter().flat_map(|&dim| number(dim)).collect();
        [bytes(1, &dims), number(2 << 3), number(kind), bytes(8, name.as_bytes()), bytes(field, values)]
            .concat()
    }

    /// A serialised ModelProto with those tensors.
    pub(crate) fn model(tensors: &[Vec<u8>]) -> Vec<u8> {
        let graph: Vec<u8> = tensors.iter().flat_map(|tensor| bytes(5, tensor)).collect();
        [number(1 << 3), number(8), bytes(2, b"a producer"), bytes(7, &graph)].concat()
    }

    #[test]
    fn values_are_read_raw_and_typed_and_dequantised_along_their_axis() {
        let floats: Vec<u8> = [0.5_f32, 0.25, 2.0].iter().flat_map(|value| value.to_le_bytes()).collect();
        // int32_data of int8: -1 is written as ten bytes, sign-extended.
        let typed = [number(-1_i64 as u64), number(0), number(1)].concat();
        let model = model(&[
            tensor("raw", &[2, 3], INT8, 9, &[1, 2, 3, 0xff, 0xfe, 0xfd]),
            tensor("typed", &[3], INT8, 5, &typed),
            tensor("scale", &[3], FLOAT, 9, &floats),
            tensor("typed scale", &[3], FLOAT, 4, &floats),
            tensor("one", &[], UINT8, 9, &[3]),
            tensor("half", &[], FLOAT, 4, &0.5_f32.to_le_bytes()),
        ]);
        let all = Initialisers::read(&model).unwrap();
        let get = |name| all.get(name).unwrap();
        assert_eq!(get("raw").bytes_as_f32().unwrap(), [1.0, 2.0, 3.0, -1.0, -2.0, -3.0]);
        assert_eq!(get("typed").bytes_as_f32().unwrap(), [-1.0, 0.0, 1.0]);
        assert_eq!(get("typed scale").f32().unwrap(), get("scale").f32().unwrap());
        assert_eq!((get("half").f32().unwrap(), get("half").shape()), (vec![0.5], &[][..]));
        let by_column = get("raw").dequantised(get("typed"), get("scale"), 1).unwrap();
        assert_eq!(by_column, [1.0, 0.5, 4.0, 0.0, -0.5, -8.0]);
        let whole = get("raw").dequantised(get("one"), get("half"), 0).unwrap();
        assert_eq!(whole, [-1.0, -0.5, 0.0, -2.0, -2.5, -3.0]);
        let error = get("raw").dequantised(get("typed"), get("scale"), 0).unwrap_err();
        assert!(error.contains("3 values for 2 places"), "{error}");
        assert!(get("raw").f32().unwrap_err().contains("expected float"));
        assert!(get("half").bytes_as_f32().unwrap_err().contains("expected 8-bit"));
    }

    #[test]
    fn a_damaged_file_is_refused_with_a_reason() {
        let good = model(&[tensor("w", &[4], UINT8, 9, &[1, 2, 3, 4])]);
        for end in 1..good.len() {
            let read = Initialisers::read(&good[..end]);
            assert!(read.is_err(), "cut at {end} of {}", good.len());
        }
        let refused = |model: &[u8]| Initialisers::read(model).err().unwrap();
        assert!(refused(b"").contains("no initialisers"));
        assert!(refused(&[0xff; 64]).contains("no end"));
        assert!(refused(&[0x0b, 0]).contains("wire type 3"));
        assert!(refused(&model(&[tensor("w", &[u64::MAX, 2], UINT8, 9, &[])])).contains("impossible shape"));
        assert!(refused(&model(&[tensor("w", &[1; 9], UINT8, 9, &[0])])).contains("too many dimensions"));
        let twice = tensor("w", &[1], UINT8, 9, &[0]);
        assert!(refused(&model(&[twice.clone(), twice])).contains("two initialisers"));
        let outside = [tensor("w", &[1], UINT8, 9, &[0]), number(14 << 3), number(1)].concat();
        assert!(refused(&model(&[outside])).contains("another file"));
        let short = model(&[tensor("w", &[5], UINT8, 9, &[0])]);
        let error = Initialisers::read(&short).unwrap().get("w").unwrap().bytes_as_f32().unwrap_err();
        assert!(error.contains("1 values for shape [5]"), "{error}");
    }
}

//! Matrix products on slices, bounds checked once per call. Threads are the caller's business.

/// A matrix inside a slice.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// Rows one after the other, `stride` values apart.
    pub(crate) fn by_rows(values: &'a [f32], rows: usize, columns: usize, stride: usize) -> Self {
        let matrix = Matrix { values, rows, columns, row_stride: stride, column_stride: 1 };
        assert!(
            rows == 0 || columns == 0 || matrix.end() <= values.len(),
            "the matrix is larger than its slice"
        );
        matrix
    }

    /// The transposed matrix over the same values.
    pub(crate) fn transposed(self) -> Self {
        Matrix {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }

    fn end(&self) -> usize {
        (self.rows - 1) * self.row_stride + (self.columns - 1) * self.column_stride + 1
    }
}

/// `out = a·b`, or `out += a·b`; rows of `out` lie one after the other. One thread.
pub(crate) fn multiply(out: &mut [f32], a: Matrix, b: Matrix, accumulate: bool) {
    assert_eq!(a.columns, b.rows, "the matrices do not fit");
    let (m, n, k) = (a.rows, b.columns, a.columns);
    assert!(out.len() >= m * n, "the product is larger than its slice");
    if m == 0 || n == 0 {
        return;
    }
    if k == 0 {
        if !accumulate {
            out[..m * n].fill(0.0);
        }
        return;
    }
    // SAFETY: `by_rows` checked that the last element of either matrix lies in its slice, which transposing does
    // not change; the assertion above does so for `out`, and `&mut` keeps it apart from both.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            n as isize,
            accumulate,
            a.values.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.values.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

//! Reading a two-dimensional float16 array from NumPy's file format.

use anyhow::{Context, Result, bail};
use half::f16;
use std::path::Path;

/// Rows of equal length.
pub struct Matrix {
    pub columns: usize,
    values: Vec<f16>,
}

impl Matrix {
    /// Reads a `.npy` file of little-endian float16 in row order.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes =
            std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&bytes).with_context(|| format!("{} is not a float16 matrix", path.display()))
    }

    fn parse(bytes: &[u8]) -> Result<Self> {
        let rest = bytes.strip_prefix(b"\x93NUMPY").context("no NumPy magic")?;
        let (length, start) = match rest {
            [1, _, low, high, ..] => (usize::from(u16::from_le_bytes([*low, *high])), 4),
            [2 | 3, _, a, b, c, d, ..] => (u32::from_le_bytes([*a, *b, *c, *d]) as usize, 6),
            _ => bail!("unknown version"),
        };
        let header = rest
            .get(start..start + length)
            .context("the header is cut off")?;
        let header = std::str::from_utf8(header)?;
        if !header.contains("'descr': '<f2'") || !header.contains("'fortran_order': False") {
            bail!("the header is {header}");
        }
        let shape = header
            .split_once("'shape': (")
            .and_then(|(_, rest)| rest.split_once(')'))
            .context("no shape")?
            .0;
        let shape: Vec<usize> = shape
            .split(',')
            .map(|n| n.trim().parse())
            .collect::<Result<_, _>>()?;
        let [rows, columns] = shape[..] else {
            bail!("{} dimensions and not 2", shape.len())
        };
        let data = &rest[start + length..];
        if columns == 0
            || Some(data.len()) != rows.checked_mul(columns).and_then(|n| n.checked_mul(2))
        {
            bail!("{} bytes for {rows} rows of {columns}", data.len());
        }
        let (pairs, _) = data.as_chunks::<2>();
        Ok(Self {
            columns,
            values: pairs.iter().map(|pair| f16::from_le_bytes(*pair)).collect(),
        })
    }

    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[f16]> {
        self.values.chunks_exact(self.columns)
    }
}

/// A vector as SQL's text, as in `[0.5,-1]`.
pub fn vector_text(row: &[f16]) -> String {
    let numbers: Vec<String> = row.iter().map(|value| value.to_f32().to_string()).collect();
    format!("[{}]", numbers.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, values: &[f32]) -> Vec<u8> {
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend(u16::try_from(header.len()).unwrap().to_le_bytes());
        bytes.extend(header.as_bytes());
        values
            .iter()
            .for_each(|v| bytes.extend(f16::from_f32(*v).to_le_bytes()));
        bytes
    }

    const HEADER: &str = "{'descr': '<f2', 'fortran_order': False, 'shape': (2, 2), }\n";

    #[test]
    fn rows_are_read_in_order() {
        let matrix = Matrix::parse(&file(HEADER, &[0.5, -1.0, 0.25, 3.0])).unwrap();
        let rows: Vec<String> = matrix.rows().map(vector_text).collect();
        assert_eq!(rows, ["[0.5,-1]", "[0.25,3]"]);
    }

    #[test]
    fn other_files_are_refused() {
        let cut = &file(HEADER, &[0.5, -1.0, 0.25]);
        assert!(Matrix::parse(cut).is_err());
        assert!(Matrix::parse(&file(&HEADER.replace("<f2", "<f4"), &[0.5; 4])).is_err());
        assert!(Matrix::parse(b"word\tdefinition\n").is_err());
        assert!(Matrix::parse(&cut[..12]).is_err());
    }
}

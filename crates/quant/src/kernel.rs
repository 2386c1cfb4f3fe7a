//! The kernels k-means decides by, all with canonical bits: the same on every CPU.
//! Stand-in until pgnear-kernels has them.

fn lanes(a: &[f32], b: &[f32], term: impl Fn(f32, f32) -> f32) -> f32 {
    let mut acc = [0.0f32; 32];
    let mut ca = a.chunks_exact(32);
    let mut cb = b.chunks_exact(32);
    for (x, y) in (&mut ca).zip(&mut cb) {
        for i in 0..32 {
            acc[i] += term(x[i], y[i]);
        }
    }
    for (i, (x, y)) in ca.remainder().iter().zip(cb.remainder()).enumerate() {
        acc[i] += term(*x, *y);
    }
    let mut width = 16;
    while width > 0 {
        for j in 0..width {
            acc[j] += acc[j + width];
        }
        width /= 2;
    }
    acc[0]
}

pub(crate) fn l2_squared(a: &[f32], b: &[f32]) -> f32 {
    lanes(a, b, |x, y| (x - y) * (x - y))
}

pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    lanes(a, b, |x, y| x * y)
}

pub(crate) fn l2_squared_x4(a: &[f32], b: [&[f32]; 4]) -> [f32; 4] {
    b.map(|b| l2_squared(a, b))
}

pub(crate) fn dot_x4(a: &[f32], b: [&[f32]; 4]) -> [f32; 4] {
    b.map(|b| dot(a, b))
}

pub(crate) fn hamming(a: &[u8], b: &[u8]) -> u64 {
    a.iter()
        .zip(b)
        .map(|(x, y)| u64::from((x ^ y).count_ones()))
        .sum()
}

//! Order and hash: equal values have equal hashes, and sparse values sort as dense ones do.

use std::cmp::Ordering;

use half::f16;
use pgnear_values::{halfvec, sparsevec, vector};

#[test]
fn elements_come_before_dimensions() {
    use Ordering::*;
    for (a, b, order) in [
        (&[1.0, 2.0, 3.0][..], &[1.0, 2.0, 3.0][..], Equal),
        (&[1.0, 2.0, 3.0], &[0.0, 0.0, 0.0], Greater),
        (&[1.0, 2.0], &[1.0, 2.0, 3.0], Less),
        (&[1.0, 2.0], &[2.0, 3.0, 4.0], Less),
        (&[2.0, 3.0], &[1.0, 2.0, 3.0], Greater),
        (&[0.0], &[-0.0], Equal),
        (&[-1.0], &[-2.0], Greater),
    ] {
        assert_eq!(vector::cmp(a, b), order, "{a:?} {b:?}");
        assert_eq!(vector::cmp(b, a), order.reverse(), "{b:?} {a:?}");
        let half = |v: &[f32]| v.iter().map(|&x| f16::from_f32(x)).collect::<Vec<_>>();
        assert_eq!(halfvec::cmp(&half(a), &half(b)), order, "{a:?} {b:?}");
    }
}

/// All vectors of up to 4 elements out of -1, 0 and 1.
fn small_vectors() -> Vec<Vec<f32>> {
    let mut all = Vec::new();
    for dims in 1..=4u32 {
        for number in 0..3usize.pow(dims) {
            all.push(
                (0..dims)
                    .map(|i| (number / 3usize.pow(i) % 3) as f32 - 1.0)
                    .collect(),
            );
        }
    }
    all
}

#[test]
fn sparse_values_sort_and_hash_as_dense_ones_do() {
    let all = small_vectors();
    for a in &all {
        for b in &all {
            let (x, y) = (
                sparsevec::from_vector(a, -1).unwrap(),
                sparsevec::from_vector(b, -1).unwrap(),
            );
            let order = vector::cmp(a, b);
            assert_eq!(sparsevec::cmp(x.as_ref(), y.as_ref()), order, "{a:?} {b:?}");
            let equal = order == Ordering::Equal;
            assert_eq!(vector::hash(a) == vector::hash(b), equal, "{a:?} {b:?}");
            assert_eq!(
                sparsevec::hash(x.as_ref()) == sparsevec::hash(y.as_ref()),
                equal,
                "{a:?} {b:?}"
            );
        }
    }
}

#[test]
fn both_zeros_hash_the_same() {
    assert_eq!(
        vector::hash(&[0.0, 1.0, 0.0]),
        vector::hash(&[-0.0, 1.0, -0.0])
    );
    let (zero, negative) = ([f16::ZERO], [f16::NEG_ZERO]);
    assert_eq!(halfvec::hash(&zero), halfvec::hash(&negative));
}

/// The rule of hash operator classes: the 32-bit hash is the lower half of the 64-bit one.
#[test]
fn seed_zero_extends_the_hash() {
    let v = [1.0, 2.0, 3.0];
    assert_eq!(vector::hash_extended(&v, 0) as u32, vector::hash(&v));
    assert_ne!(vector::hash_extended(&v, 0), vector::hash_extended(&v, 1));
}

const VECTOR_1: u64 = 0xd993_eec7_7cd2_0ed8;
const VECTOR_3: u64 = 0xebad_8711_2bfb_fed5;
const VECTOR_3_SEED_42: u64 = 0x52cb_a71a_b64e_5511;
const SPARSE: u64 = 0x34e8_8e87_bdb4_d970;

/// Tables on disk are partitioned by these: the numbers must never change.
#[test]
fn hashes_are_fixed_for_ever() {
    assert_eq!(vector::hash_extended(&[1.0], 0), VECTOR_1);
    assert_eq!(vector::hash_extended(&[1.0, -2.5, 3.0], 0), VECTOR_3);
    assert_eq!(
        vector::hash_extended(&[1.0, -2.5, 3.0], 42),
        VECTOR_3_SEED_42
    );
    let half = [1.0, -2.5, 3.0].map(f16::from_f32);
    assert_eq!(halfvec::hash_extended(&half, 0), VECTOR_3);
    let sparse = sparsevec::parse(b"{1:1,3:-2.5}/4", -1).unwrap();
    assert_eq!(sparsevec::hash_extended(sparse.as_ref(), 0), SPARSE);
}

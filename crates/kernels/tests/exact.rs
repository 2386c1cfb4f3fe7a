//! Values that SQL users see, worked out by hand, for every kind of vector.

mod common;

use common::{Random, halves};
use half::f16;
use pgnear_kernels::sparse::{self, SparseRef};
use pgnear_kernels::{CosineSums, Metric, exact};

struct Sparse {
    indices: Vec<i32>,
    values: Vec<f32>,
    dims: i32,
}

impl Sparse {
    fn of(dense: &[f32]) -> Sparse {
        let stored = dense.iter().enumerate().filter(|(_, value)| **value != 0.0);
        let (indices, values) = stored.map(|(index, value)| (index as i32, *value)).unzip();
        Sparse {
            indices,
            values,
            dims: dense.len() as i32,
        }
    }

    fn as_ref(&self) -> SparseRef<'_> {
        SparseRef {
            dims: self.dims,
            indices: &self.indices,
            values: &self.values,
        }
    }
}

/// The function's value for the three kinds of vector, which must agree.
#[track_caller]
fn all(
    a: &[f32],
    b: &[f32],
    dense: fn(&[f32], &[f32]) -> f64,
    half: fn(&[f16], &[f16]) -> f64,
    sparse: fn(SparseRef<'_>, SparseRef<'_>) -> f64,
) -> f64 {
    let value = dense(a, b);
    let others = [
        half(&halves(a), &halves(b)),
        sparse(Sparse::of(a).as_ref(), Sparse::of(b).as_ref()),
    ];
    for other in others {
        assert_eq!(other.to_bits(), value.to_bits(), "{other}, not {value}");
    }
    value
}

macro_rules! all {
    ($function:ident, $a:expr, $b:expr) => {
        all(
            &$a,
            &$b,
            |a, b| exact::$function(a, b),
            |a, b| exact::$function(a, b),
            |a, b| exact::$function(a, b),
        )
    };
}

#[test]
fn distances_by_hand() {
    assert_eq!(all!(l2, [0.0, 0.0], [3.0, 4.0]), 5.0);
    assert_eq!(all!(l2, [1.0, 0.0], [0.0, 1.0]), 2f64.sqrt());
    assert_eq!(all!(l2_squared, [0.0, 0.0], [3.0, 4.0]), 25.0);
    assert_eq!(all!(inner_product, [1.0, 2.0], [3.0, 4.0]), 11.0);
    assert_eq!(all!(negative_inner_product, [1.0, 2.0], [3.0, 4.0]), -11.0);
    assert_eq!(all!(l1, [0.0, 0.0], [3.0, -4.0]), 7.0);
    assert_eq!(all!(cosine_distance, [1.0, 2.0], [2.0, 4.0]), 0.0);
    assert_eq!(all!(cosine_distance, [1.0, 0.0], [0.0, 2.0]), 1.0);
    assert_eq!(all!(cosine_distance, [1.0, 1.0], [-1.0, -1.0]), 2.0);
    assert_eq!(all!(spherical_distance, [1.0, 0.0], [0.0, 1.0]), 0.5);
    assert_eq!(all!(spherical_distance, [1.0, 0.0], [1.0, 0.0]), 0.0);
    assert_eq!(all!(spherical_distance, [1.0, 0.0], [-1.0, 0.0]), 1.0);
    assert_eq!(exact::norm(&[3.0f32, 4.0][..]), 5.0);
    assert_eq!(exact::norm(&halves(&[3.0, 4.0])[..]), 5.0);
    assert_eq!(exact::norm(Sparse::of(&[3.0, 0.0, 4.0]).as_ref()), 5.0);
}

#[test]
fn a_cosine_is_clamped_and_without_a_direction_it_is_nan() {
    // Rounding takes the similarity of these above 1 and below -1.
    let sums = |dot, norm_a, norm_b| {
        exact::cosine_from_sums(&CosineSums {
            dot,
            norm_a,
            norm_b,
        })
    };
    assert_eq!(sums(1.0f32.next_up(), 1.0, 1.0), 0.0);
    assert_eq!(sums(-1.0f32.next_up(), 1.0, 1.0), 2.0);
    for (a, b) in [([0.0, 0.0], [1.0, 2.0]), ([0.0, 0.0], [0.0, 0.0])] {
        assert_eq!(all!(cosine_distance, a, b).to_bits(), f64::NAN.to_bits());
    }
    assert_eq!(exact::spherical_distance(&[1.5f32][..], &[1.0f32][..]), 0.0);
    assert_eq!(
        exact::spherical_distance(&[1.5f32][..], &[-1.0f32][..]),
        1.0
    );
    // Norms are multiplied in f64, where the product of two f32 neither overflows nor vanishes.
    assert_eq!(exact::cosine_distance(&[1e19f32][..], &[1e19f32][..]), 0.0);
    assert_eq!(
        exact::cosine_distance(&[1e-18f32][..], &[1e-18f32][..]),
        0.0
    );
}

#[test]
fn an_overflowing_norm_leaves_nan_or_infinity() {
    assert_eq!(exact::l2(&[3e38f32][..], &[-3e38f32][..]), f64::INFINITY);
    assert_eq!(exact::norm(&[3e38f32, 0.0][..]), f64::from(3e38f32));
    let nan = exact::cosine_distance(&[3e38f32][..], &[3e38f32][..]);
    assert_eq!(nan.to_bits(), f64::NAN.to_bits());
    let nan = exact::negative_inner_product(&[f32::NAN][..], &[1.0f32][..]);
    assert_eq!(nan.to_bits(), f64::NAN.to_bits());
}

#[test]
fn the_operator_of_a_metric() {
    let (a, b) = ([1.0f32, 2.0], [4.0f32, 6.0]);
    let value = |metric| exact::distance(metric, &a[..], &b[..]);
    assert_eq!(value(Metric::L2), Some(5.0));
    assert_eq!(value(Metric::InnerProduct), Some(-16.0));
    assert_eq!(value(Metric::L1), Some(7.0));
    assert_eq!(value(Metric::Cosine), Some(1.0 - 16.0 / 260f64.sqrt()));
    assert_eq!(value(Metric::Hamming), None);
    assert_eq!(value(Metric::Jaccard), None);
    let operators = Metric::ALL.map(Metric::operator);
    assert_eq!(operators, ["<->", "<#>", "<=>", "<+>", "<~>", "<%>"]);
}

#[test]
fn bit_strings_by_hand() {
    assert_eq!(exact::hamming(&[0b1110_0000], &[0b1000_0000]), 2.0);
    assert_eq!(exact::hamming(&[], &[]), 0.0);
    assert_eq!(exact::jaccard(&[0b1111_0000], &[0b1100_0000]), 0.5);
    assert_eq!(exact::jaccard(&[0b1111_0000], &[0b1111_0000]), 0.0);
    assert_eq!(exact::jaccard(&[0b1111_0000], &[0b0000_1111]), 1.0);
    assert_eq!(exact::jaccard(&[0], &[0]), 1.0);
}

#[test]
fn sparse_sums_are_sequential_in_the_order_of_indices() {
    let mut random = Random(21);
    for dims in [0, 1, 2, 5, 40, 300] {
        for keep in [1, 2, 8] {
            let mut dense = || -> Vec<f32> {
                (0..dims)
                    .map(|_| {
                        if random.below(keep) == 0 {
                            random.unit()
                        } else {
                            0.0
                        }
                    })
                    .collect()
            };
            let (a, b) = (dense(), dense());
            let (sparse_a, sparse_b) = (Sparse::of(&a), Sparse::of(&b));
            let (x, y) = (sparse_a.as_ref(), sparse_b.as_ref());
            // Adding zero changes nothing, so the dense loop has the bits of the merge.
            let total = |term: fn(f32, f32) -> f32| {
                a.iter()
                    .zip(&b)
                    .fold(0.0f32, |sum, (a, b)| sum + term(*a, *b))
            };
            assert_eq!(
                sparse::l2_squared(x, y).to_bits(),
                total(|a, b| (a - b) * (a - b)).to_bits()
            );
            assert_eq!(
                sparse::l1(x, y).to_bits(),
                total(|a, b| (a - b).abs()).to_bits()
            );
            assert_eq!(sparse::dot(x, y).to_bits(), total(|a, b| a * b).to_bits());
            let sums = sparse::cosine_sums(x, y);
            assert_eq!(sums.dot.to_bits(), total(|a, b| a * b).to_bits());
            assert_eq!(sums.norm_a.to_bits(), total(|a, _| a * a).to_bits());
            assert_eq!(sums.norm_b.to_bits(), total(|_, b| b * b).to_bits());
            let norm = a
                .iter()
                .fold(0.0, |sum, a| sum + f64::from(*a) * f64::from(*a));
            assert_eq!(sparse::norm_squared_f64(x).to_bits(), f64::to_bits(norm));
        }
    }
}

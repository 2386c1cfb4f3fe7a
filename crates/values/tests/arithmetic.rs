//! Arithmetic, casts and the aggregate states.

use half::f16;
use pgnear_values::sparsevec::Sparse;
use pgnear_values::{Code, ValueError, avg, bits, error, sparsevec};

/// A type's functions, those that write into a result as ones that return it.
macro_rules! returning {
    ($module:ident, $element:ty) => {
        mod $module {
            pub use pgnear_values::$module::*;
            use pgnear_values::{ValueError, f16};

            type Elements = Result<Vec<$element>, ValueError>;

            pub fn add(a: &[$element], b: &[$element]) -> Elements {
                let mut sum = a.to_vec();
                let in_place = add_assign(&mut sum, b);
                let result = filled(a.len(), |out| add_into(a, b, out));
                assert_eq!(in_place.map(|()| sum), result);
                result
            }
            pub fn sub(a: &[$element], b: &[$element]) -> Elements {
                filled(a.len(), |out| sub_into(a, b, out))
            }
            pub fn mul(a: &[$element], b: &[$element]) -> Elements {
                filled(a.len(), |out| mul_into(a, b, out))
            }
            pub fn scale(v: &[$element], factor: f64) -> Elements {
                filled(v.len(), |out| scale_into(v, factor, out))
            }
            pub fn divide(v: &[$element], divisor: f64) -> Elements {
                filled(v.len(), |out| divide_into(v, divisor, out))
            }
            pub fn normalize(v: &[$element]) -> Elements {
                filled(v.len(), |out| normalize_into(v, out))
            }
            fn filled(
                dims: usize,
                fill: impl FnOnce(&mut [$element]) -> Result<(), ValueError>,
            ) -> Elements {
                // What was there before must not show through.
                let mut out = vec![f16::from_f32(7.0).into(); dims];
                fill(&mut out).map(|()| out)
            }
        }
    };
}

returning!(vector, f32);
returning!(halfvec, f16);

fn halves(numbers: &[f32]) -> Vec<f16> {
    numbers.iter().map(|&x| f16::from_f32(x)).collect()
}

fn sparse(text: &str) -> Sparse {
    sparsevec::parse(text.as_bytes(), -1).unwrap()
}

fn assert_refused<T: std::fmt::Debug>(result: Result<T, ValueError>, code: Code, message: &str) {
    let error = result.expect_err(message);
    assert_eq!((error.code, &*error.message), (code, message));
}

const OVERFLOW: &str = "value out of range: overflow";
const UNDERFLOW: &str = "value out of range: underflow";

#[test]
fn element_by_element() {
    let (a, b) = ([1.0, 2.0, 3.0], [4.0, 5.0, 6.0]);
    assert_eq!(vector::add(&a, &b).unwrap(), [5.0, 7.0, 9.0]);
    assert_eq!(vector::sub(&a, &b).unwrap(), [-3.0, -3.0, -3.0]);
    assert_eq!(vector::mul(&a, &b).unwrap(), [4.0, 10.0, 18.0]);
    assert_eq!(vector::concat(&a, &b[..1]).unwrap(), [1.0, 2.0, 3.0, 4.0]);
    assert_eq!(vector::scale(&a, 2.0).unwrap(), [2.0, 4.0, 6.0]);
    assert_eq!(vector::divide(&a, 2.0).unwrap(), [0.5, 1.0, 1.5]);
    let (a, b) = (halves(&a), halves(&b));
    assert_eq!(halfvec::add(&a, &b).unwrap(), halves(&[5.0, 7.0, 9.0]));
    assert_eq!(halfvec::sub(&a, &b).unwrap(), halves(&[-3.0, -3.0, -3.0]));
    assert_eq!(halfvec::mul(&a, &b).unwrap(), halves(&[4.0, 10.0, 18.0]));
    assert_eq!(
        halfvec::concat(&a, &b[..1]).unwrap(),
        halves(&[1.0, 2.0, 3.0, 4.0])
    );
    assert_eq!(halfvec::scale(&a, 2.0).unwrap(), halves(&[2.0, 4.0, 6.0]));
    assert_eq!(halfvec::divide(&a, 2.0).unwrap(), halves(&[0.5, 1.0, 1.5]));
}

/// Conversions go in chunks: each element must get its own operands, over the seams too.
#[test]
fn long_values() {
    for dims in [255, 256, 257, 1000, 16000] {
        let numbers = |factor: usize| -> Vec<f32> {
            (0..dims).map(|i| (i * factor % 251) as f32 + 1.0).collect()
        };
        let (x, y) = (numbers(3), numbers(7));
        let (a, b) = (halves(&x), halves(&y));
        let (product, sum) = (halfvec::mul(&a, &b).unwrap(), halfvec::add(&a, &b).unwrap());
        let (scaled, difference) = (
            vector::scale(&x, 0.5).unwrap(),
            vector::sub(&x, &y).unwrap(),
        );
        for i in 0..dims {
            assert_eq!(product[i], f16::from_f32(x[i] * y[i]), "{i} of {dims}");
            assert_eq!(sum[i], f16::from_f32(x[i] + y[i]), "{i} of {dims}");
            assert_eq!(scaled[i], x[i] * 0.5, "{i} of {dims}");
            assert_eq!(difference[i], x[i] - y[i], "{i} of {dims}");
        }
        assert_eq!(halfvec::from_vector(&x, -1).unwrap(), a);
        assert_eq!(vector::from_halfvec(&a, -1).unwrap(), x);
        assert_eq!(halfvec::to_f32s(&a).unwrap(), x);
    }
}

#[test]
fn results_out_of_range() {
    let overflow = |result| assert_refused(result, Code::NumericValueOutOfRange, OVERFLOW);
    let underflow = |result| assert_refused(result, Code::NumericValueOutOfRange, UNDERFLOW);
    overflow(vector::add(&[3e38], &[3e38]));
    overflow(vector::sub(&[-3e38], &[3e38]));
    overflow(vector::mul(&[1e37], &[1e37]));
    underflow(vector::mul(&[1e-37], &[1e-37]));
    overflow(vector::scale(&[1e37], 1e37));
    underflow(vector::scale(&[1e-37], 1e-37));
    overflow(vector::divide(&[1e37], 1e-37));
    underflow(vector::divide(&[1e-37], 1e37));
    // The first element that is out of range decides.
    underflow(vector::mul(&[1e-37, 1e37], &[1e-37, 1e37]));
    overflow(vector::mul(&[1e37, 1e-37], &[1e37, 1e-37]));
    // A zero that was expected is no underflow.
    assert_eq!(vector::mul(&[0.0, 5.0], &[7.0, -0.0]).unwrap(), [0.0, 0.0]);
    assert_eq!(vector::scale(&[0.0, 5.0], 0.0).unwrap(), [0.0, 0.0]);
    assert_eq!(vector::divide(&[0.0], 1e300).unwrap(), [0.0]);

    let overflow = |result| assert_refused(result, Code::NumericValueOutOfRange, OVERFLOW);
    let underflow = |result| assert_refused(result, Code::NumericValueOutOfRange, UNDERFLOW);
    let most = halves(&[65504.0]);
    overflow(halfvec::add(&most, &most));
    overflow(halfvec::sub(&halves(&[-65504.0]), &most));
    overflow(halfvec::mul(&most, &most));
    underflow(halfvec::mul(&halves(&[1e-7]), &halves(&[1e-7])));
    overflow(halfvec::scale(&most, 2.0));
    underflow(halfvec::divide(&halves(&[1e-7]), 100.0));
}

#[test]
fn scalars_must_be_finite_and_divisors_not_zero() {
    let v = [1.0];
    assert_refused(
        vector::divide(&v, 0.0),
        Code::DivisionByZero,
        "division by zero",
    );
    assert_refused(
        vector::divide(&v, -0.0),
        Code::DivisionByZero,
        "division by zero",
    );
    assert_refused(
        vector::scale(&v, f64::NAN),
        Code::DataException,
        "NaN not allowed in vector",
    );
    let infinite = "infinite value not allowed in vector";
    assert_refused(
        vector::scale(&v, f64::INFINITY),
        Code::DataException,
        infinite,
    );
    assert_refused(
        vector::divide(&v, f64::NEG_INFINITY),
        Code::DataException,
        infinite,
    );
    // A factor that no f32 can hold is fine where the result can.
    assert_eq!(vector::scale(&[1e-30], 1e45).unwrap(), [1e15]);
}

#[test]
fn dimensions_must_agree() {
    let message = "different vector dimensions 2 and 1";
    for op in [vector::add, vector::sub, vector::mul] {
        assert_refused(op(&[1.0, 2.0], &[3.0]), Code::DataException, message);
    }
    let message = "different halfvec dimensions 2 and 1";
    for op in [halfvec::add, halfvec::sub, halfvec::mul] {
        let result = op(&halves(&[1.0, 2.0]), &halves(&[3.0]));
        assert_refused(result, Code::DataException, message);
    }
    assert_refused(
        sparsevec::check_same_dims(sparse("{}/2").as_ref(), sparse("{}/1").as_ref()),
        Code::DataException,
        "different sparsevec dimensions 2 and 1",
    );
    assert_refused(
        bits::check_same_lengths(3, 2),
        Code::DataException,
        "different bit lengths 3 and 2",
    );
    assert_refused(
        vector::concat(&[0.0; 16000], &[1.0]),
        Code::ProgramLimitExceeded,
        "vector cannot have more than 16000 dimensions",
    );
}

#[test]
fn subvector_cuts_at_both_ends() {
    let v = [1.0, 2.0, 3.0, 4.0, 5.0];
    for (start, count, expected) in [
        (1, 3, &v[..3]),
        (3, 2, &v[2..4]),
        (-1, 3, &v[..1]),
        (3, 9, &v[2..]),
        (3, i32::MAX, &v[2..]),
        (-2147483644, i32::MAX, &v[..2]),
        (5, 1, &v[4..]),
    ] {
        assert_eq!(
            vector::subvector(&v, start, count).unwrap(),
            expected,
            "{start} {count}"
        );
    }
    for (start, count) in [
        (1, 0),
        (3, -1),
        (-1, 2),
        (6, 1),
        (i32::MAX, 10),
        (i32::MAX, i32::MAX),
        (i32::MIN, i32::MAX),
        (i32::MIN, i32::MIN),
    ] {
        assert_refused(
            vector::subvector(&v, start, count),
            Code::DataException,
            "vector must have at least 1 dimension",
        );
    }
}

#[test]
fn elements_count_from_one() {
    let v = [1.5, 2.5];
    assert_eq!(vector::get(&v, 1), Some(1.5));
    assert_eq!(vector::get(&v, 2), Some(2.5));
    for index in [0, 3, -1, i32::MIN, i32::MAX] {
        assert_eq!(vector::get(&v, index), None);
    }
    assert_eq!(halfvec::get(&halves(&v), 2), Some(2.5));
}

#[test]
fn normalize() {
    assert_eq!(vector::normalize(&[3.0, 4.0]).unwrap(), [0.6, 0.8]);
    assert_eq!(vector::normalize(&[0.0, 0.1]).unwrap(), [0.0, 1.0]);
    assert_eq!(vector::normalize(&[0.0, -0.0]).unwrap(), [0.0, 0.0]);
    // The norm of these doesn't fit into an f32.
    assert_eq!(vector::normalize(&[3e38, 0.0]).unwrap(), [1.0, 0.0]);
    assert_eq!(vector::normalize(&[1e-45]).unwrap(), [1.0]);
    assert_eq!(
        halfvec::normalize(&halves(&[3.0, 4.0])).unwrap(),
        halves(&[0.6, 0.8])
    );
    assert_eq!(
        halfvec::normalize(&halves(&[65504.0])).unwrap(),
        halves(&[1.0])
    );
    for (from, to) in [
        ("{1:3,2:4}/2", "{1:0.6,2:0.8}/2"),
        ("{}/2", "{}/2"),
        // What became zero is not stored.
        ("{1:3e38,2:1e-37}/2", "{1:1}/2"),
        ("{2:3e37,4:3e-37,6:4e37,8:4e-37}/9", "{2:0.6,6:0.8}/9"),
    ] {
        assert_eq!(
            sparsevec::normalize(sparse(from).as_ref()).unwrap(),
            sparse(to)
        );
    }
}

#[test]
fn binary_quantize_packs_from_the_most_significant_bit() {
    assert_eq!(
        vector::binary_quantize(&[1.0, 0.0, -1.0]).unwrap(),
        [0b1000_0000]
    );
    let v = [0.0, 0.1, -0.2, -0.3, 0.4, 0.5, 0.6, -0.7, 0.8, -0.9, 1.0];
    assert_eq!(
        vector::binary_quantize(&v).unwrap(),
        [0b0100_1110, 0b1010_0000]
    );
    assert_eq!(
        halfvec::binary_quantize(&halves(&v)).unwrap(),
        [0b0100_1110, 0b1010_0000]
    );
    assert_eq!(bits::byte_len(11), 2);
    assert_eq!(bits::byte_len(16), 2);
}

#[test]
fn casts_from_arrays() {
    assert_eq!(
        vector::from_i64s(&[1, -2, 16777217], 3).unwrap(),
        [1.0, -2.0, 16777216.0]
    );
    assert_eq!(
        vector::from_f64s(&[0.1, 1e-46, -1e-46], -1).unwrap(),
        [0.1, 0.0, -0.0]
    );
    assert_eq!(
        halfvec::from_f32s(&[1e-8, 1.0], -1).unwrap(),
        halves(&[0.0, 1.0])
    );
    assert_eq!(
        sparsevec::from_i64s(&[1, 0, 2, 0], -1).unwrap(),
        sparse("{1:1,3:2}/4")
    );
    assert_eq!(
        sparsevec::from_f64s(&[1e-46, 1.0], 2).unwrap(),
        sparse("{2:1}/2")
    );

    let data = Code::DataException;
    assert_refused(
        vector::from_f32s(&[], -1),
        data,
        "vector must have at least 1 dimension",
    );
    assert_refused(
        vector::from_f32s(&[f32::NAN], -1),
        data,
        "NaN not allowed in vector",
    );
    assert_refused(
        vector::from_f64s(&[4e38], -1),
        data,
        "infinite value not allowed in vector",
    );
    assert_refused(
        vector::from_i64s(&[1, 2, 3], 2),
        data,
        "expected 2 dimensions, not 3",
    );
    assert_refused(
        vector::from_i64s(&[1; 16001], -1),
        Code::ProgramLimitExceeded,
        "vector cannot have more than 16000 dimensions",
    );
    assert_refused(
        halfvec::from_f64s(&[4e38], -1),
        data,
        "infinite value not allowed in halfvec",
    );
    assert_refused(
        halfvec::from_f32s(&[1.0, 65520.0], -1),
        Code::NumericValueOutOfRange,
        "\"65520\" is out of range for type halfvec",
    );
    assert_refused(
        sparsevec::from_f32s(&[], -1),
        data,
        "sparsevec must have at least 1 dimension",
    );
    assert_refused(
        sparsevec::from_f32s(&[f32::NAN], -1),
        data,
        "NaN not allowed in sparsevec",
    );
    assert_refused(
        sparsevec::from_f64s(&[-4e38], -1),
        data,
        "infinite value not allowed in sparsevec",
    );
    assert_refused(
        sparsevec::from_i64s(&[1; 16001], -1),
        Code::ProgramLimitExceeded,
        "sparsevec cannot have more than 16000 non-zero elements",
    );
    let zeros = sparsevec::from_i64s(&[0; 16001], -1).unwrap();
    assert_eq!((zeros.dims, zeros.indices.len()), (16001, 0));

    // What the glue finds in the array's header.
    for (error, code, message) in [
        (
            error::array_not_one_dimensional(),
            data,
            "array must be 1-D",
        ),
        (
            error::array_has_nulls(),
            Code::NullValueNotAllowed,
            "array must not contain nulls",
        ),
        (
            error::unsupported_array_type(),
            data,
            "unsupported array type",
        ),
        (error::out_of_memory(), Code::OutOfMemory, "out of memory"),
    ] {
        assert_refused(Err::<(), _>(error), code, message);
    }
    assert_eq!(Code::NullValueNotAllowed.sqlstate(), "22004");
    assert_eq!(Code::OutOfMemory.sqlstate(), "53200");
    assert_eq!(Code::DivisionByZero.sqlstate(), "22012");
    assert_eq!(Code::FeatureNotSupported.sqlstate(), "0A000");
}

#[test]
fn casts_between_the_types() {
    let dense = [0.0, 1.5, 0.0, 3.5, 0.0];
    let value = sparse("{2:1.5,4:3.5}/5");
    assert_eq!(sparsevec::from_vector(&dense, 5).unwrap(), value);
    assert_eq!(sparsevec::from_halfvec(&halves(&dense), -1).unwrap(), value);
    assert_eq!(vector::from_sparsevec(value.as_ref(), 5).unwrap(), dense);
    assert_eq!(
        halfvec::from_sparsevec(value.as_ref(), -1).unwrap(),
        halves(&dense)
    );
    assert_eq!(vector::from_halfvec(&halves(&dense), 5).unwrap(), dense);
    assert_eq!(halfvec::from_vector(&[1e-8], 1).unwrap(), halves(&[0.0]));

    let expected = "expected 4 dimensions, not 5";
    assert_refused(
        sparsevec::from_vector(&dense, 4),
        Code::DataException,
        expected,
    );
    assert_refused(
        vector::from_sparsevec(value.as_ref(), 4),
        Code::DataException,
        expected,
    );
    assert_refused(
        vector::from_halfvec(&halves(&dense), 4),
        Code::DataException,
        expected,
    );
    assert_refused(
        halfvec::from_vector(&dense, 4),
        Code::DataException,
        expected,
    );
    assert_refused(
        vector::from_sparsevec(sparse("{}/16001").as_ref(), -1),
        Code::ProgramLimitExceeded,
        "vector cannot have more than 16000 dimensions",
    );
    assert_refused(
        halfvec::from_sparsevec(sparse("{}/16001").as_ref(), -1),
        Code::ProgramLimitExceeded,
        "halfvec cannot have more than 16000 dimensions",
    );
    for result in [
        halfvec::from_vector(&[-65520.0], -1),
        halfvec::from_sparsevec(sparse("{1:-65520}/1").as_ref(), -1),
    ] {
        assert_refused(
            result,
            Code::NumericValueOutOfRange,
            "\"-65520\" is out of range for type halfvec",
        );
    }
}

#[test]
fn averages() {
    let mut state = vec![0.0];
    assert_eq!(avg::finish_vector(&state).unwrap(), None);
    for row in [[1.0, 2.0, 3.0], [3.0, 5.0, 7.0]] {
        state = avg::accumulate(&state, &row).unwrap();
    }
    assert_eq!(state, [2.0, 4.0, 7.0, 10.0]);
    assert_eq!(
        avg::finish_vector(&state).unwrap().unwrap(),
        [2.0, 3.5, 5.0]
    );
    assert_eq!(
        avg::finish_halfvec(&state).unwrap().unwrap(),
        halves(&[2.0, 3.5, 5.0])
    );
    avg::accumulate_in_place(&mut state, &halves(&[1.0, 2.0, 5.0])).unwrap();
    assert_eq!(state, [3.0, 5.0, 9.0, 15.0]);
    assert_eq!(avg::accumulate(&[0.0, 0.0], &[7.0]).unwrap(), [1.0, 7.0]);

    assert_eq!(avg::combine(&[1.0, 2.0], &[3.0, 4.0]).unwrap(), [4.0, 6.0]);
    assert_eq!(avg::combine(&[0.0], &[3.0, 4.0]).unwrap(), [3.0, 4.0]);
    assert_eq!(avg::combine(&[3.0, 4.0], &[0.0]).unwrap(), [3.0, 4.0]);
    assert_eq!(avg::combine(&[0.0], &[0.0]).unwrap(), [0.0]);
    // Sums are in f64: two of the largest numbers have an average.
    let state = avg::accumulate(&[1.0, 3e38], &[3e38]).unwrap();
    assert_eq!(avg::finish_vector(&state).unwrap().unwrap(), [3e38]);
}

#[test]
fn states_from_sql_are_checked() {
    assert_eq!(avg::check_state("vector_avg", 1, false, 1), Ok(()));
    for (dimensions, nulls, elements) in [(2, false, 4), (0, false, 0), (1, true, 4), (1, false, 0)]
    {
        let error = avg::check_state("vector_avg", dimensions, nulls, elements).unwrap_err();
        assert_eq!(error.code.sqlstate(), "XX000");
        assert_eq!(error.message, "vector_avg: expected state array");
    }
    let data = Code::DataException;
    let limit = Code::ProgramLimitExceeded;
    assert_refused(
        avg::accumulate(&[1.0, 2.0], &[1.0, 2.0, 3.0]),
        data,
        "expected 1 dimensions, not 3",
    );
    assert_refused(
        avg::combine(&[1.0, 2.0], &[3.0, 4.0, 5.0]),
        data,
        "expected 1 dimensions, not 2",
    );
    assert_refused(
        avg::finish_vector(&[1.0]),
        data,
        "vector must have at least 1 dimension",
    );
    assert_refused(
        avg::finish_halfvec(&[1.0]),
        data,
        "halfvec must have at least 1 dimension",
    );
    let long = [1.0; 16002];
    let message = "vector cannot have more than 16000 dimensions";
    assert_refused(avg::finish_vector(&long), limit, message);
    assert_refused(avg::combine(&[0.0], &long), limit, message);
    assert_refused(avg::combine(&long, &[0.0]), limit, message);
    assert_refused(avg::combine(&long, &long), limit, message);
    assert_refused(
        avg::accumulate(&[1.0, f64::MAX], &[f32::INFINITY]),
        Code::NumericValueOutOfRange,
        OVERFLOW,
    );
    assert_refused(
        avg::combine(&[1.0, f64::MAX], &[1.0, f64::MAX]),
        Code::NumericValueOutOfRange,
        OVERFLOW,
    );
    assert_refused(
        avg::finish_vector(&[1.0, f64::NAN]),
        data,
        "NaN not allowed in vector",
    );
    assert_refused(
        avg::finish_vector(&[1.0, 1e300]),
        data,
        "infinite value not allowed in vector",
    );
    assert_refused(
        avg::finish_halfvec(&[1.0, 65520.0]),
        Code::NumericValueOutOfRange,
        "\"65520\" is out of range for type halfvec",
    );
    // Only a caller that skipped check_state gets here; it must not crash.
    assert!(avg::accumulate::<f32>(&[], &[1.0]).is_err());
    assert!(avg::finish_vector(&[]).is_err());
}

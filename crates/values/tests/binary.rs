//! The wire form and the stored payload.

use half::f16;
use pgnear_values::sparsevec::Sparse;
use pgnear_values::{ValueError, halfvec, sparsevec, vector};

fn bytes(hex: &str) -> Vec<u8> {
    let hex = hex.replace(' ', "");
    (0..hex.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap())
        .collect()
}

fn halves(numbers: &[f32]) -> Vec<f16> {
    numbers.iter().map(|&x| f16::from_f32(x)).collect()
}

fn sparse(dims: i32, indices: &[i32], values: &[f32]) -> Sparse {
    Sparse {
        dims,
        indices: indices.to_vec(),
        values: values.to_vec(),
    }
}

/// The bytes that clients send and expect.
#[test]
fn wire_forms() {
    let mut out = Vec::new();
    vector::to_wire(&[1.0, -2.0], &mut out).unwrap();
    assert_eq!(out, bytes("0002 0000 3f800000 c0000000"));
    assert_eq!(vector::from_wire(&out, 2).unwrap(), [1.0, -2.0]);

    let mut out = Vec::new();
    halfvec::to_wire(&halves(&[1.0, -2.0]), &mut out).unwrap();
    assert_eq!(out, bytes("0002 0000 3c00 c000"));
    assert_eq!(halfvec::from_wire(&out, -1).unwrap(), halves(&[1.0, -2.0]));

    let value = sparse(4, &[0, 2], &[1.0, -2.0]);
    let mut out = Vec::new();
    sparsevec::to_wire(value.as_ref(), &mut out).unwrap();
    assert_eq!(
        out,
        bytes("00000004 00000002 00000000 00000000 00000002 3f800000 c0000000")
    );
    assert_eq!(sparsevec::from_wire(&out, 4).unwrap(), value);
}

fn assert_refused<T: std::fmt::Debug>(
    result: Result<T, ValueError>,
    sqlstate: &str,
    message: &str,
) {
    let error = result.expect_err(message);
    assert_eq!(error.code.sqlstate(), sqlstate, "{message}");
    assert_eq!(error.message, message);
}

#[test]
fn dense_messages_are_checked() {
    for (hex, sqlstate, message) in [
        ("", "08P01", "insufficient data left in message"),
        ("0001 00", "08P01", "insufficient data left in message"),
        (
            "0002 0000 3f800000",
            "08P01",
            "insufficient data left in message",
        ),
        (
            "0001 0000 3f8000",
            "08P01",
            "insufficient data left in message",
        ),
        (
            "0001 0000 3f800000 00",
            "22P03",
            "incorrect binary data format",
        ),
        (
            "0000 0000",
            "22000",
            "vector must have at least 1 dimension",
        ),
        (
            "3e81 0000",
            "54000",
            "vector cannot have more than 16000 dimensions",
        ),
        (
            "ffff 0000",
            "54000",
            "vector cannot have more than 16000 dimensions",
        ),
        (
            "0001 0001 3f800000",
            "22000",
            "expected unused to be 0, not 1",
        ),
        (
            "0001 ffff 3f800000",
            "22000",
            "expected unused to be 0, not 65535",
        ),
        ("0001 0000 7fc00000", "22000", "NaN not allowed in vector"),
        (
            "0001 0000 ff800000",
            "22000",
            "infinite value not allowed in vector",
        ),
    ] {
        assert_refused(vector::from_wire(&bytes(hex), -1), sqlstate, message);
    }
    assert_refused(
        vector::from_wire(&bytes("0001 0000 3f800000"), 3),
        "22000",
        "expected 3 dimensions, not 1",
    );
    for (hex, sqlstate, message) in [
        ("0001 0000 7e00", "22000", "NaN not allowed in halfvec"),
        (
            "0001 0000 fc00",
            "22000",
            "infinite value not allowed in halfvec",
        ),
        ("0001 0000 3c", "08P01", "insufficient data left in message"),
    ] {
        assert_refused(halfvec::from_wire(&bytes(hex), -1), sqlstate, message);
    }
}

#[test]
fn sparse_messages_are_checked() {
    let one = "3f800000";
    for (hex, sqlstate, message) in [
        (
            "00000004 00000002 000000".to_owned(),
            "08P01",
            "insufficient data left in message",
        ),
        (
            "00000004 00000001 00000000 00000000".to_owned(),
            "08P01",
            "insufficient data left in message",
        ),
        (
            format!("00000004 00000001 00000000 00000000 {one} 00"),
            "22P03",
            "incorrect binary data format",
        ),
        (
            "00000000 00000000 00000000".to_owned(),
            "22000",
            "sparsevec must have at least 1 dimension",
        ),
        (
            "ffffffff 00000000 00000000".to_owned(),
            "22000",
            "sparsevec must have at least 1 dimension",
        ),
        (
            "3b9aca01 00000000 00000000".to_owned(),
            "54000",
            "sparsevec cannot have more than 1000000000 dimensions",
        ),
        (
            "00000004 ffffffff 00000000".to_owned(),
            "22000",
            "sparsevec cannot have negative number of elements",
        ),
        (
            "3b9aca00 00003e81 00000000".to_owned(),
            "54000",
            "sparsevec cannot have more than 16000 non-zero elements",
        ),
        (
            "00000004 00000005 00000000".to_owned(),
            "54000",
            "sparsevec cannot have more elements than dimensions",
        ),
        (
            "00000004 00000000 00000001".to_owned(),
            "22000",
            "expected unused to be 0, not 1",
        ),
        (
            "00000004 00000000 ffffffff".to_owned(),
            "22000",
            "expected unused to be 0, not -1",
        ),
        (
            format!("00000004 00000001 00000000 00000004 {one}"),
            "22000",
            "sparsevec index out of bounds",
        ),
        (
            format!("00000004 00000001 00000000 ffffffff {one}"),
            "22000",
            "sparsevec index out of bounds",
        ),
        (
            format!("00000004 00000002 00000000 00000002 00000001 {one} {one}"),
            "22000",
            "sparsevec indices must be in ascending order",
        ),
        (
            format!("00000004 00000002 00000000 00000001 00000001 {one} {one}"),
            "22000",
            "sparsevec indices must not contain duplicates",
        ),
        (
            "00000004 00000001 00000000 00000001 80000000".to_owned(),
            "22000",
            "binary representation of sparsevec cannot contain zero values",
        ),
        (
            "00000004 00000001 00000000 00000001 7fc00000".to_owned(),
            "22000",
            "NaN not allowed in sparsevec",
        ),
        (
            "00000004 00000001 00000000 00000001 7f800000".to_owned(),
            "22000",
            "infinite value not allowed in sparsevec",
        ),
    ] {
        assert_refused(sparsevec::from_wire(&bytes(&hex), -1), sqlstate, message);
    }
    assert_refused(
        sparsevec::from_wire(&bytes("00000004 00000000 00000000"), 3),
        "22000",
        "expected 3 dimensions, not 4",
    );
}

/// Storage of `bytes` bytes that is aligned as a detoasted datum is.
fn aligned(len: usize) -> Vec<u32> {
    assert_eq!(len % 4, 0);
    vec![0xffff_ffff; len / 4]
}

#[test]
fn payloads_are_views_of_what_was_written() {
    let v = [1.0, -2.5, 3.0];
    assert_eq!(vector::payload_len(3), 16);
    let mut storage = aligned(16);
    let payload: &mut [u8] = bytemuck::cast_slice_mut(&mut storage);
    vector::write_payload(&v, payload).unwrap();
    // Nothing of what was there before shows: equal values are equal bytes.
    assert_eq!(payload[..4], [3i16.to_ne_bytes(), [0, 0]].concat());
    assert_eq!(vector::view(payload).unwrap(), v);

    let h = halves(&[1.0, -2.5, 3.0, 4.0]);
    assert_eq!(halfvec::payload_len(4), 12);
    let mut storage = aligned(12);
    let payload: &mut [u8] = bytemuck::cast_slice_mut(&mut storage);
    halfvec::write_payload(&h, payload).unwrap();
    assert_eq!(halfvec::view(payload).unwrap(), h);

    let s = sparse(7, &[1, 6], &[1.5, -2.0]);
    assert_eq!(sparsevec::payload_len(2), 28);
    let mut storage = aligned(28);
    let payload: &mut [u8] = bytemuck::cast_slice_mut(&mut storage);
    sparsevec::write_payload(s.as_ref(), payload).unwrap();
    let view = sparsevec::view(payload).unwrap();
    assert_eq!(
        (view.dims, view.indices, view.values),
        (7, &[1, 6][..], &[1.5, -2.0][..])
    );
}

#[test]
fn damaged_payloads_are_refused() {
    let mut storage = aligned(16);
    let payload: &mut [u8] = bytemuck::cast_slice_mut(&mut storage);
    vector::write_payload(&[1.0, 2.0, 3.0], payload).unwrap();
    let refused = |payload: &[u8]| {
        let error = vector::view(payload).unwrap_err();
        assert_eq!(error.code.sqlstate(), "XX001");
        assert_eq!(error.message, "stored vector is corrupted");
    };
    for len in 0..16 {
        refused(&payload[..len]);
    }
    // Misaligned.
    refused(&payload[1..]);
    for dims in [0i16, -1, 2, 4, i16::MAX] {
        payload[..2].copy_from_slice(&dims.to_ne_bytes());
        refused(payload);
    }

    let s = sparse(7, &[1, 6], &[1.5, -2.0]);
    let mut storage = aligned(28);
    let payload: &mut [u8] = bytemuck::cast_slice_mut(&mut storage);
    sparsevec::write_payload(s.as_ref(), payload).unwrap();
    for len in 0..28 {
        assert!(sparsevec::view(&payload[..len]).is_err(), "{len}");
    }
    for (at, bad) in [
        (0, 0i32),
        (0, -1),
        (0, 6), // the last index is 6
        (4, -1),
        (4, 1),
        (4, 3),
        (4, i32::MAX),
        (12, -1),
        (16, 7),
    ] {
        let mut damaged = aligned(28);
        let damaged: &mut [u8] = bytemuck::cast_slice_mut(&mut damaged);
        damaged.copy_from_slice(payload);
        damaged[at..at + 4].copy_from_slice(&bad.to_ne_bytes());
        let error = sparsevec::view(damaged).unwrap_err();
        assert_eq!(error.code.sqlstate(), "XX001", "{at} {bad}");
    }
    // More elements than dimensions.
    let s = sparse(2, &[0, 0, 1], &[1.0, 2.0, 3.0]);
    let mut storage = aligned(36);
    let payload: &mut [u8] = bytemuck::cast_slice_mut(&mut storage);
    sparsevec::write_payload(s.as_ref(), payload).unwrap();
    assert!(sparsevec::view(payload).is_err());
    // An index in the middle is not looked at; the cast that uses it as a position refuses it.
    let s = sparse(7, &[1, 99, 6], &[1.0, 2.0, 3.0]);
    assert_eq!(
        vector::from_sparsevec(s.as_ref(), -1)
            .unwrap_err()
            .code
            .sqlstate(),
        "XX001"
    );
}

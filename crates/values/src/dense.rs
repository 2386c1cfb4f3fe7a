//! What `vector` and `halfvec` share: both are arrays of numbers and differ in the element.

use std::cmp::Ordering;

use pgnear_kernels::kernels;

use crate::error::{self, ValueError};
use crate::hash::{self, Hasher};
use crate::print::{self, MAX_F32_LEN};
use crate::text::Scanner;
use crate::wire::Message;
use crate::{MAX_DIMS, memory};

/// The element of a dense type: `f32` for `vector`, `f16` for `halfvec`.
pub trait Element: pgnear_kernels::Element + bytemuck::Pod + PartialOrd {
    /// The SQL type's name.
    const TYPE_NAME: &'static str;
    /// Zero.
    const ZERO: Self;

    /// The same number as an f32.
    fn to_f32(self) -> f32;
    /// The nearest number, ties to even; infinite where `x` is too large.
    fn round(x: f32) -> Self;
    /// Neither NaN nor infinite.
    fn is_finite(self) -> bool;
    /// An infinity.
    fn is_infinite(self) -> bool;

    #[doc(hidden)]
    fn read(message: &mut Message<'_>) -> Result<Self, ValueError>;
    #[doc(hidden)]
    fn write(self, out: &mut Vec<u8>);
}

impl Element for f32 {
    const TYPE_NAME: &'static str = "vector";
    const ZERO: f32 = 0.0;

    fn to_f32(self) -> f32 {
        self
    }
    fn round(x: f32) -> f32 {
        x
    }
    fn is_finite(self) -> bool {
        f32::is_finite(self)
    }
    fn is_infinite(self) -> bool {
        f32::is_infinite(self)
    }
    fn read(message: &mut Message<'_>) -> Result<f32, ValueError> {
        message.f32()
    }
    fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_be_bytes());
    }
}

impl Element for half::f16 {
    const TYPE_NAME: &'static str = "halfvec";
    const ZERO: half::f16 = half::f16::ZERO;

    fn to_f32(self) -> f32 {
        half::f16::to_f32(self)
    }
    fn round(x: f32) -> half::f16 {
        half::f16::from_f32(x)
    }
    fn is_finite(self) -> bool {
        half::f16::is_finite(self)
    }
    fn is_infinite(self) -> bool {
        half::f16::is_infinite(self)
    }
    fn read(message: &mut Message<'_>) -> Result<half::f16, ValueError> {
        message.u16().map(half::f16::from_bits)
    }
    fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_be_bytes());
    }
}

/// The bytes before the elements: i16 dimensions, i16 unused.
const HEADER: usize = 4;

// Checks

pub(crate) fn check_dims<E: Element>(dims: usize) -> Result<(), ValueError> {
    if dims < 1 {
        Err(error::no_dimensions(E::TYPE_NAME))
    } else if dims > MAX_DIMS {
        Err(error::too_many_dimensions(E::TYPE_NAME, MAX_DIMS))
    } else {
        Ok(())
    }
}

pub(crate) fn check_typmod(dims: usize, typmod: i32) -> Result<(), ValueError> {
    if typmod == -1 || usize::try_from(typmod) == Ok(dims) {
        Ok(())
    } else {
        Err(error::expected_dimensions(typmod, dims))
    }
}

pub(crate) fn check_same_dims<E: Element>(a: &[E], b: &[E]) -> Result<(), ValueError> {
    if a.len() == b.len() {
        Ok(())
    } else {
        Err(error::different_dimensions(E::TYPE_NAME, a.len(), b.len()))
    }
}

pub(crate) fn check_element(type_name: &str, x: f32) -> Result<(), ValueError> {
    if x.is_finite() {
        Ok(())
    } else if x.is_nan() {
        Err(error::nan(type_name))
    } else {
        Err(error::infinite(type_name))
    }
}

pub(crate) fn typmod_in(
    type_name: &str,
    limit: usize,
    modifiers: &[i32],
) -> Result<i32, ValueError> {
    match *modifiers {
        [dims] if dims < 1 => Err(error::typmod_too_small(type_name)),
        [dims] if dims as usize > limit => Err(error::typmod_too_large(type_name, limit)),
        [dims] => Ok(dims),
        _ => Err(error::invalid_typmod()),
    }
}

// Text

pub(crate) fn parse<E: Element>(text: &[u8], typmod: i32) -> Result<Vec<E>, ValueError> {
    let mut scanner = Scanner::new(E::TYPE_NAME, text);
    scanner.skip_spaces();
    if !scanner.take(b'[') {
        return Err(scanner
            .syntax_error()
            .with_detail("Vector contents must start with \"[\"."));
    }
    scanner.skip_spaces();
    if scanner.take(b']') {
        return Err(error::no_dimensions(E::TYPE_NAME));
    }
    let mut elements: Vec<E> =
        memory::with_capacity((scanner.count_ahead(b',') + 1).min(MAX_DIMS))?;
    loop {
        if elements.len() == MAX_DIMS {
            return Err(error::too_many_dimensions(E::TYPE_NAME, MAX_DIMS));
        }
        scanner.skip_spaces();
        let number = scanner.number()?;
        let element = E::round(number.value);
        if !element.is_finite() {
            if number.overflowed() || number.value.is_finite() {
                return Err(error::out_of_range(E::TYPE_NAME, number.token));
            }
            check_element(E::TYPE_NAME, number.value)?;
        }
        elements.push(element);
        scanner.skip_spaces();
        if scanner.take(b',') {
            continue;
        }
        if scanner.take(b']') {
            break;
        }
        return Err(scanner.syntax_error());
    }
    scanner.skip_spaces();
    if !scanner.at_end() {
        return Err(scanner
            .syntax_error()
            .with_detail("Junk after closing right brace."));
    }
    check_typmod(elements.len(), typmod)?;
    Ok(elements)
}

pub(crate) fn print<E: Element>(v: &[E], out: &mut Vec<u8>) -> Result<(), ValueError> {
    memory::reserve(out, v.len() * (MAX_F32_LEN + 1) + 2)?;
    out.push(b'[');
    for (i, &x) in v.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        print::push_f32(x.to_f32(), out);
    }
    out.push(b']');
    Ok(())
}

// Wire

pub(crate) fn from_wire<E: Element>(message: &[u8], typmod: i32) -> Result<Vec<E>, ValueError> {
    let mut message = Message(message);
    let dims = usize::from(message.u16()?);
    let unused = message.u16()?;
    check_dims::<E>(dims)?;
    check_typmod(dims, typmod)?;
    if unused != 0 {
        return Err(error::unused_not_zero(unused.into()));
    }
    let mut elements = memory::with_capacity(dims)?;
    for _ in 0..dims {
        let element = E::read(&mut message)?;
        check_element(E::TYPE_NAME, element.to_f32())?;
        elements.push(element);
    }
    message.finish()?;
    Ok(elements)
}

pub(crate) fn to_wire<E: Element>(v: &[E], out: &mut Vec<u8>) -> Result<(), ValueError> {
    memory::reserve(out, payload_len::<E>(v.len()))?;
    out.extend_from_slice(&(v.len() as u16).to_be_bytes());
    out.extend_from_slice(&0u16.to_be_bytes());
    for &x in v {
        x.write(out);
    }
    Ok(())
}

// Storage

pub(crate) fn payload_len<E: Element>(dims: usize) -> usize {
    HEADER + dims * size_of::<E>()
}

pub(crate) fn view<E: Element>(payload: &[u8]) -> Result<&[E], ValueError> {
    let corrupted = || error::corrupted(E::TYPE_NAME);
    let (header, elements) = payload
        .split_first_chunk::<HEADER>()
        .ok_or_else(corrupted)?;
    let dims = i16::from_ne_bytes([header[0], header[1]]);
    let elements: &[E] = bytemuck::try_cast_slice(elements).map_err(|_| corrupted())?;
    if dims < 1 || dims as usize != elements.len() {
        return Err(corrupted());
    }
    Ok(elements)
}

pub(crate) fn write_payload<E: Element>(v: &[E], out: &mut [u8]) -> Result<(), ValueError> {
    check_dims::<E>(v.len())?;
    if out.len() != payload_len::<E>(v.len()) {
        return Err(error::corrupted(E::TYPE_NAME));
    }
    let (header, elements) = out.split_at_mut(HEADER);
    header[..2].copy_from_slice(&(v.len() as i16).to_ne_bytes());
    header[2..].fill(0);
    elements.copy_from_slice(bytemuck::cast_slice(v));
    Ok(())
}

// Conversions

/// Conversions between f32 and the element go a chunk at a time through the kernels: one by one
/// they cost several times more.
const CHUNK: usize = 256;

fn zeros<E: Element>(dims: usize) -> Result<Vec<E>, ValueError> {
    let mut v = memory::with_capacity(dims)?;
    v.resize(dims, E::ZERO);
    Ok(v)
}

pub(crate) fn from_numbers<E: Element, T: Copy>(
    numbers: &[T],
    typmod: i32,
    to_f32: impl Fn(T) -> f32,
) -> Result<Vec<E>, ValueError> {
    check_dims::<E>(numbers.len())?;
    check_typmod(numbers.len(), typmod)?;
    let mut result = zeros::<E>(numbers.len())?;
    let mut buffer = [0.0; CHUNK];
    for (numbers, elements) in numbers.chunks(CHUNK).zip(result.chunks_mut(CHUNK)) {
        let buffer = &mut buffer[..numbers.len()];
        for (x, &number) in buffer.iter_mut().zip(numbers) {
            *x = to_f32(number);
        }
        E::narrow(kernels(), buffer, elements);
        if !elements.iter().all(|x| x.is_finite()) {
            for &x in buffer.iter() {
                narrow::<E>(x)?;
            }
        }
    }
    Ok(result)
}

/// A finite number as an element; one that is too large for the element is named in the error
/// by its own shortest text.
pub(crate) fn narrow<E: Element>(x: f32) -> Result<E, ValueError> {
    check_element(E::TYPE_NAME, x)?;
    let element = E::round(x);
    if !element.is_finite() {
        let mut token = Vec::new();
        print::print_f32(x, &mut token)?;
        return Err(error::out_of_range(E::TYPE_NAME, &token));
    }
    Ok(element)
}

/// The elements as f32, without loss.
pub(crate) fn to_f32s<E: Element>(v: &[E]) -> Result<Vec<f32>, ValueError> {
    let mut result = zeros::<f32>(v.len())?;
    E::widen(kernels(), v, &mut result);
    Ok(result)
}

// Arithmetic

/// Applies `op` in f32 and rounds. For f16 that rounds once: f32 has more than twice its digits.
fn map<E: Element>(v: &[E], op: impl Fn(f32) -> f32) -> Result<Vec<E>, ValueError> {
    let mut result = zeros(v.len())?;
    let mut buffer = [0.0; CHUNK];
    for (v, result) in v.chunks(CHUNK).zip(result.chunks_mut(CHUNK)) {
        let buffer = &mut buffer[..v.len()];
        E::widen(kernels(), v, buffer);
        buffer.iter_mut().for_each(|x| *x = op(*x));
        E::narrow(kernels(), buffer, result);
    }
    Ok(result)
}

/// As [`map`], for two operands.
fn zip<E: Element>(a: &[E], b: &[E], op: impl Fn(f32, f32) -> f32) -> Result<Vec<E>, ValueError> {
    check_same_dims(a, b)?;
    let mut result = zeros(a.len())?;
    let (mut left, mut right) = ([0.0; CHUNK], [0.0; CHUNK]);
    for ((a, b), result) in a
        .chunks(CHUNK)
        .zip(b.chunks(CHUNK))
        .zip(result.chunks_mut(CHUNK))
    {
        let (left, right) = (&mut left[..a.len()], &mut right[..a.len()]);
        E::widen(kernels(), a, left);
        E::widen(kernels(), b, right);
        for (x, &y) in left.iter_mut().zip(right.iter()) {
            *x = op(*x, y);
        }
        E::narrow(kernels(), left, result);
    }
    Ok(result)
}

fn check_overflow<E: Element>(v: &[E]) -> Result<(), ValueError> {
    if v.iter().any(|x| x.is_infinite()) {
        Err(error::overflow())
    } else {
        Ok(())
    }
}

/// Checks products; `zero_expected` says of a position whether a factor is zero there.
fn check_range<E: Element>(
    v: &[E],
    zero_expected: impl Fn(usize) -> bool,
) -> Result<(), ValueError> {
    for (i, &x) in v.iter().enumerate() {
        if x.is_infinite() {
            return Err(error::overflow());
        }
        if x == E::ZERO && !zero_expected(i) {
            return Err(error::underflow());
        }
    }
    Ok(())
}

pub(crate) fn add<E: Element>(a: &[E], b: &[E]) -> Result<Vec<E>, ValueError> {
    let result = zip(a, b, |x, y| x + y)?;
    check_overflow(&result)?;
    Ok(result)
}

pub(crate) fn sub<E: Element>(a: &[E], b: &[E]) -> Result<Vec<E>, ValueError> {
    let result = zip(a, b, |x, y| x - y)?;
    check_overflow(&result)?;
    Ok(result)
}

pub(crate) fn mul<E: Element>(a: &[E], b: &[E]) -> Result<Vec<E>, ValueError> {
    let result = zip(a, b, |x, y| x * y)?;
    check_range(&result, |i| a[i] == E::ZERO || b[i] == E::ZERO)?;
    Ok(result)
}

pub(crate) fn scale<E: Element>(v: &[E], factor: f64) -> Result<Vec<E>, ValueError> {
    check_scalar::<E>(factor)?;
    let result = map(v, |x| (f64::from(x) * factor) as f32)?;
    check_range(&result, |i| v[i] == E::ZERO || factor == 0.0)?;
    Ok(result)
}

pub(crate) fn divide<E: Element>(v: &[E], divisor: f64) -> Result<Vec<E>, ValueError> {
    check_scalar::<E>(divisor)?;
    if divisor == 0.0 {
        return Err(error::division_by_zero());
    }
    let result = map(v, |x| (f64::from(x) / divisor) as f32)?;
    check_range(&result, |i| v[i] == E::ZERO)?;
    Ok(result)
}

fn check_scalar<E: Element>(x: f64) -> Result<(), ValueError> {
    if x.is_nan() {
        Err(error::nan(E::TYPE_NAME))
    } else if x.is_infinite() {
        Err(error::infinite(E::TYPE_NAME))
    } else {
        Ok(())
    }
}

pub(crate) fn concat<E: Element>(a: &[E], b: &[E]) -> Result<Vec<E>, ValueError> {
    let dims = a.len() + b.len();
    check_dims::<E>(dims)?;
    let mut result = memory::with_capacity(dims)?;
    result.extend_from_slice(a);
    result.extend_from_slice(b);
    Ok(result)
}

pub(crate) fn subvector<E: Element>(v: &[E], start: i32, count: i32) -> Result<&[E], ValueError> {
    // As substring() does: the range is laid out first and then cut at both ends.
    let from = i64::from(start).max(1);
    let to = (i64::from(start) + i64::from(count)).min(v.len() as i64 + 1);
    if count < 1 || from >= to {
        return Err(error::no_dimensions(E::TYPE_NAME));
    }
    Ok(&v[from as usize - 1..to as usize - 1])
}

pub(crate) fn normalize<E: Element>(v: &[E]) -> Result<Vec<E>, ValueError> {
    let norm = pgnear_kernels::exact::norm(v);
    if norm > 0.0 {
        let result = map(v, |x| (f64::from(x) / norm) as f32)?;
        check_overflow(&result)?;
        Ok(result)
    } else {
        zeros(v.len())
    }
}

pub(crate) fn binary_quantize<E: Element>(v: &[E]) -> Result<Vec<u8>, ValueError> {
    memory::collect(v.chunks(8).map(|chunk| {
        chunk
            .iter()
            .enumerate()
            .fold(0, |byte, (i, x)| byte | (u8::from(*x > E::ZERO) << (7 - i)))
    }))
}

pub(crate) fn get<E: Element>(v: &[E], index: i32) -> Option<f32> {
    let index = usize::try_from(index).ok()?.checked_sub(1)?;
    v.get(index).map(|x| x.to_f32())
}

// Order

pub(crate) fn cmp<E: Element>(a: &[E], b: &[E]) -> Ordering {
    for (x, y) in a.iter().zip(b) {
        if x < y {
            return Ordering::Less;
        }
        if x > y {
            return Ordering::Greater;
        }
    }
    a.len().cmp(&b.len())
}

pub(crate) fn hash_extended<E: Element>(v: &[E], seed: u64) -> u64 {
    let mut hasher = Hasher::new(seed);
    let mut pairs = v.chunks_exact(2);
    for pair in &mut pairs {
        let (low, high) = (pair[0].to_f32(), pair[1].to_f32());
        hasher.word(hash::number_bits(low) | hash::number_bits(high) << 32);
    }
    for x in pairs.remainder() {
        hasher.word(hash::number_bits(x.to_f32()));
    }
    hasher.word(v.len() as u64);
    hasher.finish()
}

//! What `vector` and `halfvec` share: both are arrays of numbers and differ in the element.

use std::cmp::Ordering;

use pgnear_kernels::{Element as _, kernels};

use crate::error::{self, ValueError};
use crate::hash::{self, Hasher};
use crate::print::{self, MAX_F32_LEN, ROOM};
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

    /// Zero of either sign.
    fn is_zero(self) -> bool;
    /// `op` of each element in f32, rounded: for f16 once, since f32 has more than twice its digits.
    fn map(v: &[Self], out: &mut [Self], op: impl Fn(f32) -> f32);
    /// As [`Element::map`], of two operands.
    fn zip(a: &[Self], b: &[Self], out: &mut [Self], op: impl Fn(f32, f32) -> f32);
    /// Adds `b` to `a`, rounded as [`Element::map`] does.
    fn add_assign(a: &mut [Self], b: &[Self]);

    #[doc(hidden)]
    fn read(message: &mut Message<'_>) -> Result<Self, ValueError>;
    /// Of the bytes of a message, read as if they were the machine's.
    #[doc(hidden)]
    fn swapped_from_wire(self) -> Self;
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
    fn is_zero(self) -> bool {
        self == 0.0
    }
    fn map(v: &[f32], out: &mut [f32], op: impl Fn(f32) -> f32) {
        for (out, &x) in out.iter_mut().zip(v) {
            *out = op(x);
        }
    }
    fn zip(a: &[f32], b: &[f32], out: &mut [f32], op: impl Fn(f32, f32) -> f32) {
        for ((out, &x), &y) in out.iter_mut().zip(a).zip(b) {
            *out = op(x, y);
        }
    }
    fn add_assign(a: &mut [f32], b: &[f32]) {
        for (a, &b) in a.iter_mut().zip(b) {
            *a += b;
        }
    }
    fn read(message: &mut Message<'_>) -> Result<f32, ValueError> {
        message.f32()
    }
    fn swapped_from_wire(self) -> f32 {
        f32::from_bits(u32::from_be(self.to_bits()))
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
    fn is_zero(self) -> bool {
        self.to_bits() & 0x7fff == 0
    }
    fn map(v: &[half::f16], out: &mut [half::f16], op: impl Fn(f32) -> f32) {
        let mut buffer = [0.0; CHUNK];
        for (v, out) in v.chunks(CHUNK).zip(out.chunks_mut(CHUNK)) {
            let buffer = &mut buffer[..v.len()];
            Self::widen(kernels(), v, buffer);
            buffer.iter_mut().for_each(|x| *x = op(*x));
            Self::narrow(kernels(), buffer, out);
        }
    }
    fn zip(a: &[half::f16], b: &[half::f16], out: &mut [half::f16], op: impl Fn(f32, f32) -> f32) {
        let (mut left, mut right) = ([0.0; CHUNK], [0.0; CHUNK]);
        let operands = a.chunks(CHUNK).zip(b.chunks(CHUNK));
        for ((a, b), out) in operands.zip(out.chunks_mut(CHUNK)) {
            let (left, right) = (&mut left[..a.len()], &mut right[..a.len()]);
            Self::widen(kernels(), a, left);
            Self::widen(kernels(), b, right);
            for (x, &y) in left.iter_mut().zip(right.iter()) {
                *x = op(*x, y);
            }
            Self::narrow(kernels(), left, out);
        }
    }
    fn add_assign(a: &mut [half::f16], b: &[half::f16]) {
        let (mut left, mut right) = ([0.0; CHUNK], [0.0; CHUNK]);
        for (a, b) in a.chunks_mut(CHUNK).zip(b.chunks(CHUNK)) {
            let (left, right) = (&mut left[..a.len()], &mut right[..a.len()]);
            Self::widen(kernels(), a, left);
            Self::widen(kernels(), b, right);
            for (x, &y) in left.iter_mut().zip(right.iter()) {
                *x += y;
            }
            Self::narrow(kernels(), left, a);
        }
    }
    fn read(message: &mut Message<'_>) -> Result<half::f16, ValueError> {
        message.u16().map(half::f16::from_bits)
    }
    fn swapped_from_wire(self) -> half::f16 {
        half::f16::from_bits(u16::from_be(self.to_bits()))
    }
    fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_be_bytes());
    }
}

/// The bytes before the elements: i16 dimensions, i16 unused.
const HEADER: usize = 4;

// Checks

#[inline]
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

#[inline(always)]
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
    print::append(out, print_room(v.len()), |out| print_into(v, out))
}

pub(crate) fn print_room(dims: usize) -> usize {
    dims * (MAX_F32_LEN + 1) + 2 + ROOM
}

pub(crate) fn print_into<E: Element>(v: &[E], out: &mut [u8]) -> usize {
    out[0] = b'[';
    let mut at = 1;
    for (i, &x) in v.iter().enumerate() {
        if i > 0 {
            out[at] = b',';
            at += 1;
        }
        at = print::put_f32(x.to_f32(), out, at);
    }
    out[at] = b']';
    at + 1
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
    let mut elements: Vec<E> = memory::with_capacity(dims)?;
    if message.0.len() == dims * size_of::<E>() {
        elements.resize(dims, E::ZERO);
        bytemuck::cast_slice_mut(&mut elements).copy_from_slice(message.0);
        let mut finite = true;
        for element in &mut elements {
            *element = element.swapped_from_wire();
            finite &= element.is_finite();
        }
        if finite {
            return Ok(elements);
        }
        elements.clear();
    }
    // Something is wrong with it: the first thing that is becomes the error.
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

#[inline(always)]
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

fn check_overflow<E: Element>(v: &[E]) -> Result<(), ValueError> {
    // Without a way out of the loop it is done several elements at a time.
    if v.iter().fold(false, |found, x| found | x.is_infinite()) {
        Err(error::overflow())
    } else {
        Ok(())
    }
}

/// The error of the first product that is infinite, or zero though no factor was.
fn check_products<E: Element>(
    products: &[E],
    factors: impl Fn(usize) -> bool,
) -> Result<(), ValueError> {
    for (i, &x) in products.iter().enumerate() {
        if x.is_infinite() {
            return Err(error::overflow());
        }
        if x.is_zero() && !factors(i) {
            return Err(error::underflow());
        }
    }
    Ok(())
}

pub(crate) fn add_into<E: Element>(a: &[E], b: &[E], out: &mut [E]) -> Result<(), ValueError> {
    check_same_dims(a, b)?;
    E::zip(a, b, out, |x, y| x + y);
    check_overflow(out)
}

pub(crate) fn add_assign<E: Element>(a: &mut [E], b: &[E]) -> Result<(), ValueError> {
    check_same_dims(a, b)?;
    E::add_assign(a, b);
    check_overflow(a)
}

pub(crate) fn sub_into<E: Element>(a: &[E], b: &[E], out: &mut [E]) -> Result<(), ValueError> {
    check_same_dims(a, b)?;
    E::zip(a, b, out, |x, y| x - y);
    check_overflow(out)
}

pub(crate) fn mul_into<E: Element>(a: &[E], b: &[E], out: &mut [E]) -> Result<(), ValueError> {
    check_same_dims(a, b)?;
    E::zip(a, b, out, |x, y| x * y);
    let mut suspect = false;
    for ((x, a), b) in out.iter().zip(a).zip(b) {
        suspect |= x.is_infinite() | (x.is_zero() & !a.is_zero() & !b.is_zero());
    }
    if suspect {
        check_products(out, |i| a[i].is_zero() || b[i].is_zero())?;
    }
    Ok(())
}

pub(crate) fn scale_into<E: Element>(
    v: &[E],
    factor: f64,
    out: &mut [E],
) -> Result<(), ValueError> {
    check_scalar::<E>(factor)?;
    E::map(v, out, |x| (f64::from(x) * factor) as f32);
    check_products(out, |i| v[i].is_zero() || factor == 0.0)
}

pub(crate) fn divide_into<E: Element>(
    v: &[E],
    divisor: f64,
    out: &mut [E],
) -> Result<(), ValueError> {
    check_scalar::<E>(divisor)?;
    if divisor == 0.0 {
        return Err(error::division_by_zero());
    }
    E::map(v, out, |x| (f64::from(x) / divisor) as f32);
    check_products(out, |i| v[i].is_zero())
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

pub(crate) fn normalize_into<E: Element>(v: &[E], out: &mut [E]) -> Result<(), ValueError> {
    let norm = pgnear_kernels::exact::norm(v);
    if norm > 0.0 {
        E::map(v, out, |x| (f64::from(x) / norm) as f32);
        check_overflow(out)
    } else {
        out.fill(E::ZERO);
        Ok(())
    }
}

pub(crate) fn binary_quantize<E: Element>(v: &[E]) -> Result<Vec<u8>, ValueError> {
    let byte = |eight: &[E; 8]| {
        (0..8).fold(0, |byte, i| {
            byte | (u8::from(eight[i] > E::ZERO) << (7 - i))
        })
    };
    let (eights, rest) = v.as_chunks::<8>();
    let mut bits = memory::with_capacity(v.len().div_ceil(8))?;
    bits.extend(eights.iter().map(byte));
    if !rest.is_empty() {
        let mut last = [E::ZERO; 8];
        last[..rest.len()].copy_from_slice(rest);
        bits.push(byte(&last));
    }
    Ok(bits)
}

pub(crate) fn get<E: Element>(v: &[E], index: i32) -> Option<f32> {
    let index = usize::try_from(index).ok()?.checked_sub(1)?;
    v.get(index).map(|x| x.to_f32())
}

// Order

/// Elements that are compared at once.
const PIECE: usize = 16;

pub(crate) fn cmp<E: Element>(a: &[E], b: &[E]) -> Ordering {
    // Equal pieces are passed over without looking at the elements one by one.
    for (a, b) in a.chunks(PIECE).zip(b.chunks(PIECE)) {
        let pairs = || a.iter().zip(b);
        if !pairs().fold(false, |differ, (x, y)| differ | (x != y)) {
            continue;
        }
        for (x, y) in pairs() {
            if x < y {
                return Ordering::Less;
            }
            if x > y {
                return Ordering::Greater;
            }
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

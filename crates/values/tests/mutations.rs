//! Damaged input: a bounded number of seeded mutations of valid texts, messages and payloads.
//!
//! Nothing may panic, and whatever is accepted must be a value that every other form gives back.

use std::fmt::Debug;

use pgnear_values::{ValueError, halfvec, sparsevec, vector};

/// xorshift64*: repeatable, and all that a choice of mutations needs.
struct Random(u64);

impl Random {
    fn next(&mut self) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize
    }

    fn below(&mut self, n: usize) -> usize {
        self.next() % n
    }

    /// One to four edits: bytes changed, taken out, put in, or a stretch repeated.
    fn mutate(&mut self, seed: &[u8], alphabet: &[u8]) -> Vec<u8> {
        let mut bytes = seed.to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len() + 1);
            let byte = match self.below(4) {
                0 => self.next() as u8,
                _ => alphabet[self.below(alphabet.len())],
            };
            match self.below(5) {
                0 => bytes.insert(at, byte),
                1 if at < bytes.len() => {
                    bytes.remove(at);
                }
                2 => bytes.truncate(at),
                3 => {
                    let end = at + self.below(bytes.len() - at + 1);
                    let stretch = bytes[at..end].to_vec();
                    bytes.splice(at..at, stretch);
                }
                _ if at < bytes.len() => bytes[at] = byte,
                _ => {}
            }
        }
        bytes
    }
}

const TEXT_ALPHABET: &[u8] = b"[]{}:/,.+-eE0123456789 \t\ninfatyNx";
const BYTE_ALPHABET: &[u8] = &[0, 1, 2, 3, 0x3f, 0x7f, 0x80, 0xc0, 0xff];

/// The forms of one type, so that the same test runs for all three.
struct Forms<V> {
    parse: fn(&[u8], i32) -> Result<V, ValueError>,
    print: fn(&V, &mut Vec<u8>) -> Result<(), ValueError>,
    from_wire: fn(&[u8], i32) -> Result<V, ValueError>,
    to_wire: fn(&V, &mut Vec<u8>) -> Result<(), ValueError>,
}

impl<V: PartialEq + Debug> Forms<V> {
    fn assert_round_trips(&self, value: &V) {
        let (mut text, mut wire) = (Vec::new(), Vec::new());
        (self.print)(value, &mut text).unwrap();
        (self.to_wire)(value, &mut wire).unwrap();
        assert_eq!((self.parse)(&text, -1).as_ref(), Ok(value));
        assert_eq!((self.from_wire)(&wire, -1).as_ref(), Ok(value));
    }

    /// Runs the mutations and returns how many texts and messages were accepted.
    fn run(&self, texts: &[&str], cases: usize) -> (usize, usize) {
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let wires: Vec<Vec<u8>> = texts
            .iter()
            .map(|text| {
                let mut wire = Vec::new();
                let value = (self.parse)(text.as_bytes(), -1).unwrap();
                (self.to_wire)(&value, &mut wire).unwrap();
                wire
            })
            .collect();
        let (mut parsed, mut received) = (0, 0);
        for case in 0..cases {
            let text = random.mutate(texts[case % texts.len()].as_bytes(), TEXT_ALPHABET);
            if let Ok(value) = (self.parse)(&text, -1) {
                parsed += 1;
                self.assert_round_trips(&value);
            }
            let wire = random.mutate(&wires[case % wires.len()], BYTE_ALPHABET);
            if let Ok(value) = (self.from_wire)(&wire, -1) {
                received += 1;
                self.assert_round_trips(&value);
            }
        }
        (parsed, received)
    }
}

const CASES: usize = 70_000;
const DENSE: &[&str] = &[
    "[1,2,3]",
    "[-0.5,1e-3,6.1e4,.25]",
    " [ 1.5 , -2 ] ",
    "[0,0,0,0,0,0,0,0,1]",
    "[1e-40,12345.678]",
];

/// Mutations that are never accepted would test only the first check.
fn assert_both_ends_reached((parsed, received): (usize, usize)) {
    for accepted in [parsed, received] {
        assert!((CASES / 50..CASES).contains(&accepted), "{accepted}");
    }
}

#[test]
fn vector_input() {
    let forms = Forms {
        parse: vector::parse,
        print: |v, out| vector::print(v, out),
        from_wire: vector::from_wire,
        to_wire: |v, out| vector::to_wire(v, out),
    };
    assert_both_ends_reached(forms.run(DENSE, CASES));
}

#[test]
fn halfvec_input() {
    let forms = Forms {
        parse: halfvec::parse,
        print: |v, out| halfvec::print(v, out),
        from_wire: halfvec::from_wire,
        to_wire: |v, out| halfvec::to_wire(v, out),
    };
    assert_both_ends_reached(forms.run(DENSE, CASES));
}

#[test]
fn sparsevec_input() {
    let forms = Forms {
        parse: sparsevec::parse,
        print: |v, out| sparsevec::print(v.as_ref(), out),
        from_wire: sparsevec::from_wire,
        to_wire: |v, out| sparsevec::to_wire(v.as_ref(), out),
    };
    let texts = &[
        "{1:1.5,3:2}/5",
        "{}/3",
        " { 2 : -1e-3 , 1 : 4 } / 7 ",
        "{1:0,2:1,9:6e4}/1000000000",
    ];
    assert_both_ends_reached(forms.run(texts, CASES));
}

/// Every payload that a view accepts can be printed and cast, or is refused as damaged.
#[test]
fn stored_payloads() {
    let mut random = Random(77);
    let value = sparsevec::parse(b"{1:1.5,3:2,4:-1}/5", -1).unwrap();
    let mut sparse = vec![0; sparsevec::payload_len(3)];
    sparsevec::write_payload(value.as_ref(), &mut sparse).unwrap();
    let mut dense = vec![0; vector::payload_len(4)];
    vector::write_payload(&[1.0, 0.0, -2.0, 0.5], &mut dense).unwrap();
    let mut accepted = [0; 3];
    for _ in 0..CASES {
        for (seed, sparse) in [(&dense, false), (&sparse, true)] {
            let bytes = random.mutate(seed, BYTE_ALPHABET);
            // Aligned, as a detoasted datum is.
            let mut storage = vec![0u32; bytes.len().div_ceil(4)];
            let storage: &mut [u8] = bytemuck::cast_slice_mut(&mut storage);
            storage[..bytes.len()].copy_from_slice(&bytes);
            let payload = &storage[..bytes.len()];
            let mut out = Vec::new();
            if sparse {
                if let Ok(value) = sparsevec::view(payload) {
                    accepted[0] += 1;
                    sparsevec::print(value, &mut out).unwrap();
                    sparsevec::hash(value);
                    assert!(sparsevec::cmp(value, value).is_eq());
                    let _ = sparsevec::normalize(value);
                    let _ = vector::from_sparsevec(value, -1);
                }
            } else {
                if let Ok(value) = vector::view(payload) {
                    accepted[1] += 1;
                    vector::print(value, &mut out).unwrap();
                }
                if let Ok(value) = halfvec::view(payload) {
                    accepted[2] += 1;
                    halfvec::print(value, &mut out).unwrap();
                }
            }
        }
    }
    assert!(accepted.iter().all(|&n| n > 100), "{accepted:?}");
}

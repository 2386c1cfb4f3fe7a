//! Values of the extension's types in their wire and text forms, as the client sends them.

use bytes::BytesMut;
use half::f16;
use postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use std::error::Error;

/// A value that a table holds or a query takes.
#[derive(Clone, Debug)]
pub enum Value {
    Vector(Vec<f32>),
    Halfvec(Vec<f16>),
    /// Dimensions, and the elements that are not zero by index from 0, in order.
    Sparsevec(i32, Vec<(i32, f32)>),
    /// Eight bits a byte, the first in the highest.
    Bit(Vec<u8>),
}

impl Value {
    /// The type as a column declares it.
    pub fn column_type(&self) -> String {
        match self {
            Self::Vector(x) => format!("vector({})", x.len()),
            Self::Halfvec(x) => format!("halfvec({})", x.len()),
            Self::Sparsevec(dims, _) => format!("sparsevec({dims})"),
            Self::Bit(bytes) => format!("bit({})", 8 * bytes.len()),
        }
    }

    /// The wire form of the type's receive function.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Vector(x) => {
                out.extend((x.len() as i16).to_be_bytes());
                out.extend(0i16.to_be_bytes());
                out.extend(x.iter().flat_map(|x| x.to_be_bytes()));
            }
            Self::Halfvec(x) => {
                out.extend((x.len() as i16).to_be_bytes());
                out.extend(0i16.to_be_bytes());
                out.extend(x.iter().flat_map(|x| x.to_be_bytes()));
            }
            Self::Sparsevec(dims, elements) => {
                out.extend(dims.to_be_bytes());
                out.extend((elements.len() as i32).to_be_bytes());
                out.extend(0i32.to_be_bytes());
                out.extend(elements.iter().flat_map(|(index, _)| index.to_be_bytes()));
                out.extend(elements.iter().flat_map(|(_, value)| value.to_be_bytes()));
            }
            Self::Bit(bytes) => {
                out.extend((8 * bytes.len() as i32).to_be_bytes());
                out.extend(bytes);
            }
        }
    }

    /// The text form, numbers as short as they can be.
    pub fn text(&self) -> String {
        match self {
            Self::Vector(x) => brackets(x.iter()),
            Self::Halfvec(x) => brackets(x.iter().map(|x| x.to_f32())),
            Self::Sparsevec(dims, elements) => {
                let elements: Vec<String> = elements
                    .iter()
                    .map(|(index, value)| format!("{}:{value}", index + 1))
                    .collect();
                format!("{{{}}}/{dims}", elements.join(","))
            }
            Self::Bit(bytes) => bytes.iter().map(|byte| format!("{byte:08b}")).collect(),
        }
    }

    /// The text form of a vector as a Python client writes it that has the numbers as doubles: up
    /// to 17 digits.
    pub fn text_of_doubles(&self) -> String {
        match self {
            Self::Vector(x) => brackets(x.iter().map(|x| f64::from(*x))),
            _ => self.text(),
        }
    }
}

fn brackets(numbers: impl Iterator<Item = impl ToString>) -> String {
    let numbers: Vec<String> = numbers.map(|x| x.to_string()).collect();
    format!("[{}]", numbers.join(","))
}

impl ToSql for Value {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        let mut bytes = Vec::new();
        self.encode(&mut bytes);
        out.extend_from_slice(&bytes);
        Ok(IsNull::No)
    }

    fn accepts(ty: &Type) -> bool {
        ["vector", "halfvec", "sparsevec", "bit", "varbit"].contains(&ty.name())
    }

    to_sql_checked!();
}

/// Rows `(id, value)` in the format of `COPY ... WITH (FORMAT binary)`, ids from `first` on.
pub fn copy_binary<'v>(first: i64, values: impl Iterator<Item = &'v Value>) -> Vec<u8> {
    let mut out = b"PGCOPY\n\xff\r\n\0".to_vec();
    out.extend([0; 8]); // no flags, no header extension
    let mut field = Vec::new();
    for (id, value) in (first..).zip(values) {
        field.clear();
        value.encode(&mut field);
        out.extend(2i16.to_be_bytes());
        out.extend(8i32.to_be_bytes());
        out.extend(id.to_be_bytes());
        out.extend((field.len() as i32).to_be_bytes());
        out.extend(&field);
    }
    out.extend((-1i16).to_be_bytes());
    out
}

/// Rows `(id, value)` in COPY's text format, ids from 0 on.
pub fn copy_text(values: impl Iterator<Item = String>) -> Vec<u8> {
    let mut out = String::new();
    for (id, value) in values.enumerate() {
        out.push_str(&format!("{id}\t{value}\n"));
    }
    out.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(value: &Value) -> Vec<u8> {
        let mut out = Vec::new();
        value.encode(&mut out);
        out
    }

    #[test]
    fn wire_forms_are_those_of_the_receive_functions() {
        assert_eq!(
            encoded(&Value::Vector(vec![1.0, -2.0])),
            [0, 2, 0, 0, 0x3f, 0x80, 0, 0, 0xc0, 0, 0, 0]
        );
        assert_eq!(
            encoded(&Value::Halfvec(vec![f16::from_f32(1.0)])),
            [0, 1, 0, 0, 0x3c, 0]
        );
        assert_eq!(
            encoded(&Value::Sparsevec(5, vec![(3, 1.0)])),
            [
                0, 0, 0, 5, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 3, 0x3f, 0x80, 0, 0
            ]
        );
        assert_eq!(encoded(&Value::Bit(vec![0x80])), [0, 0, 0, 8, 0x80]);
    }

    #[test]
    fn text_forms_are_those_of_the_input_functions() {
        assert_eq!(Value::Vector(vec![0.1, -2.0]).text(), "[0.1,-2]");
        assert_eq!(
            Value::Vector(vec![0.1]).text_of_doubles(),
            "[0.10000000149011612]"
        );
        assert_eq!(
            Value::Sparsevec(5, vec![(0, 0.5), (3, 1.0)]).text(),
            "{1:0.5,4:1}/5"
        );
        assert_eq!(Value::Bit(vec![0x81]).text(), "10000001");
    }

    #[test]
    fn a_binary_copy_has_a_head_rows_and_an_end() {
        let copied = copy_binary(7, [Value::Bit(vec![1])].iter());
        let (head, rest) = copied.split_at(19);
        assert_eq!(&head[..11], b"PGCOPY\n\xff\r\n\0");
        assert_eq!(
            rest,
            [
                0, 2, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 5, 0, 0, 0, 8, 1, 255, 255
            ]
        );
    }
}

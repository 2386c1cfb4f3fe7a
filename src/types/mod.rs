//! The SQL types: text, wire form, type modifiers, casts and subscripts.

mod cast;
mod halfvec;
mod sparsevec;
mod vector;

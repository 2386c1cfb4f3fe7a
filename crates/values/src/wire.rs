//! Reading a message of the binary protocol: big-endian, checked against its end.

use crate::error::{self, ValueError};

/// What is left of a message.
pub struct Message<'a>(pub(crate) &'a [u8]);

impl Message<'_> {
    pub(crate) fn u16(&mut self) -> Result<u16, ValueError> {
        self.take().map(u16::from_be_bytes)
    }

    pub(crate) fn i32(&mut self) -> Result<i32, ValueError> {
        self.take().map(i32::from_be_bytes)
    }

    pub(crate) fn f32(&mut self) -> Result<f32, ValueError> {
        self.take().map(f32::from_be_bytes)
    }

    /// Refuses what comes after the value.
    pub(crate) fn finish(self) -> Result<(), ValueError> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(error::message_too_long())
        }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], ValueError> {
        match self.0.split_first_chunk() {
            Some((bytes, rest)) => {
                self.0 = rest;
                Ok(*bytes)
            }
            None => Err(error::message_too_short()),
        }
    }
}

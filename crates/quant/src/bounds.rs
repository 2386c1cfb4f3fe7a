//! Lower bounds of distances, two bytes each, that let an iteration skip most distances.

use pgnear_device::Assign;

use crate::assign::Space;

/// Turns keys into true Euclidean distances in fixed point, rounded to the safe side.
///
/// A key carries the rounding error of an f32 sum; the fixed point rounds once more. Lower bounds
/// round down and upper bounds up by more than both errors, so that a skipped centroid is certainly
/// no nearer than the kept one, and pruned assignment equals plain assignment to the bit.
#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    by: Assign,
    /// Fixed-point units in a distance of 1.
    scale: f32,
    /// Of a squared distance: relative error (L2) or absolute error (unit vectors by their dot).
    slack: f32,
}

/// The top of the fixed-point range.
const TOP: f32 = 65535.0;

impl Bounds {
    /// `reach`: no distance that matters is longer (longer ones are only bounded less tightly).
    pub(crate) fn new(space: &Space, dims: usize, reach: f32) -> Bounds {
        // Each lane sums dims / 32 terms, then 5 levels of a tree; every step and the term itself
        // round by at most half an ulp (2^-24). Twice that for good measure, and for the length of
        // unit vectors that is itself rounded. A dot enters the squared distance twice.
        let slack = (dims as f32 / 32.0 + 8.0) * 2.0f32.powi(-23);
        let scale = TOP / reach;
        Bounds {
            by: space.by,
            // Without a usable reach every bound is 0: nothing is skipped, nothing is wrong.
            scale: if scale.is_finite() { scale } else { 0.0 },
            slack: match space.by {
                Assign::L2 => slack,
                Assign::Dot => 4.0 * slack,
            },
        }
    }

    /// The squared distance that a key stands for; never negative.
    pub(crate) fn squared(by: Assign, key: f32) -> f32 {
        match by {
            Assign::L2 => key,
            Assign::Dot => (2.0 + 2.0 * key).max(0.0),
        }
    }

    /// At most the distance.
    #[inline(always)]
    pub(crate) fn lower(&self, key: f32) -> u16 {
        let squared = match self.by {
            Assign::L2 => key * (1.0 - self.slack),
            Assign::Dot => 2.0 + 2.0 * key - self.slack,
        };
        // One unit less covers the rounding of root, product and conversion. NaN becomes 0.
        let units = (squared.max(0.0).sqrt() * self.scale - 1.0).clamp(0.0, TOP);
        // Adding 2^23 leaves the rounded integer in the low bits: unlike a cast, a vector operation.
        ((units.max(0.0) + 8_388_608.0).to_bits() & 0xFFFF) as u16
    }

    /// At least the distance.
    pub(crate) fn upper(&self, key: f32) -> u16 {
        let squared = match self.by {
            Assign::L2 => key * (1.0 + self.slack),
            Assign::Dot => (2.0 + 2.0 * key).max(0.0) + self.slack,
        };
        self.units_above(squared)
    }

    /// At least how far a centroid moved, from its squared distance by [`Assign::L2`].
    pub(crate) fn moved(&self, squared: f32) -> u16 {
        // Bit-equal vectors did not move at all.
        if squared == 0.0 {
            0
        } else {
            self.units_above(squared * (1.0 + self.slack))
        }
    }

    fn units_above(&self, squared: f32) -> u16 {
        let units = squared.sqrt() * self.scale + 2.0;
        // NaN (an overflow) is as far as can be.
        if units < TOP { units as u16 } else { u16::MAX }
    }
}

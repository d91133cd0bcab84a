// SPDX-License-Identifier: GPL-2.0

//! Random numbers.

use crate::bindings;

/// What `of` makes of a random byte, or of the next one as long as it makes nothing.
#[inline]
pub(crate) fn draw<T>(of: impl Fn(u8) -> Option<T>) -> T {
    loop {
        // SAFETY: No requirements.
        let byte = unsafe { bindings::get_random_u8() };
        if let Some(drawn) = of(byte) {
            return drawn;
        }
    }
}

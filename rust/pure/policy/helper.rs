// SPDX-License-Identifier: GPL-2.0

//! Helpers: which one is meant by a name, and which ones cannot exist side by side.
//!
//! C counterparts: `__nf_conntrack_helper_find`, `__nf_conntrack_helper_register`.

/// The size of a name with the zero byte at its end (`NF_CT_HELPER_NAME_LEN`).
pub const NAME_SIZE: usize = 16;

/// The family of helpers that serve all families (`NFPROTO_UNSPEC`).
pub const ANY_FAMILY: u8 = 0;

/// A name, filled up with zero bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name([u8; NAME_SIZE]);

impl Name {
    /// The name in `bytes`, which end before a zero byte; `None` if no helper can have it because
    /// it is too long.
    #[inline]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let mut name = [0; NAME_SIZE];
        // The last byte stays zero.
        let (_, room) = name.split_last_mut()?;
        room.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(Name(name))
    }

    /// Its bytes as two words, for hashing.
    #[inline]
    pub fn words(&self) -> [u64; 2] {
        let mut words = [0; 2];
        for (word, bytes) in words.iter_mut().zip(self.0.chunks_exact(8)) {
            if let Ok(bytes) = bytes.try_into() {
                *word = u64::from_ne_bytes(bytes);
            }
        }
        words
    }
}

/// What tells helpers apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its name.
    pub name: Name,
    /// The family that it serves (`NFPROTO_*`), or [`ANY_FAMILY`].
    pub family: u8,
    /// The layer-4 protocol that it serves.
    pub proto: u8,
}

impl Identity {
    /// Whether somebody who asks for `name`, for connections of this kind, means this one.
    #[inline]
    pub fn serves(&self, name: &Name, l3: u16, proto: u8) -> bool {
        self.name == *name
            && (self.family == ANY_FAMILY || u16::from(self.family) == l3)
            && self.proto == proto
    }

    /// Whether this one, being registered, keeps `new` out. A helper for one family does not keep
    /// out one for all.
    #[inline]
    pub fn excludes(&self, new: &Identity) -> bool {
        self.serves(&new.name, u16::from(new.family), new.proto)
    }
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(
    CONFIG_KUNIT = "y",
    kernel::prelude::kunit_tests(nf_conntrack_pure_helper)
)]
mod tests {
    use super::*;

    fn helper(name: &[u8], family: u8, proto: u8) -> Option<Identity> {
        Name::new(name).map(|name| Identity {
            name,
            family,
            proto,
        })
    }

    #[test]
    fn names_have_fifteen_letters() {
        assert!(Name::new(b"").is_some());
        assert!(Name::new(b"123456789012345").is_some());
        assert!(Name::new(b"1234567890123456").is_none());
        assert!(Name::new(&[b'a'; 100]).is_none());
        assert!(Name::new(b"ftp") != Name::new(b"ftp0"));
    }

    #[test]
    fn words_hold_all_letters() {
        let words = Name::new(b"abcdefghijklmno").map(|name| name.words());
        let expected = [*b"abcdefgh", *b"ijklmno\0"].map(u64::from_ne_bytes);
        assert_eq!(words, Some(expected));
    }

    #[test]
    fn who_is_meant() {
        // (family and protocol of the helper, asked for, expected)
        let table = [
            (2, 6, b"ftp".as_slice(), 2, 6, true),
            (2, 6, b"ftp".as_slice(), 10, 6, false),
            (2, 6, b"ftp".as_slice(), 258, 6, false),
            (2, 6, b"ftp".as_slice(), 2, 17, false),
            (2, 6, b"irc".as_slice(), 2, 6, false),
            (0, 6, b"ftp".as_slice(), 10, 6, true),
            (0, 6, b"ftp".as_slice(), 2, 6, true),
        ];
        for (family, proto, name, l3, asked, expected) in table {
            let is = helper(b"ftp", family, proto)
                .zip(Name::new(name))
                .map(|(helper, name)| helper.serves(&name, l3, asked));
            assert_eq!(is, Some(expected));
        }
    }

    #[test]
    fn who_keeps_whom_out() {
        // (present, new, expected): families
        let table = [
            (2, 2, true),
            (2, 10, false),
            (0, 2, true),
            (2, 0, false),
            (0, 0, true),
        ];
        for (present, new, expected) in table {
            let is = helper(b"ftp", present, 6)
                .zip(helper(b"ftp", new, 6))
                .map(|(present, new)| present.excludes(&new));
            assert_eq!(is, Some(expected));
        }
    }
}

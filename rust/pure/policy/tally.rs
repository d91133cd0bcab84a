// SPDX-License-Identifier: GPL-2.0

//! What is counted under pressure, and by which names it is shown.
//!
//! A namespace has a row of counters for each CPU: one for each [`Tally`], then one for each
//! [`Reason`] and [`Class`] of an eviction. A new one is a line here; the file
//! `/proc/net/nf_conntrack_reclaim` shows whatever is declared.

use core::ffi::CStr;

use super::class::Class;

/// Declares an enumeration with the names of its values, in the order of their numbers.
macro_rules! named {
    ($(#[$doc:meta])* $kind:ident { $($(#[$what:meta])* $value:ident = $name:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(usize)]
        pub enum $kind {
            $($(#[$what])* $value,)*
        }

        impl $kind {
            /// All of them, by number.
            pub const ALL: &'static [$kind] = &[$($kind::$value),*];

            /// What it is called in files and traces.
            pub const fn name(self) -> &'static CStr {
                match self {
                    $($kind::$value => $name,)*
                }
            }
        }
    };
}

named! {
    /// Why an entry went before its time.
    Reason {
        /// A packet needed its place and followed a hint to it.
        Hint = c"hint",
        /// A packet needed its place and searched for it, hints having run out.
        Search = c"search",
        /// The collector took what had ended, after a packet was refused.
        Collector = c"collector",
        /// The worker took what is dead, above the mark from which on it does.
        Background = c"background",
        /// It was over by its scaled timeout.
        Scaled = c"scaled",
        /// Its source had more than others.
        Fairness = c"fairness",
        /// The machine as a whole had too many.
        Cap = c"cap",
        /// Its ends did not answer probes.
        Probe = c"probe",
    }
}

/// Which limit an entry goes for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Its namespace's.
    Namespace,
    /// That of all namespaces together.
    Total,
}

impl Limit {
    /// Why an entry goes that was found in this way.
    #[inline]
    pub const fn reason(self, found: Reason) -> Reason {
        match self {
            Limit::Namespace => found,
            Limit::Total => Reason::Cap,
        }
    }
}

named! {
    /// Something that happened.
    Tally {
        /// Connections confirmed.
        Opened = c"opened",
        /// Packets whose connection found no place; what became of them says the policy.
        Refused = c"refused",
        /// Of these, packets that went on nevertheless, invalid or untracked.
        RefusedPassed = c"refused_passed",
        /// Hints that packets followed to nothing that could go, besides those that are evictions.
        HintsStale = c"hints_stale",
        /// Searches of buckets by packets, hints having run out.
        Searches = c"searches",
        /// Walks of the worker that wrote hints down.
        Walks = c"walks",
        /// Walks of the worker that took what is dead or over.
        Reapings = c"reapings",
        /// Stale hints that the worker dropped.
        HintsSwept = c"hints_swept",
        /// Probes sent to ends of connections.
        ProbesSent = c"probes_sent",
        /// Probes that were answered.
        ProbesAnswered = c"probes_answered",
        /// Connections that a probe found to be reset.
        ProbesReset = c"probes_reset",
        /// Connections that were given up after their last probe.
        ProbesGivenUp = c"probes_given_up",
        /// Connections of which nothing was learned, because no probe left this machine.
        ProbesBlocked = c"probes_blocked",
    }
}

/// The place of a counter in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(usize);

impl Place {
    /// How many there are.
    pub const COUNT: usize = Tally::ALL.len() + Reason::ALL.len() * Class::ALL.len();

    /// As a number, below [`Self::COUNT`].
    #[inline]
    pub const fn index(self) -> usize {
        self.0
    }
}

impl Tally {
    /// Its place.
    #[inline]
    pub const fn place(self) -> Place {
        Place(self as usize)
    }
}

impl Reason {
    /// The place of evictions of a class for this reason.
    #[inline]
    pub const fn place(self, class: Class) -> Place {
        let before = (self as usize).wrapping_mul(Class::ALL.len());
        let rest = Tally::ALL.len().wrapping_add(class.index());
        Place(before.wrapping_add(rest))
    }
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(
    CONFIG_KUNIT = "y",
    kernel::prelude::kunit_tests(nf_conntrack_pure_tally)
)]
mod tests {
    use super::*;

    #[test]
    fn each_counter_has_a_place_of_its_own() {
        let tallies = Tally::ALL.iter().map(|tally| tally.place());
        let evictions = Reason::ALL
            .iter()
            .flat_map(|reason| Class::ALL.iter().map(|class| reason.place(*class)));
        let mut count = 0;
        for (expected, place) in tallies.chain(evictions).enumerate() {
            assert_eq!(place.index(), expected);
            count += 1;
        }
        assert_eq!(count, Place::COUNT);
    }

    #[test]
    fn names_are_words() {
        let is_word = |name: &CStr| {
            let bytes = name.to_bytes();
            !bytes.is_empty() && bytes.iter().all(|b| b.is_ascii_lowercase() || *b == b'_')
        };
        assert!(Reason::ALL.iter().all(|reason| is_word(reason.name())));
        assert!(Tally::ALL.iter().all(|tally| is_word(tally.name())));
        assert!(Class::ALL.iter().all(|class| is_word(class.name())));
    }
}

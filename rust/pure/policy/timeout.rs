// SPDX-License-Identifier: GPL-2.0

//! The timeouts that a new namespace begins with, in seconds, in the order of each protocol's user
//! API, which is that of the arrays in `struct netns_ct`.
//!
//! Index zero of TCP and SCTP names no state; it repeats the first timeout of a new flow, because
//! `nft_ct` takes index zero of any protocol for that.

/// A span of time in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seconds(pub u32);

impl Seconds {
    /// The span in ticks, `hz` of them to the second, modulo 2^32.
    #[inline]
    pub const fn ticks(self, hz: u32) -> u32 {
        self.0.wrapping_mul(hz)
    }
}

const fn seconds(n: u32) -> Seconds {
    Seconds(n)
}

const fn minutes(n: u32) -> Seconds {
    Seconds(n * 60)
}

const fn days(n: u32) -> Seconds {
    minutes(n * 24 * 60)
}

/// Several timeouts in ticks.
#[inline]
pub fn ticks<const N: usize>(spans: &[Seconds; N], hz: u32) -> [u32; N] {
    spans.map(|span| span.ticks(hz))
}

/// TCP, by `enum tcp_conntrack`.
pub const TCP: [Seconds; 14] = [
    minutes(2),  // none: as SYN_SENT
    minutes(2),  // SYN_SENT
    seconds(60), // SYN_RECV
    days(5),     // ESTABLISHED
    minutes(2),  // FIN_WAIT
    seconds(60), // CLOSE_WAIT
    seconds(30), // LAST_ACK
    minutes(2),  // TIME_WAIT
    seconds(10), // CLOSE
    minutes(2),  // SYN_SENT2
    seconds(0),  // MAX: no state
    seconds(0),  // IGNORE: no state
    minutes(5),  // RETRANS
    minutes(5),  // UNACK
];

/// SCTP, by `enum sctp_conntrack`.
pub const SCTP: [Seconds; 10] = [
    seconds(10),  // none: as CLOSED
    seconds(10),  // CLOSED
    seconds(3),   // COOKIE_WAIT
    seconds(3),   // COOKIE_ECHOED
    seconds(210), // ESTABLISHED
    seconds(3),   // SHUTDOWN_SENT
    seconds(3),   // SHUTDOWN_RECD
    seconds(3),   // SHUTDOWN_ACK_SENT
    seconds(30),  // HEARTBEAT_SENT
    seconds(0),   // HEARTBEAT_ACKED: no longer used
];

/// UDP: unreplied, replied.
pub const UDP: [Seconds; 2] = [seconds(30), seconds(120)];

/// GRE: unreplied, replied.
pub const GRE: [Seconds; 2] = [seconds(30), seconds(180)];

/// ICMP.
pub const ICMP: Seconds = seconds(30);

/// ICMPv6.
pub const ICMPV6: Seconds = seconds(30);

/// Protocols without a tracker of their own.
pub const GENERIC: Seconds = seconds(600);

/// What remains for a TCP flow when a flow table hands it back.
pub const TCP_OFFLOAD: Seconds = seconds(30);

/// What remains for a UDP flow when a flow table hands it back.
pub const UDP_OFFLOAD: Seconds = seconds(30);

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(
    CONFIG_KUNIT = "y",
    kernel::prelude::kunit_tests(nf_conntrack_pure_timeout)
)]
mod tests {
    use super::*;

    #[test]
    fn established_is_five_days() {
        assert_eq!(TCP[3], Seconds(432_000));
        assert_eq!(ticks(&TCP, 250)[3], 108_000_000);
        assert_eq!(ticks(&UDP, 1000), [30_000, 120_000]);
    }

    #[test]
    fn index_zero_is_the_first_timeout_of_a_new_flow() {
        assert_eq!(TCP[0], TCP[1]);
        assert_eq!(SCTP[0], SCTP[1]);
    }

    #[test]
    fn ticks_wrap_like_the_user_api_does() {
        assert_eq!(Seconds(u32::MAX).ticks(250), 0u32.wrapping_sub(250));
        assert_eq!(Seconds(0x8000_0000).ticks(1000), 0);
    }
}

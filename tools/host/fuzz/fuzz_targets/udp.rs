// SPDX-License-Identifier: GPL-2.0

//! UDP headers: a datagram that passes has all the bytes that it says.

#![no_main]

use libfuzzer_sys::fuzz_target;
use rconntrack_pure::wire::udp;

fuzz_target!(|data: &[u8]| {
    let [first, packet @ ..] = data else { return };
    let (gso, bad) = (first & 1 != 0, first & 2 != 0);
    let offset = u32::from(first >> 2);
    if udp::check(packet, offset, gso, || bad).is_ok() {
        let header = &packet[usize::from(first >> 2)..];
        let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
        assert!((8..=header.len()).contains(&length) || (gso && length == 0));
    }
});

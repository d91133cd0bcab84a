// SPDX-License-Identifier: GPL-2.0

//! Network headers, extension headers, ports, GRE: the tuple of a packet, and its inverse.

#![no_main]

use libfuzzer_sys::fuzz_target;
use rconntrack_pure::tuple::Family;
use rconntrack_pure::wire;

fuzz_target!(|data: &[u8]| {
    let [first, packet @ ..] = data else { return };
    let family = if first & 1 == 0 {
        Family::V4
    } else {
        Family::V6
    };
    let nhoff = u32::from(first >> 1);
    if let Ok(transport) = wire::transport(packet, nhoff, family) {
        assert!(transport.offset > 0);
        let tuple = wire::tuple(packet, nhoff, &transport, |call| {
            assert_eq!(call.src.id, 0);
            call.dst.id
        });
        if let Some(tuple) = tuple {
            assert_eq!(tuple.src.l3, family.number());
            if let Some(inverse) = tuple.invert() {
                assert_eq!(inverse.invert(), Some(tuple));
            }
        }
    }
});

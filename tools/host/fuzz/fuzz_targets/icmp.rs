// SPDX-License-Identifier: GPL-2.0

//! ICMP and ICMPv6: what is an error, what does it quote, and whom does it concern.

#![no_main]

use libfuzzer_sys::fuzz_target;
use rconntrack_pure::l4::icmp;
use rconntrack_pure::l4::icmp::Inspection;
use rconntrack_pure::tuple::Family;

fuzz_target!(|data: &[u8]| {
    let [first, packet @ ..] = data else { return };
    let bad = first & 2 != 0;
    let (family, inspection) = if first & 1 == 0 {
        (Family::V4, icmp::inspect_v4(packet, 0, 20, || bad))
    } else {
        (Family::V6, icmp::inspect_v6(packet, 0, 40, || bad))
    };
    match inspection {
        Inspection::Inner { offset, outer } => {
            assert!(!bad);
            if let Ok(wanted) = icmp::inner_tuple(packet, offset, family, |call| call.dst.id) {
                if let Err(reason) = icmp::relate(&wanted, &outer, family) {
                    assert!(reason.to_string().starts_with("outer daddr "));
                }
            }
        }
        Inspection::Invalid(reason) => assert!(!reason.to_string().is_empty()),
        Inspection::Track | Inspection::Untracked => assert!(!bad),
    }
});

// SPDX-License-Identifier: GPL-2.0

//! TCP headers and options.

#![no_main]

use libfuzzer_sys::fuzz_target;
use rconntrack_pure::wire::tcp;

fuzz_target!(|data: &[u8]| {
    let [a, b, header @ ..] = data else { return };
    let l4_len = u32::from(u16::from_be_bytes([*a, *b]));
    if let Ok(segment) = tcp::parse(header, l4_len) {
        assert!(segment.payload <= l4_len);
        assert!(segment.end().since(segment.seq) <= segment.payload + 2);
        let offer = segment.options.offer().unwrap_or_default();
        assert!(offer.window_scale.unwrap_or(0) <= tcp::MAX_WINDOW_SCALE);
        let _ = segment.options.highest_sack(segment.ack);
        let _ = (segment.flags_valid(), segment.kind());
    }
});

// SPDX-License-Identifier: GPL-2.0

//! SCTP packets and their chunks.

#![no_main]

use libfuzzer_sys::fuzz_target;
use rconntrack_pure::wire::sctp;

fuzz_target!(|data: &[u8]| {
    let [first, packet @ ..] = data else { return };
    let offset = u32::from(first % 64);
    let whole = sctp::check(packet, offset, || Ok(())).is_ok();
    match sctp::read(packet, offset) {
        Ok(message) => {
            assert!(whole);
            let mut chunks = 0;
            for chunk in message.chunks() {
                assert!(chunk.length > 0);
                let _ = message.announced(&chunk);
                chunks += 1;
            }
            assert!((1..=packet.len() / 4).contains(&chunks));
        }
        Err(sctp::Malformed::Chunk(bad)) => assert!(!bad.to_string().is_empty()),
        Err(sctp::Malformed::Empty) => {}
    }
});

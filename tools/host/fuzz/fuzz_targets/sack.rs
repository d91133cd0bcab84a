// SPDX-License-Identifier: GPL-2.0

//! Selective acknowledgements, moved with the offsets of a translated stream.

#![no_main]

use libfuzzer_sys::fuzz_target;
use rconntrack_pure::policy::seqadj;
use rconntrack_pure::policy::seqadj::Way;

fuzz_target!(|data: &[u8]| {
    let Some((head, options)) = data.split_first_chunk::<12>() else {
        return;
    };
    let word = |at: usize| [head[at], head[at + 1], head[at + 2], head[at + 3]];
    let way = Way {
        correction_pos: u32::from_ne_bytes(word(0)),
        before: i32::from_ne_bytes(word(4)),
        after: i32::from_ne_bytes(word(8)),
    };
    let mut bytes = options.to_vec();
    let mut numbers = 0;
    let _ = seqadj::adjust_sack(&mut bytes, &way, |_, _| numbers += 1);
    assert!(numbers * 4 <= options.len());
    let changed = bytes.iter().zip(options).filter(|(a, b)| a != b).count();
    assert!(changed <= numbers * 4);
});

// SPDX-License-Identifier: Apache-2.0
//! `Range` and `Content-Range`.

use hythe_distribution::fuzzing::{content_range, ranges as wanted};

use crate::{first_line, text};

/// The first line is the size of a blob, the rest a header.
pub fn ranges(input: &[u8]) {
    let Some((size, header)) = text(input).map(first_line) else {
        return;
    };
    let size: u64 = size.parse().unwrap_or_default();
    match wanted(header, size) {
        Ok(parts) if !parts.is_empty() => {
            let total: u64 = parts.iter().map(|part| part.end - part.start).sum();
            assert!(total <= size, "no byte is sent twice: {parts:?} of {size}");
            assert!(
                parts.iter().all(|part| part.start < part.end && part.end <= size),
                "{parts:?} of {size}"
            );
            let again: Vec<String> = parts
                .iter()
                .map(|part| format!("{}-{}", part.start, part.end - 1))
                .collect();
            assert_eq!(wanted(&format!("bytes={}", again.join(",")), size).as_ref(), Ok(&parts));
            // The same last bytes, said from the end.
            if let [part] = parts.as_slice()
                && part.end == size
            {
                for again in [
                    format!("bytes=-{}", size - part.start),
                    format!("bytes={}-", part.start),
                ] {
                    assert_eq!(wanted(&again, size).as_ref(), Ok(&parts), "{again}");
                }
            }
        }
        Ok(_) => assert_eq!(
            wanted(header, u64::MAX),
            Ok(Vec::new()),
            "what is no range depends on no size"
        ),
        // Ranges that no blob of this size has: none has them that is shorter either.
        Err(()) => assert!((0..size.min(3)).all(|shorter| wanted(header, shorter).is_err())),
    }
    for text in [header, header.trim()] {
        let Some((start, length)) = content_range(text) else {
            continue;
        };
        assert!(length > 0);
        let last = start.checked_add(length - 1).expect("the last byte has a number");
        for again in [
            format!("{start}-{last}"),
            format!("bytes {start}-{last}/*"),
            format!("bytes={start}-{last}"),
        ] {
            assert_eq!(content_range(&again), Some((start, length)), "{again}");
        }
    }
}

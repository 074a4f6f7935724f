//! The boundaries of commands and replies in a stream.

/// The length of the first complete frame; `None` while it is incomplete.
/// Anything that is not a frame is passed through.
pub(super) fn length(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    // Values still missing from the frame.
    let mut left: usize = 1;
    while left > 0 {
        left -= 1;
        let kind = *bytes.get(at)?;
        let end = bytes[at..].iter().position(|byte| *byte == b'\n')? + at + 1;
        let number = || -> i64 {
            let text = std::str::from_utf8(&bytes[at + 1..end]).unwrap_or_default();
            text.trim_end().parse().unwrap_or(0)
        };
        match kind {
            b'$' | b'=' | b'!' => {
                at = match usize::try_from(number()) {
                    Ok(length) => end + length + 2,
                    // Null.
                    Err(_) => end,
                };
            }
            b'*' | b'~' | b'>' => {
                left += usize::try_from(number()).unwrap_or(0);
                at = end;
            }
            b'%' => {
                left += 2 * usize::try_from(number()).unwrap_or(0);
                at = end;
            }
            b'+' | b'-' | b':' | b'_' | b',' | b'#' | b'(' => at = end,
            _ => return Some(bytes.len()),
        }
        if at > bytes.len() {
            return None;
        }
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::length;

    /// Would catch a frame that is split, or joined with the next: the proxy
    /// would then strike something else than it reports.
    #[test]
    fn frame_boundaries_are_exact() {
        let frames: [&[u8]; 7] = [
            b"+OK\r\n",
            b"$-1\r\n",
            b"$5\r\nhel\r\n\r\n",
            b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n",
            b"*2\r\n*1\r\n:1\r\n*-1\r\n",
            b"%1\r\n+a\r\n$1\r\nb\r\n",
            b"*0\r\n",
        ];
        for frame in frames {
            let twice = [frame, b"+next\r\n"].concat();
            assert_eq!(length(&twice), Some(frame.len()));
            for cut in 0..frame.len() {
                assert_eq!(length(&frame[..cut]), None);
            }
        }
    }
}

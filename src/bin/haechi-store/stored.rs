//! Stored records as lines.

/// Makes a stored text one line. In JSON a line break is white space, which is
/// not hashed.
pub(crate) fn one_line(record: &mut Vec<u8>) {
    for byte in record.iter_mut() {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
    record.push(b'\n');
}

//! C's `strtod`, which reads more than decimal numbers: hexadecimal ones, infinities, NaN.

/// The longest number at the front of `text`, and its length; `None` if there is none. Does not skip blanks.
pub(super) fn strtod(text: &[u8]) -> Option<(f64, usize)> {
    let sign = usize::from(matches!(text.first(), Some(b'-' | b'+')));
    let negative = text.first() == Some(&b'-');
    let signed = |value: f64| if negative { -value } else { value };
    let body = &text[sign..];
    let starts = |word: &str| {
        body.get(..word.len())
            .is_some_and(|head| head.eq_ignore_ascii_case(word.as_bytes()))
    };
    if starts("infinity") {
        return Some((signed(f64::INFINITY), sign + 8));
    }
    if starts("inf") {
        return Some((signed(f64::INFINITY), sign + 3));
    }
    if starts("nan") {
        return Some((signed(f64::NAN), sign + 3));
    }
    if starts("0x")
        && let Some((value, length)) = hexadecimal(&body[2..])
    {
        return Some((signed(value), sign + 2 + length));
    }
    let digits = |from: usize| {
        body[from.min(body.len())..]
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count()
    };
    let whole = digits(0);
    let mut end = whole;
    if body.get(end) == Some(&b'.') && (whole > 0 || digits(end + 1) > 0) {
        end += 1 + digits(end + 1);
    }
    if end == 0 {
        return None;
    }
    if matches!(body.get(end), Some(b'e' | b'E')) {
        let after = end + 1 + usize::from(matches!(body.get(end + 1), Some(b'-' | b'+')));
        if digits(after) > 0 {
            end = after + digits(after);
        }
    }
    let value: f64 = std::str::from_utf8(&body[..end]).ok()?.parse().ok()?;
    Some((signed(value), sign + end))
}

/// A hexadecimal number after its `0x`: digits with an optional point and an optional `p` with an exponent of two.
fn hexadecimal(text: &[u8]) -> Option<(f64, usize)> {
    let (mut value, mut scale, mut digits, mut point) = (0.0, 0, 0, false);
    let mut length = 0;
    for byte in text {
        match char::from(*byte).to_digit(16) {
            Some(digit) => {
                value = value * 16.0 + f64::from(digit);
                scale -= if point { 4 } else { 0 };
                digits += 1;
            }
            None if *byte == b'.' && !point => point = true,
            None => break,
        }
        length += 1;
    }
    if digits == 0 {
        return None;
    }
    if let Some((b'p' | b'P', rest)) = text[length..].split_first() {
        let sign = usize::from(matches!(rest.first(), Some(b'-' | b'+')));
        let count = rest[sign..]
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        if count > 0 {
            let exponent = std::str::from_utf8(&rest[..sign + count]).ok()?;
            scale += exponent.parse().unwrap_or(if exponent.starts_with('-') {
                -9999
            } else {
                9999
            });
            length += 1 + sign + count;
        }
    }
    Some((value * f64::from(scale).exp2(), length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_c_reads_and_says_where_it_ends() {
        for (text, read) in [
            ("0x10", Some((16.0, 4))),
            ("0x1.8p1", Some((3.0, 7))),
            ("-0x2", Some((-2.0, 4))),
            ("0x", Some((0.0, 1))),
            ("1e5x", Some((1e5, 3))),
            ("1e", Some((1.0, 1))),
            (".5", Some((0.5, 2))),
            ("5.", Some((5.0, 2))),
            ("-Infinity", Some((f64::NEG_INFINITY, 9))),
            ("1e400", Some((f64::INFINITY, 5))),
            ("", None),
            ("-", None),
            (".", None),
            ("x", None),
        ] {
            assert_eq!(strtod(text.as_bytes()), read, "{text}");
        }
    }
}

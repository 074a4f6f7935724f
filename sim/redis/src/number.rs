//! Reads and prints numbers as redis-server does.

use super::strtod::strtod;

/// Reads an integer of 64 bits, without plus sign, leading zeros and blanks.
pub(super) fn integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    match digits {
        [b'0'] if !negative => return Some(0),
        [b'1'..=b'9', ..] if digits.len() <= 19 => {}
        _ => return None,
    }
    let mut value: u64 = 0;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        value = value
            .checked_mul(10)?
            .checked_add(u64::from(digit - b'0'))?;
    }
    if negative {
        0i64.checked_sub_unsigned(value)
    } else {
        i64::try_from(value).ok()
    }
}

/// Reads a number as redis-server does with `string2ull`: what is no integer is given to C's `strtoull`, which skips
/// blanks and takes a sign.
pub(super) fn unsigned(text: &[u8]) -> Option<u64> {
    if let Some(value) = integer(text) {
        return u64::try_from(value).ok();
    }
    let is_blank = |byte: &&u8| matches!(byte, b' ' | 9..=13);
    let text = &text[text.iter().take_while(is_blank).count()..];
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] | digits => (false, digits),
    };
    let add = |value: u64, digit: &u8| match digit.is_ascii_digit() {
        true => value.checked_mul(10)?.checked_add(u64::from(digit - b'0')),
        false => None,
    };
    let value = digits
        .iter()
        .try_fold(0, add)
        .filter(|_| !digits.is_empty())?;
    Some(if negative {
        value.wrapping_neg()
    } else {
        value
    })
}

/// Reads a score: a number in the range of doubles or an infinity, not NaN.
pub(super) fn float(text: &[u8]) -> Option<f64> {
    let (value, length) = strtod(text)?;
    let named = text.iter().any(|byte| matches!(byte, b'i' | b'I'));
    let vanished = || {
        let digits = text.split(|byte| matches!(byte, b'e' | b'E' | b'p' | b'P'));
        digits
            .take(1)
            .flatten()
            .any(|byte| matches!(byte, b'1'..=b'9' | b'a'..=b'f' | b'A'..=b'F'))
    };
    let in_range = (value.is_finite() || named) && (value != 0.0 || !vanished());
    (length == text.len() && !value.is_nan() && in_range).then_some(value)
}

/// Reads a bound of scores as C does: up to a zero byte, empty as 0, and out of range as an infinity.
pub(super) fn bound(text: &[u8]) -> Option<f64> {
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    let blanks = text
        .iter()
        .take_while(|byte| matches!(byte, b' ' | 9..=13))
        .count();
    let (value, length) = match strtod(&text[blanks..]) {
        Some((value, length)) => (value, blanks + length),
        None => (0.0, 0),
    };
    (length == text.len() && !value.is_nan()).then_some(value)
}

/// C's cast on x86: NaN and what is out of range become the smallest integer.
#[allow(
    clippy::cast_possible_truncation,
    reason = "checked to be within range"
)]
pub(super) fn truncate(value: f64) -> i64 {
    if (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&value) {
        value as i64
    } else {
        i64::MIN
    }
}

/// C's `%.{precision}g`.
pub(super) fn general(value: f64, precision: usize) -> String {
    if value.is_nan() {
        return if value.is_sign_negative() {
            "-nan"
        } else {
            "nan"
        }
        .to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    if value == value.trunc() && value.abs() < 1e14 && !(value == 0.0 && value.is_sign_negative()) {
        return truncate(value).to_string();
    }
    let scientific = format!("{value:.*e}", precision.saturating_sub(1));
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trim = |text: &str| {
        if text.contains('.') {
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        } else {
            text.to_owned()
        }
    };
    match usize::try_from(exponent) {
        _ if exponent < -4 => format!("{}e-{:02}", trim(mantissa), exponent.unsigned_abs()),
        Ok(exponent) if exponent >= precision => format!("{}e+{exponent:02}", trim(mantissa)),
        Ok(exponent) => trim(&format!("{value:.*}", precision - 1 - exponent)),
        Err(_) => {
            let places = precision + usize::try_from(exponent.unsigned_abs()).unwrap_or(0) - 1;
            trim(&format!("{value:.places$}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_strict() {
        assert_eq!(integer(b"0"), Some(0));
        assert_eq!(integer(b"-9223372036854775808"), Some(i64::MIN));
        assert_eq!(integer(b"9223372036854775807"), Some(i64::MAX));
        for bad in [
            "",
            "-",
            "-0",
            "+1",
            "01",
            " 1",
            "1 ",
            "1.0",
            "9223372036854775808",
            "99999999999999999999",
            "abc",
        ] {
            assert_eq!(integer(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn unsigned_numbers_are_what_c_reads() {
        for (text, read) in [
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("-1", None),
            ("-01", Some(u64::MAX)),
            (" +07", Some(7)),
            ("", None),
            ("+", None),
            ("1x", None),
        ] {
            assert_eq!(unsigned(text.as_bytes()), read, "{text}");
        }
    }

    #[test]
    fn scores_are_whole_numbers_in_range() {
        for (text, read) in [
            ("0x10", Some(16.0)),
            ("inf", Some(f64::INFINITY)),
            ("-infinity", Some(f64::NEG_INFINITY)),
            ("1e400", None),
            ("1e-400", None),
            ("0e5", Some(0.0)),
            ("nan", None),
            (" 1", None),
            ("", None),
        ] {
            assert_eq!(float(text.as_bytes()), read, "{text}");
        }
        assert_eq!(bound(b""), Some(0.0));
        assert_eq!(bound(b" 1\0x"), Some(1.0));
        assert_eq!(bound(b"1e400"), Some(f64::INFINITY));
        assert_eq!(bound(b"1x"), None);
    }

    #[test]
    fn general_prints_as_c_does() {
        for (value, precision, text) in [
            (0.1, 17, "0.10000000000000001"),
            (1e300, 17, "1.0000000000000001e+300"),
            (1e14, 14, "1e+14"),
            (123_456_789_012_345.0, 14, "1.2345678901234e+14"),
            (1e-5, 14, "1e-05"),
            (0.0001, 14, "0.0001"),
            (1.5, 17, "1.5"),
            (-0.0, 14, "-0"),
            (100.25, 14, "100.25"),
            (1e16, 17, "10000000000000000"),
            (f64::INFINITY, 17, "inf"),
        ] {
            assert_eq!(general(value, precision), text);
        }
    }

    #[test]
    fn truncation_never_saturates_upwards() {
        assert_eq!(truncate(3.99), 3);
        assert_eq!(truncate(-3.99), -3);
        assert_eq!(truncate(f64::NAN), i64::MIN);
        assert_eq!(truncate(1e300), i64::MIN);
    }
}

//! Numbers as ECMAScript prints them, if nothing is lost.
//!
//! A JSON number is an IEEE double. A literal is accepted if its digits are the
//! shortest that identify the double (what ECMAScript prints) or the double's
//! exact value; reading any other would change it, so that the record would
//! attest another number.

/// Why a literal cannot be in a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unfaithful {
    /// The nearest double is another number.
    Changes,
    /// It is larger than any double.
    Overflows,
}

/// The most significant digits an exact double can have.
const EXACT_DIGITS: usize = 767;

/// Appends the canonical text of `literal`, a number in JSON's grammar.
pub(crate) fn write(literal: &str, out: &mut String) -> Result<(), Unfaithful> {
    if is_short_integer(literal) {
        out.push_str(literal);
        return Ok(());
    }
    let value: f64 = literal.parse().map_err(|_| Unfaithful::Changes)?;
    if !value.is_finite() {
        return Err(Unfaithful::Overflows);
    }
    let mut buffer = ryu_js::Buffer::new();
    let shortest = if value == 0.0 {
        "0"
    } else {
        buffer.format_finite(value)
    };
    if literal != shortest {
        let decimal = Decimal::of(literal);
        if decimal != Decimal::of(shortest) && !is_exactly(literal, &decimal, value) {
            return Err(Unfaithful::Changes);
        }
    }
    out.push_str(shortest);
    Ok(())
}

/// Integers of up to 15 digits are distinct doubles and printed unchanged.
fn is_short_integer(literal: &str) -> bool {
    let digits = literal.strip_prefix('-').unwrap_or(literal).as_bytes();
    digits.len() <= 15 && literal != "-0" && digits.iter().all(u8::is_ascii_digit)
}

fn is_exactly(literal: &str, decimal: &Decimal<'_>, value: f64) -> bool {
    let magnitude = literal.strip_prefix('-').unwrap_or(literal);
    if magnitude.len() <= 38
        && let Ok(integer) = magnitude.parse::<u128>()
    {
        return integer == value.abs() as u128;
    }
    // Rust formats exactly at any precision.
    decimal.digits().count() <= EXACT_DIGITS
        && *decimal
            == Decimal::of(&format!(
                "{value:.precision$e}",
                precision = EXACT_DIGITS - 1
            ))
}

/// A literal's significant digits and their exponent, without the sign.
#[derive(Debug)]
struct Decimal<'a> {
    /// From the first to the last digit that is not zero, possibly with a
    /// point.
    significant: &'a str,
    /// The power of ten of the first significant digit.
    exponent: i64,
}

impl<'a> Decimal<'a> {
    fn of(literal: &'a str) -> Decimal<'a> {
        let literal = literal.strip_prefix('-').unwrap_or(literal);
        let (mantissa, exponent) = literal.split_once(['e', 'E']).unwrap_or((literal, "0"));
        let is_nonzero = |c: char| c != '0' && c != '.';
        let Some(first) = mantissa.find(is_nonzero) else {
            return Decimal {
                significant: "",
                exponent: 0,
            };
        };
        let last = mantissa.rfind(is_nonzero).unwrap_or(first);
        let point = mantissa.find('.').unwrap_or(mantissa.len());
        // Below the point, the point itself is not a digit.
        let place = point as i64 - first as i64 - i64::from(first < point);
        Decimal {
            significant: &mantissa[first..=last],
            exponent: saturating(exponent).saturating_add(place),
        }
    }

    fn digits(&self) -> impl Iterator<Item = u8> {
        self.significant.bytes().filter(|byte| *byte != b'.')
    }
}

impl PartialEq for Decimal<'_> {
    fn eq(&self, other: &Decimal<'_>) -> bool {
        self.exponent == other.exponent && self.digits().eq(other.digits())
    }
}

/// An exponent, saturated: no double is printed with one beyond an `i64`.
fn saturating(exponent: &str) -> i64 {
    exponent.parse().unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(literal: &str) -> Result<String, Unfaithful> {
        let mut out = String::new();
        write(literal, &mut out).map(|()| out)
    }

    #[test]
    fn doubles_are_printed_as_ecmascript_does() {
        let cases = [
            ("0", "0"),
            ("-0", "0"),
            ("-0.0e9", "0"),
            ("0e99999999999999999999", "0"),
            ("1.0", "1"),
            ("1E2", "100"),
            ("10e-1", "1"),
            ("0.00100e+4", "10"),
            ("-1.50", "-1.5"),
            ("1e20", "100000000000000000000"),
            ("1e21", "1e+21"),
            ("1e-7", "1e-7"),
            ("0.000001", "0.000001"),
            ("5e-324", "5e-324"),
            ("1.7976931348623157e308", "1.7976931348623157e+308"),
            ("9007199254740991", "9007199254740991"),
            ("9007199254740992", "9007199254740992"),
            ("-9007199254740992", "-9007199254740992"),
            ("123456789012345680000", "123456789012345680000"),
            ("123456789012345683968", "123456789012345680000"),
            ("1938617533524074.25", "1938617533524074.2"),
            ("1938617533524074.2", "1938617533524074.2"),
            ("72057594037927936", "72057594037927940"),
            ("72057594037927936.000", "72057594037927940"),
            (
                "0.1000000000000000055511151231257827021181583404541015625",
                "0.1",
            ),
            (
                "1000000000000000055511151231257827021181583404541015625e-55",
                "0.1",
            ),
        ];
        for (literal, printed) in cases {
            assert_eq!(canonical(literal).as_deref(), Ok(printed), "{literal}");
        }
        // 2^-1074 has 751 significant digits, all of which are compared.
        let smallest = format!("{:.750e}", 5e-324);
        assert_eq!(canonical(&smallest).as_deref(), Ok("5e-324"));
        assert_eq!(
            canonical(&format!("{:.749e}", 5e-324)),
            Err(Unfaithful::Changes)
        );
    }

    #[test]
    fn inexact_numbers_are_refused() {
        let long = format!("0.{}", "3".repeat(100_000));
        for literal in [
            "9007199254740993",
            "-9007199254740993",
            "9007199254740993.0",
            // As near to the double as what ECMAScript prints, but different.
            "1938617533524074.3",
            "1e-400",
            "-1e-99999999999999999999",
            "0.10000000000000000555111512312578270211815834045410156251",
            "0.1000000000000000055511151231257827021181583404541015624",
            "123456789012345678901",
            // 2^128 - 1 is not a double, but 2^128 is, and it rounds to that.
            "340282366920938463463374607431768211455",
            "4.9406564584124654e-324",
            &long,
        ] {
            assert_eq!(canonical(literal), Err(Unfaithful::Changes), "{literal}");
        }
        let long = "1".repeat(400);
        for literal in ["1e400", "-1e309", "1e99999999999999999999", &long] {
            assert_eq!(canonical(literal), Err(Unfaithful::Overflows), "{literal}");
        }
    }
}

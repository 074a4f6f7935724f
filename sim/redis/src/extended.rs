//! The numbers of INCRBYFLOAT: C's `long double` on x86, whose mantissa has 64 bits.

use super::strtod::strtod;
use std::cmp::Ordering;

/// A finite number: `mantissa * 2^exponent`, and its sign.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Extended {
    negative: bool,
    mantissa: u64,
    exponent: i32,
}

/// The greatest exponent of a mantissa of 64 bits.
const MAX_EXPONENT: i32 = 16_384 - 64;
/// What is less than half of the least number, 2^-16445, becomes 0, and is refused.
const MIN_EXPONENT: i32 = -16_446 - 63;
/// Beyond it a decimal number is too great, or too small to be told from 0.
const MAX_DECIMAL: i64 = 4960;

impl Extended {
    pub(super) const ZERO: Extended = Extended {
        negative: false,
        mantissa: 0,
        exponent: 0,
    };

    /// Reads a number as redis-server does; `Some(None)` is an infinity.
    pub(super) fn parse(text: &[u8]) -> Option<Option<Extended>> {
        let (value, length) = strtod(text)?;
        if length != text.len() || value.is_nan() || length > 5119 {
            return None;
        }
        let negative = text.starts_with(b"-");
        let digits = text.strip_prefix(b"-").or(text.strip_prefix(b"+"));
        let digits = digits.unwrap_or(text);
        match digits {
            [b'i' | b'I', ..] => Some(None),
            // Of hexadecimal numbers, those of 53 bits.
            [b'0', b'x' | b'X', ..] => Extended::of(value).map(Some),
            digits => Extended::decimal(digits, negative).map(Some),
        }
    }

    fn of(value: f64) -> Option<Extended> {
        let (bits, negative) = (value.abs().to_bits(), value.is_sign_negative());
        let exponent = i32::try_from(bits >> 52).ok()?;
        let fraction = bits & ((1 << 52) - 1);
        match exponent {
            0 => rounded(&Big::from(fraction), -1074, negative),
            2047 => None,
            exponent => rounded(&Big::from(fraction | 1 << 52), exponent - 1075, negative),
        }
    }

    /// Digits with an optional point and an optional exponent of ten.
    fn decimal(text: &[u8], negative: bool) -> Option<Extended> {
        let mut parts = text.splitn(2, |byte| matches!(byte, b'e' | b'E'));
        let digits = parts.next().unwrap_or_default();
        let given = parts.next().and_then(|text| std::str::from_utf8(text).ok());
        // One that no integer holds is too great or too small anyway.
        let given = given.map_or(0, |text| match text.parse::<i64>() {
            Ok(exponent) => exponent.clamp(-100_000, 100_000),
            Err(_) if text.starts_with('-') => -100_000,
            Err(_) => 100_000,
        });
        let point = digits.iter().position(|byte| *byte == b'.');
        let places = point.map_or(0, |point| digits.len() - point - 1);
        let exponent = given - i64::try_from(places).ok()?;
        let mut number = Big::default();
        let digits = digits.iter().filter(|byte| byte.is_ascii_digit());
        for digit in digits.clone() {
            number.multiply_add(10, u32::from(digit - b'0'));
        }
        if number.bits() == 0 {
            return Some(Extended {
                negative,
                ..Extended::ZERO
            });
        }
        let size = digits.skip_while(|digit| **digit == b'0').count();
        let greatest = exponent + i64::try_from(size).ok()?;
        if greatest.abs() > MAX_DECIMAL {
            return None;
        }
        let power = usize::try_from(exponent.unsigned_abs()).ok()?;
        if exponent >= 0 {
            number.multiply_by_ten_to(power);
            return rounded(&number, 0, negative);
        }
        let mut divisor = Big::from(1);
        divisor.multiply_by_ten_to(power);
        let (quotient, shift) = number.divide(&divisor);
        let read = rounded(&quotient, -i32::try_from(shift).ok()?, negative);
        read.filter(|number| number.exponent >= MIN_EXPONENT)
    }

    /// The sum; `None` if it is too great.
    pub(super) fn add(self, other: Extended) -> Option<Extended> {
        let (mut great, mut small) = (self, other);
        if great.mantissa == 0 || (small.mantissa != 0 && great.exponent < small.exponent) {
            (great, small) = (small, great);
        }
        if small.mantissa == 0 {
            return Some(great);
        }
        // Far below the last bit only the sign matters.
        if great.exponent - small.exponent > 130 {
            small = Extended {
                mantissa: 1,
                exponent: great.exponent - 130,
                ..small
            };
        }
        let shift = usize::try_from(great.exponent - small.exponent).ok()?;
        let (mut sum, mut part) = (
            Big::from(great.mantissa).shifted(shift),
            Big::from(small.mantissa),
        );
        let mut negative = great.negative;
        if great.negative == small.negative {
            sum.add(&part);
        } else {
            if sum.compare(&part) == Ordering::Less {
                (sum, part, negative) = (part, sum, small.negative);
            }
            sum.subtract(&part);
        }
        // What is nothing is not negative.
        rounded(&sum, small.exponent, negative && sum.bits() > 0)
    }

    /// With 17 decimal places, without zeros at the end.
    pub(super) fn print(self) -> String {
        let mut number = Big::from(self.mantissa);
        number.multiply_by_ten_to(17);
        let number = match usize::try_from(self.exponent) {
            Ok(exponent) => number.shifted(exponent),
            Err(_) => number.halved(usize::try_from(self.exponent.unsigned_abs()).unwrap_or(0)),
        };
        let digits = format!("{:0>18}", number.decimal());
        let (whole, places) = digits.split_at(digits.len() - 17);
        let text = format!("{whole}.{places}");
        let text = text.trim_end_matches('0').trim_end_matches('.');
        match self.negative && text != "0" {
            true => format!("-{text}"),
            false => text.to_owned(),
        }
    }
}

/// The nearest number, of two the even one; `None` if it is too great. A number of more than 65 bits may lack its last.
fn rounded(number: &Big, exponent: i32, negative: bool) -> Option<Extended> {
    let bits = number.bits();
    if bits == 0 {
        return Some(Extended {
            negative,
            ..Extended::ZERO
        });
    }
    let (number, cut) = match bits.checked_sub(64) {
        None => (number.shifted(64 - bits), 0),
        Some(cut) => (number.halved(cut), cut),
    };
    let exponent = exponent + i32::try_from(cut).ok()? - i32::try_from(64 - bits.min(64)).ok()?;
    // Rounding up may have made a bit more.
    let (mantissa, exponent) = match number.bits() {
        65 => (1 << 63, exponent + 1),
        _ => (number.low(), exponent),
    };
    (exponent <= MAX_EXPONENT).then_some(Extended {
        negative,
        mantissa,
        exponent,
    })
}

/// A natural number of any size, its lowest part first.
#[derive(Clone, Debug, Default)]
struct Big(Vec<u32>);

impl From<u64> for Big {
    fn from(value: u64) -> Big {
        Big(vec![low(value), low(value >> 32)])
    }
}

/// The lowest 32 bits.
#[allow(clippy::cast_possible_truncation, reason = "that is what it is for")]
fn low(value: u64) -> u32 {
    value as u32
}

impl Big {
    fn bits(&self) -> usize {
        let top = self.0.iter().rposition(|part| *part != 0);
        top.map_or(0, |top| {
            32 * top + 32 - self.0[top].leading_zeros() as usize
        })
    }

    fn has_bit(&self, bit: usize) -> bool {
        self.0
            .get(bit / 32)
            .is_some_and(|part| part >> (bit % 32) & 1 == 1)
    }

    /// The lowest 64 bits.
    fn low(&self) -> u64 {
        let part = |at| u64::from(self.0.get(at).copied().unwrap_or(0));
        part(1) << 32 | part(0)
    }

    fn multiply_add(&mut self, factor: u32, mut carry: u32) {
        for part in &mut self.0 {
            let product = u64::from(*part) * u64::from(factor) + u64::from(carry);
            (*part, carry) = (low(product), low(product >> 32));
        }
        if carry > 0 {
            self.0.push(carry);
        }
    }

    fn multiply_by_ten_to(&mut self, power: usize) {
        (0..power / 9).for_each(|_| self.multiply_add(1_000_000_000, 0));
        (0..power % 9).for_each(|_| self.multiply_add(10, 0));
    }

    fn shifted(&self, bits: usize) -> Big {
        let mut shifted = Big(vec![0; bits / 32]);
        let mut carry = 0;
        for part in &self.0 {
            let wide = u64::from(*part) << (bits % 32) | carry;
            shifted.0.push(low(wide));
            carry = wide >> 32;
        }
        shifted.0.push(low(carry));
        shifted
    }

    /// Divided by a power of two and rounded, of two nearest numbers to the even one.
    fn halved(&self, bits: usize) -> Big {
        let mut halved = Big::default();
        for at in bits / 32..self.0.len() {
            let part = |at: usize| u64::from(self.0.get(at).copied().unwrap_or(0));
            halved
                .0
                .push(low((part(at + 1) << 32 | part(at)) >> (bits % 32)));
        }
        let is_half = bits > 0 && self.has_bit(bits - 1);
        let is_more = || (0..bits - 1).any(|bit| self.has_bit(bit));
        if is_half && (halved.has_bit(0) || is_more()) {
            halved.add(&Big::from(1));
        }
        halved
    }

    fn compare(&self, other: &Big) -> Ordering {
        let part = |big: &Big, at: usize| big.0.get(at).copied().unwrap_or(0);
        let mut places = (0..self.0.len().max(other.0.len())).rev();
        let differs = |at: &usize| part(self, *at) != part(other, *at);
        let at = places.find(differs).unwrap_or(0);
        part(self, at).cmp(&part(other, at))
    }

    fn add(&mut self, other: &Big) {
        let mut carry = 0;
        self.0.resize(self.0.len().max(other.0.len()), 0);
        for (at, part) in self.0.iter_mut().enumerate() {
            let other = other.0.get(at).copied().unwrap_or(0);
            carry += u64::from(*part) + u64::from(other);
            *part = low(carry);
            carry >>= 32;
        }
        self.0.push(low(carry));
    }

    /// Subtracts what is not greater.
    fn subtract(&mut self, other: &Big) {
        let mut borrowed = false;
        for (at, part) in self.0.iter_mut().enumerate() {
            let other = other.0.get(at).copied().unwrap_or(0);
            let (first, below) = part.overflowing_sub(other);
            let (second, again) = first.overflowing_sub(u32::from(borrowed));
            (*part, borrowed) = (second, below || again);
        }
    }

    /// The quotient after a shift to the left, and the shift. It has more than 65 bits, and its last bit is set if there
    /// is a rest.
    fn divide(&self, divisor: &Big) -> (Big, usize) {
        let shift = (divisor.bits() + 68).saturating_sub(self.bits());
        let mut rest = self.shifted(shift);
        let steps = rest.bits() - divisor.bits() + 1;
        let mut quotient = Big(vec![0; steps / 32 + 1]);
        for bit in (0..steps).rev() {
            let part = divisor.shifted(bit);
            if rest.compare(&part) != Ordering::Less {
                rest.subtract(&part);
                quotient.0[bit / 32] |= 1 << (bit % 32);
            }
        }
        if rest.bits() > 0 {
            quotient.0[0] |= 1;
        }
        (quotient, shift)
    }

    fn decimal(mut self) -> String {
        let mut groups = Vec::new();
        while self.bits() > 0 {
            let mut rest = 0;
            for part in self.0.iter_mut().rev() {
                let wide = rest << 32 | u64::from(*part);
                *part = low(wide / 1_000_000_000);
                rest = wide % 1_000_000_000;
            }
            groups.push(format!("{rest:09}"));
        }
        let digits: String = groups.into_iter().rev().collect();
        match digits.trim_start_matches('0') {
            "" => "0".to_owned(),
            digits => digits.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(a: &str, b: &str) -> Option<String> {
        let read = |text: &str| Extended::parse(text.as_bytes()).flatten();
        Some(read(a)?.add(read(b)?)?.print())
    }

    /// The results are those of redis-server on x86.
    #[test]
    fn sums_are_those_of_80_bits() {
        for (a, b, expected) in [
            ("0.1", "0.2", Some("0.3")),
            ("10.50", "0.1", Some("10.6")),
            ("5.0e3", "2.0e2", Some("5200")),
            ("0", "-0", Some("0")),
            ("-0", "-0", Some("0")),
            ("1", "-1", Some("0")),
            ("-1e-30", "0", Some("0")),
            ("1e4933", "0", None),
            ("1e4932", "1e4932", None),
            ("x", "0", None),
        ] {
            assert_eq!(sum(a, b).as_deref(), expected, "{a} + {b}");
        }
        assert_eq!(Extended::parse(b"-inf"), Some(None));
        assert_eq!(Extended::parse(b"nan"), None);
    }
}

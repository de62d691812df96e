//! Percent-decoding, RFC 3986 §2.1, without an allocation.

/// The bytes that percent-encoded ones stand for; what is no valid encoding stands for itself.
pub(super) fn decoded(mut rest: &[u8]) -> impl Iterator<Item = u8> + '_ {
    std::iter::from_fn(move || {
        let digit = |digit: u8| char::from(digit).to_digit(16);
        let (byte, after) = match *rest {
            [b'%', high, low, ref after @ ..] => match (digit(high), digit(low)) {
                (Some(high), Some(low)) => (u8::try_from(high << 4 | low).ok()?, after),
                _ => (b'%', &rest[1..]),
            },
            [byte, ref after @ ..] => (byte, after),
            [] => return None,
        };
        rest = after;
        Some(byte)
    })
}

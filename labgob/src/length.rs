//! The length that comes before each value: seven bits to a byte, the low bits first.

use std::io;

/// The most bytes that a 64-bit length takes.
pub(crate) const MAX_BYTES: usize = 10;

/// The bytes of a length, in `buffer`.
pub(crate) fn encode(mut len: u64, buffer: &mut [u8; MAX_BYTES]) -> &[u8] {
    let mut used = 0;
    while len >= 0x80 {
        buffer[used] = len as u8 | 0x80;
        len >>= 7;
        used += 1;
    }
    buffer[used] = len as u8;
    &buffer[..=used]
}

/// What stands where a length should.
pub(crate) enum Length {
    Bytes(u64),
    /// The input ends before the length.
    End,
    /// The input ends within the length.
    Cut,
    /// Not the shortest form of a length of 64 bits. Only that is accepted, so that a value has only one encoding.
    Malformed,
}

/// Reads a length from an input whose bytes `next` returns, one by one.
pub(crate) fn read(mut next: impl FnMut() -> io::Result<Option<u8>>) -> io::Result<Length> {
    let mut len = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let Some(byte) = next()? else {
            return Ok(if shift == 0 { Length::End } else { Length::Cut });
        };
        let bits = u64::from(byte & 0x7f);
        len |= bits << shift;
        if len >> shift != bits || (byte == 0 && shift > 0) {
            break;
        }
        if byte < 0x80 {
            return Ok(Length::Bytes(len));
        }
    }
    Ok(Length::Malformed)
}

/// Reads a length from the begin of these bytes. Also returns the bytes that come after it.
pub(crate) fn split(bytes: &[u8]) -> (Length, &[u8]) {
    let mut rest = bytes;
    let length = read(|| {
        Ok(rest.split_first().map(|(first, others)| {
            rest = others;
            *first
        }))
    });
    // Taking bytes from a slice does not fail.
    (length.unwrap_or(Length::End), rest)
}

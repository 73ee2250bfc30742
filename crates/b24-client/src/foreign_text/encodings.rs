//! Decodes a text in every encoding that another system may have used: plain, percent-encoded, escaped for
//! JSON or HTML, in base64 or hexadecimal, split by white space, and nested combinations of these. Every byte
//! of a reading is mapped to the part of the text that it came from.

use std::ops::Range;

use super::characters::{is_break, is_invisible};

/// The number of nested escapes to decode.
const DEPTH: usize = 3;

/// The first characters of the escapes that are decoded together. Each kind is also decoded alone, for texts
/// in which the characters of the other kinds are literal.
const ESCAPES: [&[u8]; 4] = [b"%\\&", b"%", b"\\", b"&"];

/// The maximum number of readings. Only a text that was crafted for it has more.
const READINGS_MAX: usize = 24;

/// A shorter secret is not searched for across white space, because it could match common words.
const JOINED_MIN: usize = 8;

/// A shorter secret is not searched for in base64 and hexadecimal, because it could match by chance.
const PACKED_MIN: usize = 4;

/// HTML's names for the characters that occur in secrets and URLs.
#[rustfmt::skip]
const NAMED: [(&str, u8); 29] = [
    ("amp", b'&'), ("lt", b'<'), ("gt", b'>'), ("quot", b'"'), ("apos", b'\''), ("sol", b'/'), ("bsol", b'\\'),
    ("equals", b'='), ("plus", b'+'), ("num", b'#'), ("percnt", b'%'), ("colon", b':'), ("semi", b';'),
    ("comma", b','), ("period", b'.'), ("lowbar", b'_'), ("quest", b'?'), ("excl", b'!'), ("commat", b'@'),
    ("dollar", b'$'), ("ast", b'*'), ("lpar", b'('), ("rpar", b')'), ("lsqb", b'['), ("rsqb", b']'),
    ("lcub", b'{'), ("rcub", b'}'), ("vert", b'|'), ("nbsp", b' '),
];

/// An encoding of bytes as digits: the number of bits per digit, and its alphabet.
struct Packing {
    bits: u32,
    digit: fn(u8) -> Option<u32>,
    /// The number of positions in a run of digits at which a byte can begin.
    phases: usize,
}

const PACKINGS: [Packing; 2] =
    [Packing { bits: 6, digit: base64_digit, phases: 4 }, Packing { bits: 4, digit: hex_digit, phases: 2 }];

/// One decoded form of a text.
#[derive(Clone)]
pub(super) struct Reading {
    /// The decoded bytes.
    pub bytes: Vec<u8>,
    /// The minimum length of the secrets that are searched for in it.
    pub least: usize,
    /// The part of the text that each byte came from.
    spans: Vec<(usize, usize)>,
}

/// All decoded forms of `text`.
pub(super) fn readings(text: &str) -> Vec<Reading> {
    let mut all = unescaped(text);
    let joined: Vec<Reading> = all.iter().map(Reading::joined).collect();
    for reading in &joined {
        for packing in &PACKINGS {
            let unpacked = (0..packing.phases).map(|phase| reading.unpacked(packing, phase));
            all.extend(unpacked.flat_map(|reading| reading.rounds(1)));
        }
    }
    all.extend(joined);
    all
}

/// `text` unchanged, and with its escapes decoded.
pub(super) fn unescaped(text: &str) -> Vec<Reading> {
    let mut verbatim = Reading::empty(1);
    for (at, c) in text.char_indices() {
        verbatim.push(c.encode_utf8(&mut [0; 4]).as_bytes(), (at, at + c.len_utf8()));
    }
    verbatim.rounds(DEPTH)
}

impl Reading {
    fn empty(least: usize) -> Self {
        Self { bytes: Vec::new(), least, spans: Vec::new() }
    }

    fn push(&mut self, bytes: &[u8], span: (usize, usize)) {
        self.bytes.extend_from_slice(bytes);
        self.spans.resize(self.bytes.len(), span);
    }

    /// The part of the text that these bytes came from. The range must not be empty.
    pub(super) fn span(&self, bytes: Range<usize>) -> (usize, usize) {
        (self.spans[bytes.start].0, self.spans[bytes.end - 1].1)
    }

    /// The reading without white space.
    pub(super) fn joined(&self) -> Self {
        Self { least: JOINED_MIN, ..self.without(char::is_whitespace) }
    }

    /// The reading itself, without invisible characters, and with up to `depth` nested escapes of each kind
    /// decoded.
    fn rounds(self, depth: usize) -> Vec<Self> {
        let is_hidden = |c| is_break(c) || is_invisible(c);
        let seen = self.without(is_hidden);
        let mut all = if seen.bytes == self.bytes { vec![seen] } else { vec![self, seen] };
        let mut begin = all.len() - 1;
        for _ in 0..depth {
            let latest = begin..all.len();
            begin = all.len();
            for (at, escapes) in latest.flat_map(|at| ESCAPES.map(|escapes| (at, escapes))) {
                if all.len() == READINGS_MAX || !all[at].bytes.iter().any(|byte| escapes.contains(byte)) {
                    continue;
                }
                let next = all[at].unescaped(escapes).without(is_hidden);
                if all.iter().all(|known| known.bytes != next.bytes) {
                    all.push(next);
                }
            }
        }
        all
    }

    fn without(&self, is_left_out: fn(char) -> bool) -> Self {
        let (mut kept, mut at) = (Self::empty(self.least), 0);
        for chunk in self.bytes.utf8_chunks() {
            for c in chunk.valid().chars() {
                if !is_left_out(c) {
                    kept.take(self, at..at + c.len_utf8());
                }
                at += c.len_utf8();
            }
            kept.take(self, at..at + chunk.invalid().len());
            at += chunk.invalid().len();
        }
        kept
    }

    fn take(&mut self, other: &Self, bytes: Range<usize>) {
        self.bytes.extend_from_slice(&other.bytes[bytes.clone()]);
        self.spans.extend_from_slice(&other.spans[bytes]);
    }

    fn unescaped(&self, escapes: &[u8]) -> Self {
        let (mut plain, mut at) = (Self::empty(self.least), 0);
        while at < self.bytes.len() {
            let escape = escapes.contains(&self.bytes[at]).then(|| escape(&self.bytes[at..])).flatten();
            if let Some((bytes, length)) = escape {
                plain.push(&bytes, self.span(at..at + length));
                at += length;
            } else {
                plain.take(self, at..at + 1);
                at += 1;
            }
        }
        plain
    }

    /// Decodes the digits to bytes, where the first byte begins at digit `phase` of each run of digits.
    fn unpacked(&self, packing: &Packing, phase: usize) -> Self {
        let mut plain = Self::empty(PACKED_MIN);
        let (mut value, mut bits, mut digits, mut begin) = (0, 0, 0, 0);
        for (byte, span) in self.bytes.iter().zip(&self.spans) {
            let Some(digit) = (packing.digit)(*byte) else {
                (bits, digits) = (0, 0);
                continue;
            };
            digits += 1;
            if digits <= phase {
                continue;
            }
            value = (value << packing.bits | digit) & 0xffff;
            bits += packing.bits;
            if bits >= 8 {
                bits -= 8;
                plain.push(&[(value >> bits).to_be_bytes()[3]], (begin, span.1));
            }
            begin = span.0;
        }
        plain
    }
}

/// Decodes the escape at the start of `text`. Returns its bytes and its length.
fn escape(text: &[u8]) -> Option<(Vec<u8>, usize)> {
    match text.first()? {
        b'%' => Some((vec![u8::try_from(number(text.get(1..3)?, 16)?).ok()?], 3)),
        b'\\' => backslashed(text),
        b'&' => reference(text),
        _ => None,
    }
}

/// A backslash escape, as in JSON and most programming languages.
fn backslashed(text: &[u8]) -> Option<(Vec<u8>, usize)> {
    match text.get(1)? {
        b'n' | b'r' | b't' | b'b' | b'f' | b'0' => Some((vec![b'\n'], 2)),
        b'\\' => Some((vec![b'\\'], 2)),
        b'x' => Some((vec![u8::try_from(number(text.get(2..4)?, 16)?).ok()?], 4)),
        b'u' if text.get(2) == Some(&b'{') => {
            let end = text.iter().take(10).position(|byte| *byte == b'}')?;
            Some((character(number(&text[3..end], 16)?)?, end + 1))
        }
        b'u' => unit(text),
        _ => Some((Vec::new(), 1)),
    }
}

/// One or two units of UTF-16.
fn unit(text: &[u8]) -> Option<(Vec<u8>, usize)> {
    let first = number(text.get(2..6)?, 16)?;
    let second = text.get(6..8).filter(|begin| begin == b"\\u").and_then(|_| number(text.get(8..12)?, 16));
    match (first, second) {
        (0xd800..0xdc00, Some(second @ 0xdc00..0xe000)) => {
            Some((character(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00))?, 12))
        }
        _ => Some((character(first)?, 6)),
    }
}

/// An HTML reference: a number, in which the semicolon is optional, or a name.
fn reference(text: &[u8]) -> Option<(Vec<u8>, usize)> {
    let radix = match (text.get(1)?, text.get(2)?) {
        (b'#', b'x' | b'X') => 16,
        (b'#', _) => 10,
        _ => {
            let name = |name: &str| {
                text[1..].starts_with(name.as_bytes()) && text.get(name.len() + 1) == Some(&b';')
            };
            let (name, byte) = NAMED.iter().find(|(known, _)| name(known))?;
            return Some((vec![*byte], name.len() + 2));
        }
    };
    let begin = if radix == 16 { 3 } else { 2 };
    let is_digit = |byte: &&u8| char::from(**byte).is_digit(radix);
    let length = text[begin..].iter().take(8).take_while(is_digit).count();
    let end = begin + length;
    let semicolon = usize::from(text.get(end) == Some(&b';'));
    Some((character(number(&text[begin..end], radix)?)?, end + semicolon))
}

/// Parses all of `digits` as a number; `None` if empty.
fn number(digits: &[u8], radix: u32) -> Option<u32> {
    let begin = (!digits.is_empty()).then_some(0_u32);
    digits.iter().fold(begin, |number, digit| {
        number?.checked_mul(radix)?.checked_add(char::from(*digit).to_digit(radix)?)
    })
}

fn character(number: u32) -> Option<Vec<u8>> {
    char::from_u32(number).map(|c| c.to_string().into_bytes())
}

/// A base64 digit of either alphabet (RFC 4648, 4 and 5).
fn base64_digit(byte: u8) -> Option<u32> {
    Some(u32::from(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' | b'-' => 62,
        b'/' | b'_' => 63,
        _ => return None,
    }))
}

fn hex_digit(byte: u8) -> Option<u32> {
    char::from(byte).to_digit(16)
}

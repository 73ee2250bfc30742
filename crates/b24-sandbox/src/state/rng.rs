//! Reproducible random values: the same seed gives the same portal.

/// A small seeded generator (`SplitMix64`). Not suitable for secrets, but the sandbox has no real ones.
#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    /// A generator for `seed`. Each `purpose` has its own sequence.
    pub(crate) fn new(seed: u64, purpose: u64) -> Self {
        Self(seed ^ purpose.wrapping_mul(0xD6E8_FEB8_6659_FD93))
    }

    /// The next 64 bits.
    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `limit`; 0 when `limit` is 0.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        let limit = limit as u64;
        // The remainder is less than a `usize`, so it fits.
        usize::try_from(self.roll().checked_rem(limit).unwrap_or(0)).unwrap_or(0)
    }

    /// True once in `n` times.
    pub(crate) fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// One of `choices`; `None` if there are none.
    pub(crate) fn pick<'a, T>(&mut self, choices: &'a [T]) -> Option<&'a T> {
        choices.get(self.below(choices.len()))
    }

    /// `length` lower-case letters and digits.
    pub(crate) fn code(&mut self, length: usize) -> String {
        self.letters(b"abcdefghijklmnopqrstuvwxyz0123456789", length)
    }

    /// `length` hexadecimal digits.
    pub(crate) fn hex(&mut self, length: usize) -> String {
        self.letters(b"0123456789abcdef", length)
    }

    fn letters(&mut self, alphabet: &[u8], length: usize) -> String {
        (0..length).filter_map(|_| self.pick(alphabet)).copied().map(char::from).collect()
    }
}

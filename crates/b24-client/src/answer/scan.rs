//! Finds the structure of a JSON text by its quotes and brackets alone, without parsing the rest.

use std::ops::Range;

/// A list and its items, as ranges of the text.
pub(crate) struct List {
    pub span: Range<usize>,
    pub items: Vec<Range<usize>>,
}

/// A position in a text.
pub(crate) struct Scan<'t> {
    text: &'t [u8],
    at: usize,
}

impl<'t> Scan<'t> {
    pub(crate) fn of(text: &'t [u8]) -> Self {
        Self { text, at: 0 }
    }

    /// The list `result.events`.
    pub(crate) fn events(mut self) -> Option<List> {
        self.at = self.text.iter().position(|byte| *byte == b'{')?;
        self.enter(b"\"result\"")?;
        self.enter(b"\"events\"")?;
        self.list()
    }

    /// Moves from an object to the value of `key` in it.
    fn enter(&mut self, key: &[u8]) -> Option<()> {
        self.eat(b'{')?;
        loop {
            let name = self.value()?;
            self.eat(b':')?;
            if &self.text[name] == key {
                return Some(());
            }
            self.value()?;
            self.eat(b',')?;
        }
    }

    fn list(&mut self) -> Option<List> {
        self.eat(b'[')?;
        let (start, mut items) = (self.at - 1, Vec::new());
        while self.next() != Some(b']') {
            if !items.is_empty() {
                self.eat(b',')?;
            }
            items.push(self.value()?);
        }
        self.eat(b']')?;
        Some(List { span: start..self.at, items })
    }

    /// Skips a value of any kind.
    fn value(&mut self) -> Option<Range<usize>> {
        let first = self.next()?;
        let start = self.at;
        match first {
            b'{' | b'[' => self.pass_brackets()?,
            b'"' => self.pass_string()?,
            _ => self.pass_word(),
        }
        (self.at > start).then_some(start..self.at)
    }

    fn pass_brackets(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            match self.text.get(self.at)? {
                b'"' => {
                    self.pass_string()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return Some(());
            }
        }
    }

    fn pass_string(&mut self) -> Option<()> {
        self.at += 1;
        loop {
            match self.text.get(self.at)? {
                b'"' => break,
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        Some(())
    }

    /// Skips a number, `null` or the like.
    fn pass_word(&mut self) {
        let is_end = |byte: &u8| {
            matches!(byte, b',' | b':' | b'[' | b']' | b'{' | b'}' | b'"') || byte.is_ascii_whitespace()
        };
        self.at += self.text[self.at..].iter().take_while(|byte| !is_end(byte)).count();
    }

    /// The next byte that is not white space.
    fn next(&mut self) -> Option<u8> {
        self.at += self.text[self.at..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        self.text.get(self.at).copied()
    }

    fn eat(&mut self, byte: u8) -> Option<()> {
        (self.next()? == byte).then(|| self.at += 1)
    }
}

//! Parses requests as cheaply as possible, because the receiver is not what this benchmark measures.

use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;

/// Reads the head of a request; `None` when the connection ends.
pub(crate) fn body_length(requests: &mut BufReader<TcpStream>) -> Option<usize> {
    let (mut length, mut line) = (0, String::new());
    loop {
        line.clear();
        if requests.read_line(&mut line).unwrap_or(0) == 0 {
            return None;
        }
        match line.split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse().unwrap();
            }
            None if line.trim().is_empty() => return Some(length),
            _ => {}
        }
    }
}

//! Standard output and standard error, which can be full, non-blocking, or without a reader.

mod queue; // lines for a slow reader
pub mod stderr;

use std::io::{self, ErrorKind};
use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, write};

/// Writes all of `bytes`, at the reader's speed. Another process can make the file non-blocking, because programs that
/// share a terminal or a pipe also share this setting; then poll(2) waits for room, so that nothing is lost and no
/// processor time is wasted. Bypasses the buffers of the standard library, which hold back a part of a line.
///
/// # Errors
/// When the operating system refuses a write; some of `bytes` may have been written by then.
pub fn write_all(file: impl AsFd, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match write(&file, bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => wait_until_writable(&file)?,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn wait_until_writable(file: &impl AsFd) -> io::Result<()> {
    // If the reader is gone, poll(2) returns too, and the next write fails.
    match poll(&mut [PollFd::new(file, PollFlags::OUT)], None) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, pipe};
    use std::thread;

    use rustix::io::ioctl_fionbio;

    use super::*;

    #[test]
    fn a_full_pipe_that_does_not_block_gets_every_byte() {
        let (mut reader, writer) = pipe().unwrap();
        ioctl_fionbio(&writer, true).unwrap();
        let bytes: Vec<u8> = (0..=u8::MAX).cycle().take(1 << 20).collect();
        let expected = bytes.clone();
        let writing = thread::spawn(move || write_all(writer, &bytes));
        let mut read = Vec::new();
        reader.read_to_end(&mut read).unwrap();
        writing.join().unwrap().unwrap();
        assert!(read == expected);
    }

    #[test]
    fn a_reader_that_goes_away_ends_the_wait() {
        let (reader, writer) = pipe().unwrap();
        ioctl_fionbio(&writer, true).unwrap();
        let writing = thread::spawn(move || write_all(writer, &vec![0; 1 << 20]));
        drop(reader);
        assert_eq!(writing.join().unwrap().unwrap_err().kind(), ErrorKind::BrokenPipe);
    }
}

//! A queue of lines for a reader that may be slow, blocked or gone. Pushing a line never blocks.
//!
//! This is not `tracing-appender`: if its writer hangs, dropping its guard takes more than a second and prints an error
//! to standard output, which is reserved for events. It also limits lines instead of bytes.

use std::collections::VecDeque;
use std::mem;
use std::os::fd::AsFd;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::warn;

use super::write_all;
use crate::log_code;

/// How many bytes may wait for the reader before lines are dropped: about ten thousand lines.
const BYTES_MAX: usize = 4 << 20;

/// The memory of a line in addition to its bytes.
const LINE_BYTES: usize = 64;

/// The size of one write. A pipe takes it as one piece, so that lines of other writers do not come in between.
const CHUNK_BYTES: usize = 4096;

/// How long the exit may wait for the reader.
const FLUSH_MAX: Duration = Duration::from_secs(1);

/// A reader that has read nothing for this time is not waited for.
const STUCK_AFTER: Duration = Duration::from_millis(500);

/// A queue of lines with a limited size.
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    /// The time at which the writer began its current chunk.
    busy_since: Option<Instant>,
    /// Dropped lines that are not reported yet.
    unreported: u64,
    dropped: u64,
}

impl State {
    fn is_written(&self) -> bool {
        self.lines.is_empty() && self.busy_since.is_none()
    }

    fn add(&mut self, line: Vec<u8>) {
        self.bytes += line.len() + LINE_BYTES;
        self.lines.push_back(line);
    }

    fn drop_lines(&mut self, count: u64) {
        self.unreported += count;
        self.dropped += count;
    }

    /// The next lines as one chunk, and their number.
    fn take_chunk(&mut self) -> (Vec<u8>, u64) {
        let (mut chunk, mut count) = (Vec::new(), 0);
        while let Some(line) = self.lines.front()
            && (count == 0 || chunk.len() + line.len() <= CHUNK_BYTES)
        {
            self.bytes -= line.len() + LINE_BYTES;
            chunk.extend(line);
            count += 1;
            self.lines.pop_front();
        }
        (chunk, count)
    }
}

impl Queue {
    /// An empty queue.
    pub(super) const fn new() -> Self {
        let state = State { lines: VecDeque::new(), bytes: 0, busy_since: None, unreported: 0, dropped: 0 };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Adds `line`. If there is no room, it is dropped and counted. Then all lines are dropped until the reader has
    /// read half of the queue, so that there is one gap instead of many.
    pub(super) fn push(&self, line: Vec<u8>) {
        let mut state = self.state();
        let bytes_max = if state.unreported > 0 { BYTES_MAX / 2 } else { BYTES_MAX };
        if state.bytes + line.len() > bytes_max {
            state.drop_lines(1);
        } else {
            state.add(line);
            self.changed.notify_all();
        }
    }

    /// Adds `line` even if there is no room, and waits until it is written.
    pub(super) fn write(&self, line: Vec<u8>) {
        let mut state = self.state();
        state.add(line);
        self.changed.notify_all();
        while !state.is_written() {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits until everything is written, for a limited time, and not for a blocked reader.
    pub(super) fn finish(&self) {
        let deadline = Instant::now() + FLUSH_MAX;
        let mut state = self.state();
        while !state.is_written() {
            let now = Instant::now();
            let busy = state.busy_since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
            let patience = STUCK_AFTER.saturating_sub(busy).min(deadline.saturating_duration_since(now));
            if patience.is_zero() {
                return;
            }
            state = self.changed.wait_timeout(state, patience).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// How many lines were dropped so far.
    pub(super) fn dropped(&self) -> u64 {
        self.state().dropped
    }

    /// Writes the queued lines to `file`. Never returns.
    pub(super) fn drain(&self, file: impl AsFd) -> ! {
        loop {
            let (chunk, count) = self.next_chunk();
            match write_all(&file, &chunk) {
                Ok(()) => self.report_dropped(),
                // There is no reader, or its disk is full. There is no place to report the error.
                Err(_) => self.state().drop_lines(count),
            }
        }
    }

    fn next_chunk(&self) -> (Vec<u8>, u64) {
        let mut state = self.state();
        state.busy_since = None;
        self.changed.notify_all();
        while state.lines.is_empty() {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.busy_since = Some(Instant::now());
        state.take_chunk()
    }

    /// Reports the number of dropped lines when there is a reader and room again.
    fn report_dropped(&self) {
        let lines = {
            let mut state = self.state();
            if state.bytes > BYTES_MAX / 2 { 0 } else { mem::take(&mut state.unreported) }
        };
        if lines > 0 {
            warn!(code = %log_code::LOG_LINES_DROPPED, lines, "log lines were dropped: standard error was not read for a while");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, PipeReader, pipe};
    use std::thread;

    use super::*;

    /// A queue whose writer fills a pipe.
    fn piped() -> (&'static Queue, PipeReader) {
        let queue: &Queue = Box::leak(Box::new(Queue::new()));
        let (reader, writer) = pipe().unwrap();
        thread::spawn::<_, ()>(move || queue.drain(writer));
        (queue, reader)
    }

    fn line(number: usize) -> Vec<u8> {
        format!("{number:0>200}\n").into()
    }

    #[test]
    fn a_reader_who_reads_gets_every_line_in_order() {
        let (queue, reader) = piped();
        (0..1000).for_each(|number| queue.push(line(number)));
        for (number, read) in BufReader::new(reader).split(b'\n').take(1000).enumerate() {
            assert_eq!([read.unwrap(), b"\n".to_vec()].concat(), line(number));
        }
        assert_eq!(queue.dropped(), 0);
    }

    #[test]
    fn a_stuck_reader_costs_lines_and_nobody_any_time() {
        let (queue, reader) = piped();
        let count = 2 * BYTES_MAX / 200;
        (0..count).for_each(|number| queue.push(line(number)));
        let dropped = queue.dropped();
        assert!(dropped > 0 && queue.state().bytes <= BYTES_MAX);
        queue.finish();
        assert!(!queue.state().is_written(), "the end comes all the same");
        // The kept lines are complete and without a gap.
        let kept = count - usize::try_from(dropped).unwrap();
        for (number, read) in BufReader::new(reader).split(b'\n').take(kept).enumerate() {
            assert_eq!([read.unwrap(), b"\n".to_vec()].concat(), line(number));
        }
    }

    #[test]
    fn the_last_lines_are_written_before_the_end() {
        let (queue, reader) = piped();
        let reading = thread::spawn(move || BufReader::new(reader).split(b'\n').take(1000).count());
        (0..1000).for_each(|number| queue.push(line(number)));
        queue.finish();
        assert!(queue.state().is_written());
        assert_eq!(reading.join().unwrap(), 1000);
    }

    #[test]
    fn lines_for_nobody_are_counted() {
        let (queue, reader) = piped();
        drop(reader);
        queue.push(line(1));
        queue.write(line(2));
        assert_eq!(queue.dropped(), 2);
    }
}

//! Standard error. A single thread writes it, so that a slow reader cannot block other threads (G9) and no line is
//! split.

use std::io;
use std::sync::LazyLock;
use std::thread;

use super::queue::Queue;
use super::write_all;

static QUEUE: Queue = Queue::new();

/// Whether the writer thread is running.
static HAS_WRITER: LazyLock<bool> = LazyLock::new(|| {
    let writer = thread::Builder::new().name("stderr".into());
    writer.spawn::<_, ()>(|| QUEUE.drain(io::stderr())).is_ok()
});

/// Writes `line` when the reader has room, and drops it if too many lines wait. Never blocks.
pub fn log(line: Vec<u8>) {
    if *HAS_WRITER {
        QUEUE.push(line);
    } else {
        write_here(&line);
    }
}

/// Writes `text` for a waiting user after the queued log lines, and waits for the reader.
pub fn write(text: &str) {
    if *HAS_WRITER {
        QUEUE.write(text.into());
    } else {
        write_here(text.as_bytes());
    }
}

/// Gives the reader up to a second to take the last lines before the process ends. Does not wait for a blocked reader.
pub fn finish() {
    QUEUE.finish();
}

/// How many lines were dropped because the reader was too slow or gone.
pub fn dropped_lines() -> u64 {
    QUEUE.dropped()
}

fn write_here(bytes: &[u8]) {
    // If there is no reader, there is no other place to report the error.
    write_all(io::stderr(), bytes).ok();
}

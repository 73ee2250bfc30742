//! Standard error: one thread writes it, so that no reader of it can stop anybody else (G9), and no line is torn.

use std::io;
use std::sync::LazyLock;
use std::thread;

use super::queue::Queue;
use super::write_all;

static QUEUE: Queue = Queue::new();

/// Whether there is a thread that writes.
static HAS_WRITER: LazyLock<bool> = LazyLock::new(|| {
    let writer = thread::Builder::new().name("stderr".into());
    writer.spawn::<_, ()>(|| QUEUE.drain(io::stderr())).is_ok()
});

/// Writes `line` as soon as the reader takes it; drops it when too many lines wait for the reader. Never waits.
pub fn log(line: Vec<u8>) {
    if *HAS_WRITER {
        QUEUE.push(line);
    } else {
        write_here(&line);
    }
}

/// Writes `text` for a person who waits for it, behind what was logged, and waits for the reader.
pub fn write(text: &str) {
    if *HAS_WRITER {
        QUEUE.write(text.into());
    } else {
        write_here(text.as_bytes());
    }
}

/// Lets the reader take the last lines before this process ends: for a second at most, and not when the reader is
/// stuck.
pub fn finish() {
    QUEUE.finish();
}

/// How many lines were dropped, because the reader did not take them or was gone.
pub fn dropped_lines() -> u64 {
    QUEUE.dropped()
}

fn write_here(bytes: &[u8]) {
    // When nobody reads it, there is no other place to say so.
    write_all(io::stderr(), bytes).ok();
}

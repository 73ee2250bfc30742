//! The memory and the descriptors of a process over time, and whether they grow.

use std::fmt::{self, Display, Formatter};
use std::fs;

/// Growth up to a tenth plus this amount counts as flat.
const MEMORY_SLACK_KIB: u64 = 2048;
const DESCRIPTOR_SLACK: u64 = 2;

/// The number of intervals in the table.
const PARTS: usize = 10;

/// One sample of a process.
#[derive(Clone, Copy)]
pub(crate) struct Sample {
    pub memory_kib: u64,
    pub descriptors: u64,
}

impl Sample {
    /// The current values of the process `id`.
    pub(crate) fn of(id: u32) -> Self {
        let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let memory_kib = line.trim().trim_end_matches("kB").trim().parse().unwrap();
        let descriptors = fs::read_dir(format!("/proc/{id}/fd")).unwrap().count() as u64;
        Self { memory_kib, descriptors }
    }
}

/// All samples of one process, in order.
#[derive(Default)]
pub(crate) struct ResourceUsage(pub Vec<Sample>);

impl ResourceUsage {
    /// The reasons why this is not flat: the last third uses more than the first third.
    pub(crate) fn growth(&self) -> Vec<String> {
        let third = self.0.len().div_ceil(3);
        let (first, last) = (&self.0[..third], &self.0[self.0.len() - third..]);
        let grown = |name, slack, figure: fn(&Sample) -> u64| {
            let (before, after) = (spread(first, figure).median, spread(last, figure).median);
            (after > before + before / 10 + slack)
                .then(|| format!("{name}: {before} at first, {after} at last"))
        };
        let memory = grown("memory in KiB", MEMORY_SLACK_KIB, |sample| sample.memory_kib);
        let descriptors = grown("descriptors", DESCRIPTOR_SLACK, |sample| sample.descriptors);
        memory.into_iter().chain(descriptors).collect()
    }
}

/// A table with one line for each tenth of the time.
impl Display for ResourceUsage {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:8}{:>24}{:>24}", "", "memory, KiB", "descriptors")?;
        writeln!(
            f,
            "{:8}{:>8}{:>8}{:>8}{:>8}{:>8}{:>8}",
            "tenth", "min", "median", "max", "min", "median", "max"
        )?;
        for (part, samples) in self.0.chunks(self.0.len().div_ceil(PARTS)).enumerate() {
            let memory = spread(samples, |sample| sample.memory_kib);
            let descriptors = spread(samples, |sample| sample.descriptors);
            writeln!(f, "{:<8}{memory}{descriptors}", part + 1)?;
        }
        Ok(())
    }
}

struct Spread {
    min: u64,
    median: u64,
    max: u64,
}

impl Display for Spread {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{:>8}{:>8}{:>8}", self.min, self.median, self.max)
    }
}

/// The spread of one value over `samples`, which must not be empty.
fn spread(samples: &[Sample], figure: fn(&Sample) -> u64) -> Spread {
    let mut metrics: Vec<u64> = samples.iter().map(figure).collect();
    metrics.sort_unstable();
    Spread { min: metrics[0], median: metrics[metrics.len() / 2], max: metrics[metrics.len() - 1] }
}

#[test]
fn growth_is_told_from_noise() {
    let usage = |memory_kib: fn(u64) -> u64, descriptors: fn(u64) -> u64| {
        let sample = |at| Sample { memory_kib: memory_kib(at), descriptors: descriptors(at) };
        ResourceUsage((0..90).map(sample).collect())
    };
    assert_eq!(usage(|at| 20_000 + at % 7 * 1000, |_| 12).growth(), [""; 0]);
    assert_eq!(usage(|_| 20_000, |at| 12 + at / 60).growth(), [""; 0], "one more");
    // 70 KiB for each of 90 samples: 4,200 from the middle of the first third to the middle of the last.
    assert_eq!(
        usage(|at| 20_000 + at * 70, |_| 12).growth(),
        ["memory in KiB: 21050 at first, 25250 at last"]
    );
    assert_eq!(usage(|_| 20_000, |at| 12 + at / 10).growth(), ["descriptors: 13 at first, 19 at last"]);
    let own = Sample::of(std::process::id());
    assert!(own.memory_kib > 0 && own.descriptors > 2);
}

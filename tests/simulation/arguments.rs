//! The arguments of the simulation. Arguments for other test targets are ignored.

/// How many seeds a test run tries.
const SEEDS: u64 = 10_000;

/// The arguments.
pub(crate) struct Arguments {
    pub seed: Option<u64>,
    pub from: u64,
    pub count: u64,
    pub is_traced: bool,
    pub is_list: bool,
}

impl Arguments {
    /// Parses `arguments`; `cargo test` passes the same ones to every target.
    pub(crate) fn read(mut arguments: impl Iterator<Item = String>) -> Self {
        let mut read = Self { seed: None, from: 1, count: SEEDS, is_traced: false, is_list: false };
        let (mut filters, mut takes_all) = (Vec::new(), true);
        while let Some(argument) = arguments.next() {
            let mut number = || {
                let text = arguments.next().unwrap_or_default();
                text.parse().unwrap_or_else(|_| panic!("`{argument}` wants a number, not `{text}`"))
            };
            match argument.as_str() {
                "--seed" => read.seed = Some(number()),
                "--seeds" => read.count = number(),
                "--from" => read.from = number(),
                "--trace" => read.is_traced = true,
                "--list" => read.is_list = true,
                "--ignored" => takes_all = false,
                "--test-threads" | "--skip" | "--format" | "--color" | "--logfile" | "-Z" => {
                    arguments.next();
                }
                option if option.starts_with('-') => {}
                filter => filters.push(filter.to_owned()),
            }
        }
        let is_meant =
            filters.is_empty() || filters.iter().any(|filter| "simulation".contains(filter.as_str()));
        if !is_meant || !takes_all {
            (read.count, read.seed, read.is_list) = (0, None, false);
        }
        read
    }
}

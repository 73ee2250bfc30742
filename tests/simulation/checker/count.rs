//! Counts the incidents in all worlds: a simulation without incidents proves nothing.

use std::fmt;
use std::ops::AddAssign;

macro_rules! count {
    ($($name:ident: $least:literal, $words:literal;)*) => {
        /// How often each kind of incident happened.
        #[derive(Clone, Copy, Default, Debug)]
        pub(crate) struct Count {
            $(pub $name: u64,)*
        }

        impl AddAssign for Count {
            fn add_assign(&mut self, other: Self) {
                $(self.$name += other.$name;)*
            }
        }

        impl fmt::Display for Count {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let parts = [$((self.$name, $words),)*];
                let parts: Vec<String> = parts.iter().map(|(count, words)| format!("{count} {words}")).collect();
                f.write_str(&parts.join(", "))
            }
        }

        impl Count {
            /// The kinds of incidents that happened too rarely in `seeds` worlds to count as tested.
            pub(crate) fn too_rare(&self, seeds: u64) -> Vec<String> {
                let parts = [$((self.$name, $least, $words),)*];
                let rare = parts.iter().filter(|(count, least, _)| *count < least * seeds / 10_000);
                rare.map(|(count, least, words)| format!("{count} {words}, at least {least} of ten thousand worlds")).collect()
            }
        }
    };
}

count! {
    lives: 30_000, "lives";
    crashes: 10_000, "crashes";
    stops: 3_000, "stops";
    drains: 10_000, "drains";
    mode_switches: 1_000, "mode switches";
    reloads: 5_000, "reloads";
    reloads_applied: 3_000, "applied";
    reloads_refused: 1_000, "refused";
    reloads_cut: 300, "cut short";
    turns: 30_000, "turns of a source";
    polls: 100_000, "polls";
    refusals: 10_000, "refusals";
    lost_answers: 5_000, "answers lost";
    deliveries: 500_000, "deliveries";
    redeliveries: 5_000, "redeliveries";
    retries: 50_000, "failed attempts";
    rejected: 5_000, "dead letters";
    filtered: 5_000, "filtered";
    expired: 500, "expired";
    late: 10_000, "late ids";
    stolen_unread: 500, "stolen unread";
    stolen_read: 100, "stolen after reading";
    thefts_told: 50, "thefts reported";
    disk_failures: 5_000, "disk failures";
    sinks_removed: 300, "sinks removed";
    sinks_returned: 100, "sinks put back";
    sinks_forgotten: 100, "sinks forgotten";
    offsets_set: 100, "offsets set";
    restores: 500, "restores of a portal";
    proofs: 100, "answers that prove one";
    generations: 100, "generations begun";
    jumps: 1_000, "jumps of the clock";
    slow_writes: 10_000, "slow writes";
    crashes_in_writes: 200, "crashes in the midst of them";
    spread_turns: 300, "turns with three sinks at three places";
}

//! The text of a configuration with one source and one sink.

use crate::cli::init::destination::{Destination, quoted};
use crate::cli::init::place::{Place, WEBHOOK};

/// The configuration in `place` that delivers to `destination`.
pub(super) fn of(place: &Place, destination: &Destination) -> String {
    let beside = |name: &str| place.secret_key(name);
    let header = "# Written by `b24relay init`. `b24relay config` prints every key.\n\n";
    format!("{header}{}", text(&place.state(), &beside(WEBHOOK), &destination.table(beside)))
}

/// The smallest configuration that works.
pub(in crate::cli) fn minimal() -> String {
    let archive = Destination::File { path: "./events.jsonl".to_owned() };
    text("./b24relay.db", WEBHOOK, &archive.table(str::to_owned))
}

fn text(state: &str, webhook_url_file: &str, sink: &str) -> String {
    let line = |key: &str, value: &str, comment: &str| {
        let given = if key.is_empty() { value.to_owned() } else { format!("{key} = {}", quoted(value)) };
        format!("{given:<38} # {comment}\n")
    };
    [
        line("state", state, "events that a sink lacks, and the position of each sink"),
        "\n".to_owned(),
        line("", "[sources.support]", "the name is yours; keep it"),
        line("webhook_url_file", webhook_url_file, "a file that holds only the URL, mode 600"),
        "\n".to_owned(),
        sink.to_owned(),
    ]
    .concat()
}

//! Parses the text below a command's options in `--help` into paragraphs, lists of exit codes, and titled blocks. Pure.

/// One part of the text.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Note<'a> {
    Paragraph(String),
    /// Lines that are shown unchanged under a title such as `Examples`.
    Block {
        title: &'a str,
        lines: Vec<&'a str>,
    },
    /// The meaning of each exit code; `of` names the command if the codes are not those of the whole page.
    ExitCodes {
        of: Option<&'a str>,
        codes: Vec<(&'a str, &'a str)>,
    },
}

/// Splits the text into its parts, which empty lines separate.
pub(super) fn parse(text: &str) -> Vec<Note<'_>> {
    text.split("\n\n").map(str::trim_end).filter(|part| !part.is_empty()).map(part).collect()
}

fn part(text: &str) -> Note<'_> {
    if let Some((title, block)) = text.split_once(":\n  ") {
        let lines = block.lines().map(|line| line.strip_prefix("  ").unwrap_or(line));
        return Note::Block { title, lines: lines.collect() };
    }
    let exit_codes = text.strip_prefix("Exit codes").and_then(|rest| rest.split_once(": "));
    match exit_codes {
        Some((of, codes)) => {
            let of = of.strip_prefix(" of ").map(|of| of.trim_matches('`'));
            Note::ExitCodes { of, codes: split(codes) }
        }
        None => Note::Paragraph(text.lines().collect::<Vec<_>>().join(" ")),
    }
}

/// Splits `0 clean, 64 usage.` into its parts; a comma or semicolon within a meaning does not separate.
fn split(codes: &str) -> Vec<(&str, &str)> {
    let is_code = |rest: &str| rest.starts_with(|first: char| first.is_ascii_digit());
    let mut parts = Vec::new();
    let mut rest = codes.trim_end_matches('.');
    while !rest.is_empty() {
        let mut ends = rest.match_indices([',', ';']).map(|(at, _)| at);
        let end = ends.find(|at| is_code(rest[at + 1..].trim_start())).unwrap_or(rest.len());
        parts.extend(rest[..end].split_once(' '));
        rest = rest[end..].trim_start_matches([',', ';', ' ']);
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_taken_apart() {
        let text = "Two\nlines.\n\nSignals:\n  TERM  stop: now\n    more\n\nTo restore: stop.\n\n\
                    Exit codes of `check`: 0 sound, 74 damaged, or\nunreadable; 78 new.";
        assert_eq!(
            parse(text),
            [
                Note::Paragraph("Two lines.".into()),
                Note::Block { title: "Signals", lines: vec!["TERM  stop: now", "  more"] },
                Note::Paragraph("To restore: stop.".into()),
                Note::ExitCodes {
                    of: Some("check"),
                    codes: vec![("0", "sound"), ("74", "damaged, or\nunreadable"), ("78", "new")]
                },
            ]
        );
        assert_eq!(parse(""), []);
    }
}

//! The consistency of the documents: links are valid, pages are short and narrow, and both languages show the same
//! code.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::process::relay::{code, output, stderr, stdout};

const README_LINES_MAX: usize = 150;
const COLUMNS_MAX: usize = 110;

/// The pages in Russian, and the English pages with the same code, in this order.
const TRANSLATIONS: [(&str, &[&str]); 5] = [
    ("README.ru.md", &["README.md"]),
    ("docs/ru/quick-start.md", &["docs/guide/quick-start.md"]),
    ("docs/ru/messengers.md", &["docs/guide/messengers.md"]),
    ("docs/ru/filters.md", &["docs/guide/filters.md"]),
    ("docs/ru/webhook-sink.md", &["docs/guide/webhook-sink.md", "docs/guide/verify-signatures.md"]),
];

/// Pages whose first blocks of TOML form a complete configuration, the number of those blocks, and the portal.
const CONFIGURATIONS: [(&str, usize, &str); 3] = [
    ("README.md", 1, "b24.example.org"),
    ("docs/guide/quick-start.md", 2, "b24.example.org"),
    ("docs/ru/box-portal.md", 1, "portal.example.com"),
];

/// Folders without documents of the project.
const SKIPPED: [&str; 3] = ["target", "node_modules", "corpus"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every Markdown file below `folder`, except in hidden folders.
fn documents(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && !name.starts_with('.') && !SKIPPED.contains(&name) {
            found.extend(documents(&path));
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
    found
}

/// A fenced block: its language, and its lines.
type Block<'a> = (&'a str, Vec<&'a str>);

/// The prose of a document, and its fenced blocks.
fn parts(text: &str) -> (Vec<&str>, Vec<Block<'_>>) {
    let (mut prose, mut blocks, mut is_open) = (Vec::new(), Vec::<Block<'_>>::new(), false);
    for line in text.lines() {
        match (line.trim_start().strip_prefix("```"), is_open) {
            (Some(language), false) => blocks.push((language, Vec::new())),
            (None, true) => blocks.last_mut().unwrap().1.push(line),
            (None, false) => prose.push(line),
            (Some(_), true) => {}
        }
        is_open ^= line.trim_start().starts_with("```");
    }
    assert!(!is_open, "a fence is not closed");
    (prose, blocks)
}

/// The valid link targets within `text`: its headings, as forges name them, and explicit anchors.
pub(crate) fn anchors(text: &str) -> Vec<String> {
    let (prose, _) = parts(text);
    let headings = prose.into_iter().filter(|line| line.starts_with('#')).map(|line| {
        let words = line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
        words.chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_')).collect::<String>()
    });
    let named = text.split("<a id=\"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned());
    headings.chain(named).collect()
}

/// The targets of the links in `text`.
fn links(text: &str) -> Vec<&str> {
    text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()).collect()
}

/// The functions that `text` names, each with the target of the last link before it.
fn functions(text: &str) -> Vec<(&str, &str)> {
    let (mut file, mut found) = ("", Vec::new());
    for (at, part) in text.split('`').enumerate() {
        if at % 2 == 0 {
            file = links(part).pop().unwrap_or(file);
        } else if let Some(name) = part.strip_suffix("()") {
            found.push((file, name));
        }
    }
    found
}

/// Whether `link` in `document` with `text` has a valid target in the repository.
fn leads_somewhere(document: &Path, text: &str, link: &str) -> bool {
    let (file, anchor) = link.split_once('#').map_or((link, None), |(file, anchor)| (file, Some(anchor)));
    let target = if file.is_empty() { document.to_path_buf() } else { document.parent().unwrap().join(file) };
    let has = |text: &str, anchor| anchors(text).iter().any(|known| known == anchor);
    match anchor {
        None => target.exists(),
        Some(anchor) if file.is_empty() => has(text, anchor),
        Some(anchor) => fs::read_to_string(&target).is_ok_and(|text| has(&text, anchor)),
    }
}

/// The blocks of code in `text`, without comments and diagrams.
fn samples(text: &str) -> Vec<String> {
    let (_, blocks) = parts(text);
    let code = blocks.into_iter().filter(|(language, _)| *language != "text");
    let bare = code.map(|(language, lines)| {
        let lines = lines.into_iter().map(|line| without_comment(language, line).trim_end().to_owned());
        format!("{language}\n{}", lines.collect::<Vec<_>>().join("\n"))
    });
    bare.collect()
}

/// A comment starts a line or follows white space.
fn without_comment<'a>(language: &str, line: &'a str) -> &'a str {
    let mark = if matches!(language, "js" | "php") { "//" } else { "#" };
    let is_comment = |at: &usize| *at == 0 || line[..*at].ends_with(' ');
    line.match_indices(mark).map(|(at, _)| at).find(is_comment).map_or(line, |at| &line[..at])
}

/// The configuration keys in the prose of `text`.
fn keys(text: &str, known: &BTreeSet<String>) -> BTreeSet<String> {
    let prose = parts(text).0.join("\n");
    let spans = prose.split('`').skip(1).step_by(2).map(|span| span.split(" = ").next().unwrap().to_owned());
    spans.filter(|span| known.contains(span.rsplit('.').next().unwrap())).collect()
}

/// The keys in the first column of the configuration page.
fn known_keys() -> BTreeSet<String> {
    let page = read("docs/reference/configuration.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
    rows.flat_map(|cell| cell.split('`').step_by(2)).filter(|key| *key != ", ").map(str::to_owned).collect()
}

#[test]
fn every_link_of_the_documents_leads_somewhere() {
    let mut broken = Vec::new();
    for document in documents(&root()) {
        let text = fs::read_to_string(&document).unwrap();
        let inner = links(&text).into_iter().filter(|link| !link.contains("://"));
        let lost = inner.filter(|link| !leads_somewhere(&document, &text, link));
        broken.extend(lost.map(|link| format!("{}: {link}", document.display())));
    }
    assert!(broken.is_empty(), "these links lead nowhere:\n{}", broken.join("\n"));
}

#[test]
fn each_function_that_a_page_of_internals_names_is_in_its_file() {
    let folder = root().join("docs/internals");
    let page = fs::read_to_string(folder.join("find-it.md")).unwrap();
    let named = functions(&page);
    assert!(named.len() > 10, "{named:?}");
    for (file, name) in named {
        let code = fs::read_to_string(folder.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        let is_there = ["(", "<"].iter().any(|rest| code.contains(&format!("fn {name}{rest}")));
        assert!(is_there, "docs/internals/find-it.md: `{name}()` is not in {file}");
    }
}

#[test]
fn each_page_of_the_manual_is_in_its_index() {
    let (index, folder) = (read("docs/README.md"), root().join("docs"));
    let linked: BTreeSet<PathBuf> =
        links(&index).into_iter().filter_map(|link| folder.join(link).canonicalize().ok()).collect();
    for page in documents(&folder).into_iter().filter(|page| *page != folder.join("README.md")) {
        assert!(linked.contains(&page.canonicalize().unwrap()), "docs/README.md lacks {}", page.display());
    }
}

#[test]
fn the_readme_stays_an_introduction() {
    for readme in ["README.md", "README.ru.md"] {
        let lines = read(readme).lines().count();
        assert!(
            lines <= README_LINES_MAX,
            "{readme} has {lines} lines, at most {README_LINES_MAX}: move some to docs/"
        );
    }
}

#[test]
fn prose_is_wrapped() {
    let mut wide = Vec::new();
    for document in documents(&root()) {
        let text = fs::read_to_string(&document).unwrap();
        let may_be_wide = |line: &str| line.trim_start().starts_with('|') || line.starts_with("![");
        let lines = parts(&text).0.into_iter().filter(|line| line.chars().count() > COLUMNS_MAX);
        wide.extend(
            lines.filter(|line| !may_be_wide(line)).map(|line| format!("{}: {line}", document.display())),
        );
    }
    assert!(wide.is_empty(), "wrap these lines at about 100 columns:\n{}", wide.join("\n"));
}

#[test]
fn both_languages_show_the_same_code() {
    for (translation, originals) in TRANSLATIONS {
        let expected: Vec<String> = originals.iter().flat_map(|page| samples(&read(page))).collect();
        let shown = samples(&read(translation));
        for (shown, expected) in shown.iter().zip(&expected) {
            assert_eq!(shown, expected, "{translation} differs from {originals:?}");
        }
        assert_eq!(shown.len(), expected.len(), "{translation} lacks a sample of {originals:?}");
    }
}

#[test]
fn both_languages_name_the_same_keys() {
    let known = known_keys();
    assert!(known.contains("webhook_url_file") && known.contains("give_up"), "{known:?}");
    for (translation, originals) in TRANSLATIONS {
        let original: String = originals.iter().map(|page| read(page)).collect();
        assert_eq!(
            keys(&read(translation), &known),
            keys(&original, &known),
            "{translation} and {originals:?}"
        );
    }
}

#[test]
fn the_first_configurations_of_a_reader_are_right() {
    for (page, count, portal) in CONFIGURATIONS {
        let (text, folder) = (read(page), tempfile::tempdir().unwrap());
        let blocks = parts(&text).1.into_iter().filter(|(language, _)| *language == "toml").take(count);
        let configuration = blocks.flat_map(|(_, lines)| lines).collect::<Vec<_>>().join("\n");
        for (file, content) in [
            ("b24relay.toml", configuration),
            ("support.url", format!("https://{portal}/rest/12/abcdef123456/")),
            ("crm.url", "https://crm.example.org/hooks/b24".to_owned()),
            ("crm.secrets", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned()),
        ] {
            fs::write(folder.path().join(file), content).unwrap();
        }
        let checked = output(&["check", "--no-network"], folder.path());
        assert_eq!(code(&checked), 0, "{page}: {}{}", stdout(&checked), stderr(&checked));
    }
}

#[test]
fn parts_of_a_document_are_told_apart() {
    assert_eq!(anchors("## Sink held\n<a id=\"x\"></a>\n```sh\n# no heading\n```"), ["sink-held", "x"]);
    assert_eq!(anchors("## Портал отказывает"), ["портал-отказывает"]);
    assert_eq!(links("[a](b.md#c) and [d](https://e)"), ["b.md#c", "https://e"]);
    assert_eq!(functions("[`a`](a.rs): `b()` or `c`, `d()`"), [("a.rs", "b"), ("a.rs", "d")]);
    let text =
        "a\n```toml\nurl = \"https://h/#a\"  # here\n```\n```text\npicture\n```\n`b.give_up = 1` and `c`";
    assert_eq!(samples(text), ["toml\nurl = \"https://h/#a\""]);
    assert_eq!(samples("```js\nf(\"https://h\"); // here\n```"), ["js\nf(\"https://h\");"]);
    assert_eq!(keys(text, &BTreeSet::from(["give_up".to_owned()])), BTreeSet::from(["b.give_up".to_owned()]));
}

//! Where the events go. A further kind of destination is a variant of [`Kind`] and of [`Destination`]: the compiler
//! then names all places to extend.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::cli::exit::UsageError;
use crate::cli::init::input;
use crate::cli::init::place::Place;
use crate::cli::init::questions::Questions;
use crate::cli::output::print::remark;
use crate::cli::secret;
use crate::config::{SecretUrl, token_of_file};

#[derive(Debug, Args)]
#[command(next_help_heading = "Destination")]
pub(super) struct DestinationArgs {
    /// Where the events go [default with --yes: file]
    #[arg(long, value_enum, value_name = "KIND")]
    sink: Option<Kind>,
    /// The file that events are appended to; means --sink file
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,
    /// The address that events are posted to; means --sink webhook. Other users of this machine can see it in the
    /// list of processes
    #[arg(long, value_name = "URL", conflicts_with_all = ["file", "url_file"])]
    url: Option<String>,
    /// A file with that address
    #[arg(long, value_name = "FILE", conflicts_with = "file")]
    url_file: Option<PathBuf>,
}

impl DestinationArgs {
    fn kind(&self) -> Result<Option<Kind>, UsageError> {
        let has_url = self.url.is_some() || self.url_file.is_some();
        let meant = match (&self.file, has_url) {
            (Some(_), _) => Some(Kind::File),
            (None, true) => Some(Kind::Webhook),
            (None, false) => None,
        };
        match (self.sink, meant) {
            (Some(given), Some(meant)) if given != meant => Err(UsageError(format!(
                "`--sink {}` does not go with the flags for `--sink {}`: leave one out",
                given.word(),
                meant.word()
            ))),
            (given, meant) => Ok(given.or(meant)),
        }
    }

    /// Refuses flags of several kinds, before anything is asked.
    pub(super) fn refuse_contradiction(&self) -> Result<(), UsageError> {
        self.kind().map(drop)
    }

    /// The missing flag, without a terminal to ask on.
    pub(super) fn missing(&self, takes_defaults: bool) -> Option<&'static str> {
        let has_url = self.url.is_some() || self.url_file.is_some();
        match self.kind() {
            Ok(Some(Kind::Webhook)) if !has_url => Some("`--url URL` or `--url-file FILE`"),
            Ok(None) if !takes_defaults => Some("`--sink file|webhook|stdout`"),
            Ok(_) | Err(_) => None,
        }
    }
}

/// The kinds of destinations, in the order in which they are offered; the first is the default.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Kind {
    /// A line of JSON for each event, appended to a file
    File,
    /// A signed POST request for each event, to an address of yours
    Webhook,
    /// A line of JSON for each event, on standard output
    Stdout,
}

impl Kind {
    fn word(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    fn help(self) -> String {
        let value = self.to_possible_value();
        value.and_then(|value| value.get_help().map(ToString::to_string)).unwrap_or_default()
    }

    /// The kind that `answer` names, by its number in the list or by its word.
    fn of_answer(answer: &str) -> Option<Self> {
        let by_number = answer.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
        let by_number = by_number.and_then(|at| Self::value_variants().get(at).copied());
        by_number.or_else(|| Self::from_str(answer, true).ok())
    }
}

/// A destination with everything it needs.
pub(super) enum Destination {
    File { path: String },
    Webhook { url: SecretUrl, secret: String },
    Stdout,
}

/// A file beside the configuration, which only its owner can read.
pub(super) struct SecretFile {
    pub name: &'static str,
    pub text: String,
}

impl Destination {
    /// The table of the configuration. `beside` gives the path of a file with a secret.
    pub(super) fn table(&self, beside: impl Fn(&str) -> String) -> String {
        match self {
            Self::File { path } => format!("[sinks.archive]\ntype = \"file\"\npath = {}\n", quoted(path)),
            Self::Webhook { .. } => format!(
                "[sinks.crm]\ntype = \"webhook\"\nurl_file = {}\nsecrets_file = {}\n",
                quoted(&beside("crm.url")),
                quoted(&beside("crm.secrets"))
            ),
            Self::Stdout => "[sinks.console]\ntype = \"stdout\"\n".to_owned(),
        }
    }

    /// The secrets that the table names.
    pub(super) fn secrets(&self) -> Vec<SecretFile> {
        match self {
            Self::File { .. } | Self::Stdout => Vec::new(),
            Self::Webhook { url, secret } => vec![
                SecretFile { name: "crm.url", text: format!("{}\n", url.expose()) },
                SecretFile { name: "crm.secrets", text: format!("{secret}\n") },
            ],
        }
    }

    /// A hint for the operator.
    pub(super) fn advice(&self, place: &Place) -> String {
        match self {
            Self::File { path } => format!("Events go to `{path}`."),
            Self::Webhook { url, .. } => format!(
                "Events go to {}. The receiver verifies their signature with the secret in `{}`.",
                url.authority(),
                place.secret("crm.secrets").display()
            ),
            Self::Stdout => "Events go to standard output.".to_owned(),
        }
    }
}

/// `text` as a string of TOML: what JSON escapes is escaped in the same way there.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Takes the destination from the flags, and asks for the rest.
pub(super) async fn choose(
    args: &DestinationArgs,
    place: &Place,
    questions: &Questions<'_>,
) -> anyhow::Result<Destination> {
    let kind = match args.kind()? {
        Some(kind) => kind,
        None => ask_kind(questions).await?,
    };
    Ok(match kind {
        Kind::File => Destination::File { path: path(args, place, questions).await? },
        Kind::Webhook => Destination::Webhook { url: url(args, questions).await?, secret: secret::shared()? },
        Kind::Stdout => Destination::Stdout,
    })
}

async fn ask_kind(questions: &Questions<'_>) -> anyhow::Result<Kind> {
    if questions.takes_defaults() {
        return Ok(Kind::File);
    }
    remark("Where do the events go?");
    for (number, kind) in (1..).zip(Kind::value_variants()) {
        remark(&format!("  {number}  {:<8} {}", kind.word(), kind.help()));
    }
    loop {
        let answer = questions.text("Number or word", "1").await?;
        match Kind::of_answer(&answer) {
            Some(kind) => return Ok(kind),
            None => remark("b24relay: none of these"),
        }
    }
}

async fn path(args: &DestinationArgs, place: &Place, questions: &Questions<'_>) -> anyhow::Result<String> {
    let text = match &args.file {
        Some(path) => {
            path.to_str().map(str::to_owned).ok_or_else(|| UsageError("`--file` must be UTF-8".to_owned()))?
        }
        None => questions.text("Path of the file", &place.archive()).await?,
    };
    Ok(place.named(&text)?)
}

async fn url(args: &DestinationArgs, questions: &Questions<'_>) -> anyhow::Result<SecretUrl> {
    let given = match (&args.url, &args.url_file) {
        (Some(url), _) => url.clone().into_bytes(),
        (None, Some(file)) => input::read(file)?,
        (None, None) => questions.secret("Address of the receiver").await?.into_bytes(),
    };
    let wrong = |rule: &str| UsageError(format!("the address of the receiver {rule}"));
    if given.len() > input::URL_MAX {
        return Err(wrong("is too long").into());
    }
    let text = token_of_file(given).map_err(|rule| wrong(&rule.to_string()))?;
    let url = SecretUrl::parse(text.expose()).map_err(wrong)?;
    if url.is_exposed() {
        let rule = "must begin with https://; where plain http is fine, set `allow_http` in the configuration by hand";
        return Err(wrong(rule).into());
    }
    Ok(url)
}

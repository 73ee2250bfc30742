//! The body of a webhook's requests: the event itself, a template, or a message to a service.

use reqwest::header::HeaderValue;

use crate::config::parse::enums::words;
use crate::config::parse::quote;
use crate::config::parse::table::Table;
use crate::config::parse::value;
use crate::config::secrets::secret_file::SecretFiles;
use crate::config::section::sinks::payload::format::PayloadFormat;
use crate::template::BodyTemplate;

/// The keys that belong only to some values of `format`.
pub(crate) const KEYS: [&str; 4] = ["template", "template_file", "content_type", "chat_id"];

/// The largest template.
const TEMPLATE_MAX: u64 = 64 * 1024;

const CONTENT_TYPE: &str = "application/json";

/// What a request of a webhook contains.
#[derive(Clone, PartialEq, Debug)]
pub enum BodyConfig {
    /// The event as it is.
    Event(PayloadFormat),
    /// What the operator wrote.
    Template(TemplateConfig),
    /// A message for people.
    Message(MessengerConfig),
}

impl Default for BodyConfig {
    fn default() -> Self {
        Self::Event(PayloadFormat::default())
    }
}

impl BodyConfig {
    /// True if one request can hold several events.
    pub fn holds_batches(&self) -> bool {
        match self {
            Self::Event(format) => format.holds_batches(),
            Self::Template(_) | Self::Message(_) => false,
        }
    }

    /// The service that it is for, if it is a message.
    pub fn service(&self) -> Option<Messenger> {
        match self {
            Self::Message(message) => Some(message.service),
            Self::Event(_) | Self::Template(_) => None,
        }
    }
}

/// `format = "template"`.
#[derive(Clone, PartialEq, Debug)]
pub struct TemplateConfig {
    /// `template` or `template_file`.
    pub template: BodyTemplate,
    /// `content_type`.
    pub content_type: HeaderValue,
}

/// A message to a service.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MessengerConfig {
    /// `format`.
    pub service: Messenger,
    /// `chat_id`, for Telegram.
    pub chat_id: Option<String>,
}

/// A service with messages for people.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Messenger {
    /// Slack, by an incoming webhook.
    Slack,
    /// Mattermost, by an incoming webhook.
    Mattermost,
    /// Discord, by a webhook of a channel.
    Discord,
    /// Telegram, by `sendMessage` of its bot API.
    Telegram,
    /// Teams, by a webhook of Workflows.
    Teams,
}

/// A value of `format`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum FormatName {
    Json,
    Raw,
    CloudEvents,
    CloudEventsBinary,
    CloudEventsBatch,
    Template,
    Slack,
    Mattermost,
    Discord,
    Telegram,
    Teams,
}

words!(FormatName: "json" => Json, "raw" => Raw, "cloudevents" => CloudEvents,
    "cloudevents-binary" => CloudEventsBinary, "cloudevents-batch" => CloudEventsBatch, "template" => Template,
    "slack" => Slack, "mattermost" => Mattermost, "discord" => Discord, "telegram" => Telegram, or "teams" => Teams);

/// Reads the keys and reports violations. `is_taken` says which event types the sink takes.
pub(crate) fn read(
    table: &mut Table<'_>,
    files: &SecretFiles,
    is_taken: &dyn Fn(&str) -> bool,
) -> Option<BodyConfig> {
    let event = |format| Some(BodyConfig::Event(format));
    let message = |service| Some(BodyConfig::Message(MessengerConfig { service, chat_id: None }));
    let body = match table.take_or("format", value::choice, FormatName::Json) {
        FormatName::Json => event(PayloadFormat::Json),
        FormatName::Raw => event(PayloadFormat::Raw),
        FormatName::CloudEvents => event(PayloadFormat::CloudEvents),
        FormatName::CloudEventsBinary => event(PayloadFormat::CloudEventsBinary),
        FormatName::CloudEventsBatch => event(PayloadFormat::CloudEventsBatch),
        FormatName::Template => read_template(table, files, is_taken).map(BodyConfig::Template),
        FormatName::Slack => message(Messenger::Slack),
        FormatName::Mattermost => message(Messenger::Mattermost),
        FormatName::Discord => message(Messenger::Discord),
        FormatName::Teams => message(Messenger::Teams),
        FormatName::Telegram => {
            let hint = "set it to the chat's number, such as \"-1001234567890\", or \"@channel\"";
            let chat_id = table.require("chat_id", hint, chat_id);
            let message = |chat_id| MessengerConfig { service: Messenger::Telegram, chat_id: Some(chat_id) };
            chat_id.map(message).map(BodyConfig::Message)
        }
    };
    table.refuse(&KEYS[..3], "is for `format = \"template\"`: set that as well, or remove it");
    table.refuse(&KEYS[3..], "is for `format = \"telegram\"`: set that as well, or remove it");
    body
}

fn read_template(
    table: &mut Table<'_>,
    files: &SecretFiles,
    is_taken: &dyn Fn(&str) -> bool,
) -> Option<TemplateConfig> {
    let is_given = [table.has("template"), table.has("template_file")];
    let content_type = table.take_or("content_type", content_type, HeaderValue::from_static(CONTENT_TYPE));
    let text = table.take("template", value::text);
    let of_file = table.take("template_file", |value| files.public_text(&value::text(value)?, TEMPLATE_MAX));
    let key = match is_given {
        [true, true] => {
            table.report("template_file", "is given besides `template`: keep one of the two");
            return None;
        }
        [false, false] => {
            let hint = "is missing: set it to the body that is sent, or `template_file` to a file with it";
            table.report("template", hint);
            return None;
        }
        [true, false] => "template",
        [false, true] => "template_file",
    };
    let text = text.or(of_file)?;
    let tried = BodyTemplate::parse(&text, content_type.to_str().unwrap_or_default())
        .map_err(|mistake| mistake.to_string())
        .and_then(|template| template.try_out(is_taken).map(|notices| (template, notices)));
    match tried {
        Ok((template, notices)) => {
            for notice in notices {
                table.notice(key, notice);
            }
            Some(TemplateConfig { template, content_type })
        }
        Err(mistake) => {
            table.report(key, mistake);
            None
        }
    }
}

fn content_type(value: &config::Value) -> Result<HeaderValue, String> {
    let text = value::text(value)?;
    let is_plain = text.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    let media = text.split(';').next().and_then(|media| media.split_once('/'));
    let has_parts = media.is_some_and(|(kind, name)| !kind.is_empty() && !name.trim().is_empty());
    HeaderValue::try_from(text.as_str()).ok().filter(|_| is_plain && has_parts).ok_or_else(|| {
        format!("must be a media type such as \"application/json\", not {}", quote::text(&text))
    })
}

/// A chat of Telegram: a number, or the name of a channel.
fn chat_id(value: &config::Value) -> Result<String, String> {
    let text = value.clone().into_string().unwrap_or_default();
    let is_number = text.parse::<i64>().is_ok_and(|number| number != 0);
    let is_name = text.strip_prefix('@').is_some_and(|name| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    });
    if is_number || is_name {
        return Ok(text);
    }
    Err(format!("must be a chat's number or \"@channel\", not {}", quote::value(value)))
}

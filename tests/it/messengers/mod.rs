//! Bodies that are not the event itself: templates, and messages to services.

pub(crate) mod presets; // Slack, Mattermost, Discord, Telegram, Teams
pub(crate) mod samples; // `b24relay test`
pub(crate) mod templates;

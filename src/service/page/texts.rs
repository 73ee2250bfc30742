//! The texts of the page in its languages: headings, words for states, units. Errors and lines of the log stay as they
//! are, because an operator searches for them.

use crate::health::{Condition, Health, LaneState, SourceState};
use crate::human::{SIZE_UNITS, span};

/// The texts of one language. `{}` stands for a number or a name.
pub(crate) struct Texts {
    pub lang: &'static str,
    /// In the order of [`Condition`].
    conditions: [&'static str; 6],
    /// In the order of [`SourceState`].
    source_states: [&'static str; 8],
    /// In the order of [`LaneState::ALL`].
    lane_states: [&'static str; 11],
    pub and_more: &'static str,
    pub copy: &'static str,
    pub command: &'static str,
    pub events_per_minute: &'static str,
    pub deliveries: &'static str,
    pub oldest_pending: &'static str,
    pub nothing_waits: &'static str,
    pub pending: &'static str,
    pub lost_or_expiring: &'static str,
    pub none: &'static str,
    pub sources_count: &'static str,
    pub sinks_count: &'static str,
    pub least_retention: &'static str,
    pub too_old: &'static str,
    pub rejected: &'static str,
    pub stored_dead_letters: &'static str,
    pub sinks: &'static str,
    pub rate: &'static str,
    pub latency: &'static str,
    pub known_after: &'static str,
    pub delivered: &'static str,
    pub left_out: &'static str,
    pub dead_letters: &'static str,
    pub caught_up: &'static str,
    pub not_catching_up: &'static str,
    pub next_attempt: &'static str,
    pub one_at_a_time: &'static str,
    pub in_sources: &'static str,
    pub no_event_yet: &'static str,
    pub sources: &'static str,
    pub none_polled: &'static str,
    pub source: &'static str,
    pub state: &'static str,
    pub last_poll: &'static str,
    pub lag: &'static str,
    pub retention: &'static str,
    pub journal: &'static str,
    pub budget: &'static str,
    pub never: &'static str,
    pub events_are_lost: &'static str,
    pub empty: &'static str,
    pub events: &'static str,
    pub healthy_sources: &'static str,
    pub other_sources: &'static str,
    pub search: &'static str,
    pub search_button: &'static str,
    pub show_all: &'static str,
    pub found: &'static str,
    pub not_shown: &'static str,
    pub latest_events: &'static str,
    pub problems: &'static str,
    pub no_problems: &'static str,
    pub error: &'static str,
    pub warning: &'static str,
    pub times: &'static str,
    pub ago: &'static str,
    pub now: &'static str,
    pub up_to: &'static str,
    pub version: &'static str,
    pub running_for: &'static str,
    pub instance: &'static str,
    pub configuration: &'static str,
    pub as_of: &'static str,
    pub same_as: &'static str,
    pub metrics: &'static str,
    pub unreachable: &'static str,
    /// Units of time, rate and size, where they differ from English.
    units: &'static [(&'static str, &'static str)],
}

pub(crate) static ENGLISH: Texts = Texts {
    lang: "en",
    conditions: ["not running", "stopping", "action required", "starting", "degraded: retrying", "healthy"],
    source_states: ["", "", "", "", "", "", "", ""],
    lane_states: [""; 11],
    and_more: "and {} more: `b24relay status --problems`",
    copy: "Copy",
    command: "Command",
    events_per_minute: "Events per minute",
    deliveries: "{} deliveries in all",
    oldest_pending: "Oldest pending",
    nothing_waits: "nothing waits",
    pending: "Pending",
    lost_or_expiring: "Lost or expiring",
    none: "none",
    sources_count: "Sources: {}",
    sinks_count: "Sinks: {}",
    least_retention: "least time left: {}",
    too_old: "too old for a sink: {}",
    rejected: "Rejected",
    stored_dead_letters: "dead letters: {}",
    sinks: "Sinks",
    rate: "Rate",
    latency: "Latency",
    known_after: "known after {}",
    delivered: "Delivered",
    left_out: "Left out",
    dead_letters: "Dead letters",
    caught_up: "caught up in about {}",
    not_catching_up: "not catching up",
    next_attempt: "next attempt in {}",
    one_at_a_time: "breaker open: one attempt at a time",
    in_sources: "in {} of {} sources",
    no_event_yet: "no event yet",
    sources: "Sources",
    none_polled: "None was polled yet.",
    source: "Source",
    state: "State",
    last_poll: "Last poll",
    lag: "Lag",
    retention: "Retention left",
    journal: "Journal",
    budget: "Portal budget",
    never: "never",
    events_are_lost: "none: events are being lost",
    empty: "empty",
    events: "{} events",
    healthy_sources: "healthy: {}",
    other_sources: "more with problems: {}",
    search: "Find a source",
    search_button: "Find",
    show_all: "Show all",
    found: "found: {}",
    not_shown: "not shown: {}; find them by name",
    latest_events: "Latest events",
    problems: "Latest warnings and errors",
    no_problems: "None since the start.",
    error: "error",
    warning: "warning",
    times: "{} times since {}",
    ago: "{} ago",
    now: "now",
    up_to: "up to {}",
    version: "Version",
    running_for: "Running for",
    instance: "Instance",
    configuration: "Configuration",
    as_of: "As of",
    same_as: "The same as",
    metrics: "metrics",
    unreachable: "b24relay does not answer; these figures are old.",
    units: &[],
};

pub(crate) static RUSSIAN: Texts = Texts {
    lang: "ru",
    conditions: [
        "не запущен",
        "останавливается",
        "нужно вмешательство",
        "запускается",
        "сбой: повторяет попытки",
        "всё в порядке",
    ],
    source_states: [
        "опрашивается",
        "запускается",
        "опрос запаздывает",
        "повторяет попытки",
        "ждёт приёмник",
        "отказано",
        "остановлен",
        "не настроен",
    ],
    lane_states: [
        "принимает",
        "доставляет остаток",
        "без дела",
        "ждёт другой приёмник",
        "повторяет попытки",
        "удержан",
        "на паузе",
        "завершает доставку",
        "запускается",
        "остановлен",
        "не настроен",
    ],
    and_more: "и ещё {}: `b24relay status --problems`",
    copy: "Копировать",
    command: "Команда",
    events_per_minute: "Событий в минуту",
    deliveries: "доставок всего: {}",
    oldest_pending: "Старейшее из ожидающих",
    nothing_waits: "ничего не ждёт",
    pending: "Ожидают",
    lost_or_expiring: "Потери и истекающий срок",
    none: "нет",
    sources_count: "Источники: {}",
    sinks_count: "Приёмники: {}",
    least_retention: "меньше всего осталось: {}",
    too_old: "слишком старые для приёмника: {}",
    rejected: "Отклонено",
    stored_dead_letters: "недоставляемые: {}",
    sinks: "Приёмники",
    rate: "Скорость",
    latency: "Задержка",
    known_after: "будет известно через {}",
    delivered: "Доставлено",
    left_out: "Пропущено",
    dead_letters: "Недоставляемые",
    caught_up: "догонит примерно за {}",
    not_catching_up: "не догоняет",
    next_attempt: "следующая попытка через {}",
    one_at_a_time: "предохранитель разомкнут: по одной попытке",
    in_sources: "в источниках: {} из {}",
    no_event_yet: "событий ещё не было",
    sources: "Источники",
    none_polled: "Ни один ещё не опрошен.",
    source: "Источник",
    state: "Состояние",
    last_poll: "Последний опрос",
    lag: "Отставание",
    retention: "Осталось хранения",
    journal: "Журнал",
    budget: "Лимит портала",
    never: "никогда",
    events_are_lost: "нет: события теряются",
    empty: "пуст",
    events: "событий: {}",
    healthy_sources: "в порядке: {}",
    other_sources: "ещё с проблемами: {}",
    search: "Найти источник",
    search_button: "Найти",
    show_all: "Показать все",
    found: "найдено: {}",
    not_shown: "не показано: {}; найдите их по имени",
    latest_events: "Последние события",
    problems: "Последние предупреждения и ошибки",
    no_problems: "С момента запуска их не было.",
    error: "ошибка",
    warning: "внимание",
    times: "раз: {}, начиная с {}",
    ago: "{} назад",
    now: "сейчас",
    up_to: "до {}",
    version: "Версия",
    running_for: "Работает",
    instance: "Экземпляр",
    configuration: "Конфигурация",
    as_of: "Данные на",
    same_as: "То же самое:",
    metrics: "метрики",
    unreachable: "b24relay не отвечает; эти данные устарели.",
    units: &[
        ("ms", "мс"),
        ("s", "с"),
        ("min", "мин"),
        ("h", "ч"),
        ("days", "дн."),
        ("bytes", "байт"),
        ("KiB", "КиБ"),
        ("MiB", "МиБ"),
        ("GiB", "ГиБ"),
        ("TiB", "ТиБ"),
        ("/s", "/с"),
        ("/min", "/мин"),
        ("/h", "/ч"),
    ],
};

impl Texts {
    /// The language that a browser prefers, by its `Accept-Language`.
    pub(crate) fn preferred(accept_language: &str) -> &'static Self {
        let wanted = accept_language.split(',').filter_map(|entry| {
            let mut parts = entry.split(';').map(str::trim);
            let language = parts.next()?.split('-').next()?.to_ascii_lowercase();
            let weight = parts.find_map(|part| part.strip_prefix("q=")).map_or(Some(1.0), |q| q.parse().ok());
            let weight: f32 = weight.filter(|weight| *weight > 0.0)?;
            let texts = [&ENGLISH, &RUSSIAN].into_iter().find(|texts| texts.lang == language)?;
            Some((weight, texts))
        });
        // Of equal ones the first counts.
        let best = wanted.reduce(|best, other| if other.0 > best.0 { other } else { best });
        best.map_or(&ENGLISH, |(_, texts)| texts)
    }

    pub(crate) fn condition(&self, condition: Condition) -> &'static str {
        self.conditions[condition as usize]
    }

    /// The state of a source. English has a label with more detail.
    pub(crate) fn source_state(&self, state: SourceState, label: &str) -> String {
        or_label(self.source_states[state as usize], label)
    }

    /// The state of a lane.
    pub(crate) fn lane_state(&self, state: LaneState, label: &str) -> String {
        or_label(self.lane_states[state as usize], label)
    }

    /// A number of seconds, in the largest unit that fits.
    pub(crate) fn span(&self, seconds: i64) -> String {
        self.with_unit(&span(seconds))
    }

    /// The time since `unix_ms`, as of `health`.
    pub(crate) fn since(&self, health: &Health, unix_ms: i64) -> String {
        self.span(health.at_ms.saturating_sub(unix_ms) / 1000)
    }

    /// The time since `unix_ms`, followed by "ago".
    pub(crate) fn ago(&self, health: &Health, unix_ms: i64) -> String {
        fill(self.ago, &[&self.since(health, unix_ms)])
    }

    /// A number with its unit behind it, in the unit of this language.
    pub(crate) fn with_unit(&self, text: &str) -> String {
        let at =
            text.find(|letter: char| letter == '/' || letter.is_ascii_alphabetic()).unwrap_or(text.len());
        let (number, unit) = text.split_at(at);
        let known = self.units.iter().find(|(english, _)| *english == unit);
        format!("{number}{}", known.map_or(unit, |(_, own)| own))
    }

    /// A number of bytes, in the largest unit that fits.
    pub(crate) fn size(&self, bytes: u64) -> String {
        debug_assert!(
            SIZE_UNITS
                .iter()
                .all(|(unit, _)| self.units.is_empty() || self.units.iter().any(|(known, _)| known == unit))
        );
        self.with_unit(&crate::human::size(bytes))
    }
}

fn or_label(word: &'static str, label: &str) -> String {
    if word.is_empty() { label.to_owned() } else { word.to_owned() }
}

/// `text` with each `{}` replaced by the next of `values`.
pub(crate) fn fill(text: &str, values: &[&str]) -> String {
    let mut values = values.iter();
    let mut parts = text.split("{}");
    let mut filled = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        filled.push_str(values.next().unwrap_or(&""));
        filled.push_str(part);
    }
    filled
}

/// A number with its digits in groups of three.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_in_groups_of_three() {
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn the_language_is_the_one_that_the_browser_prefers() {
        for (accept, lang) in [
            ("", "en"),
            ("ru", "ru"),
            ("ru-RU,ru;q=0.9,en-US;q=0.8,en;q=0.7", "ru"),
            ("en-GB,en;q=0.9,ru;q=0.8", "en"),
            ("de, ru;q=0.5, en;q=0.4", "ru"),
            ("de", "en"),
            ("ru;q=0, en;q=0.1", "en"),
            ("ru;q=nonsense", "en"),
            (",;;=,ru;;q=1", "ru"),
        ] {
            assert_eq!(Texts::preferred(accept).lang, lang, "{accept}");
        }
    }

    #[test]
    fn words_are_of_the_state_that_they_are_for() {
        use Condition::{Degraded, Healthy, Stopped};
        assert_eq!(
            [Stopped, Degraded, Healthy].map(|state| ENGLISH.condition(state)),
            [Stopped, Degraded, Healthy].map(Condition::word)
        );
        assert_eq!(RUSSIAN.condition(Condition::ActionRequired), "нужно вмешательство");
        assert_eq!(RUSSIAN.source_state(SourceState::Removed, ""), "не настроен");
        assert_eq!(RUSSIAN.lane_state(LaneState::Paused, ""), "на паузе");
        assert_eq!(LaneState::ALL.map(|state| state as usize), std::array::from_fn(|index| index));
        assert_eq!(ENGLISH.lane_state(LaneState::Paused, "paused since noon"), "paused since noon");
    }

    #[test]
    fn units_are_of_the_language() {
        assert_eq!((RUSSIAN.span(600), ENGLISH.span(600)), ("10 мин".to_owned(), "10 min".to_owned()));
        assert_eq!(
            (RUSSIAN.size(1_600_000), RUSSIAN.with_unit("2.4/s")),
            ("1.5 МиБ".to_owned(), "2.4/с".to_owned())
        );
        assert_eq!(fill("{} of {}", &["1", "2"]), "1 of 2");
        assert_eq!(fill("{} of {}", &["1"]), "1 of ");
    }
}

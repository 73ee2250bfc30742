//! The response to `im.v2.Event.get`, built from rendered bytes because it is the hot path.

use std::io::Write as _;

use crate::queue::buffer::Page;
use crate::state::clock::DatePrinter;
use crate::state::switches::Switches;

/// The size of a row in addition to its payload, rounded up.
const ROW_OVERHEAD: usize = 160;

/// The size of `page` in bytes, rounded up.
pub(crate) fn size_hint(page: &Page) -> usize {
    page.rows.iter().map(|row| row.data.len() + ROW_OVERHEAD).sum::<usize>() + ROW_OVERHEAD
}

/// Appends `{"events":[...],"nextOffset":...,"hasMore":...}`, changed by `switches`.
pub(crate) fn write(json: &mut Vec<u8>, page: &Page, switches: &Switches) {
    let quote = if switches.ids_as_strings { "\"" } else { "" };
    let mut dates = DatePrinter::default();
    json.extend_from_slice(b"{\"events\":[");
    for (index, row) in page.rows.iter().enumerate() {
        let comma = if index > 0 { "," } else { "" };
        let date = dates.print(row.dated_s);
        // Writing to a `Vec` cannot fail.
        let _infallible = write!(
            json,
            r#"{comma}{{"eventId":{quote}{}{quote},"type":"{}","date":"{date}","data":"#,
            row.id, row.kind
        );
        json.extend_from_slice(row.data.as_bytes());
        json.push(b'}');
    }
    json.extend_from_slice(b"],");
    write_position(json, page, switches, quote);
    let _infallible = write!(json, r#""hasMore":{}}}"#, page.has_more);
}

/// Appends `"nextOffset":N,`, or its replacement.
fn write_position(json: &mut Vec<u8>, page: &Page, switches: &Switches, quote: &str) {
    let (key, position) = if switches.legacy_last_event_id {
        ("lastEventId", page.rows.last().map(|row| row.id.cast_signed()))
    } else {
        let hidden = switches.null_next_offset && page.rows.is_empty();
        ("nextOffset", (!hidden).then_some(page.next_offset))
    };
    let _infallible = match position {
        Some(position) => write!(json, r#""{key}":{quote}{position}{quote},"#),
        None => write!(json, r#""{key}":null,"#),
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::row::Row;

    fn page() -> Page {
        let row = Row::new(9, 1_787_206_502, "ONIMV2JOINCHAT".into(), r#"{"a":[]}"#.into());
        Page { rows: vec![row.clone(), row], next_offset: 10, has_more: true }
    }

    fn written(page: &Page, switches: &Switches) -> String {
        let mut json = Vec::new();
        write(&mut json, page, switches);
        assert!(json.len() <= size_hint(page));
        String::from_utf8(json).unwrap()
    }

    #[test]
    fn a_page_has_the_documented_shape() {
        let event =
            r#"{"eventId":9,"type":"ONIMV2JOINCHAT","date":"2026-08-20T09:15:02+03:00","data":{"a":[]}}"#;
        let expected = format!(r#"{{"events":[{event},{event}],"nextOffset":10,"hasMore":true}}"#);
        assert_eq!(written(&page(), &Switches::default()), expected);
    }

    #[test]
    fn switches_bend_the_position() {
        let strings = Switches { ids_as_strings: true, ..Switches::default() };
        let json = written(&page(), &strings);
        assert!(json.contains(r#""eventId":"9""#) && json.contains(r#""nextOffset":"10""#), "{json}");

        let legacy = Switches { legacy_last_event_id: true, ..Switches::default() };
        assert!(written(&page(), &legacy).ends_with(r#"],"lastEventId":9,"hasMore":true}"#));

        let nulls = Switches { null_next_offset: true, ..Switches::default() };
        let empty = Page { rows: Vec::new(), next_offset: 0, has_more: false };
        assert_eq!(written(&empty, &nulls), r#"{"events":[],"nextOffset":null,"hasMore":false}"#);
    }
}

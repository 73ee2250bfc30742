//! Hostile messages in every dialect.

use proptest::prelude::*;

use super::*;

const DIALECTS: [Dialect; 5] =
    [Dialect::Slack, Dialect::Mattermost, Dialect::Discord, Dialect::Telegram, Dialect::Teams];

fn in_dialect(text: &str, dialect: Dialect) -> String {
    render(&parse(text), dialect, usize::MAX, |markup, _| markup.len())
}

/// `text` for Slack, Mattermost, Discord, Telegram and Teams.
fn in_all(text: &str) -> [String; 5] {
    DIALECTS.map(|dialect| in_dialect(text, dialect))
}

/// Whether HTML is what Telegram takes: its tags, closed in the right order, and no other `<` or `&`.
fn is_telegram_html(html: &str) -> bool {
    let mut open = Vec::new();
    let mut rest = html;
    while let Some(at) = rest.find(['<', '&']) {
        let from = &rest[at..];
        if let Some(entity) = from.strip_prefix('&') {
            if !["lt;", "gt;", "amp;"].iter().any(|known| entity.starts_with(known)) {
                return false;
            }
            rest = entity;
            continue;
        }
        let Some((tag, behind)) = from[1..].split_once('>') else { return false };
        let is_link = tag.starts_with("a href=\"http") && tag.ends_with('"') && tag.matches('"').count() == 2;
        let is_known = ["b", "i", "u", "s", "pre", "blockquote"].contains(&tag);
        match tag.strip_prefix('/') {
            Some(name) if open.pop() == Some(name) => {}
            None if is_link => open.push("a"),
            None if is_known => open.push(tag),
            Some(_) | None => return false,
        }
        rest = behind;
    }
    open.is_empty()
}

#[test]
fn emphasis_links_and_quotes_become_those_of_the_messenger() {
    assert_eq!(
        in_all("[B]bold[/B] [I]it[/I] [U]under[/U] [S]gone[/S]"),
        [
            "*bold* _it_ under ~gone~",
            "**bold** _it_ under ~~gone~~",
            "**bold** _it_ __under__ ~~gone~~",
            "<b>bold</b> <i>it</i> <u>under</u> <s>gone</s>",
            "**bold** _it_ under gone",
        ]
    );
    assert_eq!(
        in_all("[URL=https://a.example/x?a=1&b=2]the page[/URL]"),
        [
            "<https://a.example/x?a=1&amp;b=2|the page>",
            "[the page](https://a.example/x?a=1&b=2)",
            "[the page](https://a.example/x?a=1&b=2)",
            "<a href=\"https://a.example/x?a=1&amp;b=2\">the page</a>",
            "[the page](https://a.example/x?a=1&b=2)",
        ]
    );
    assert_eq!(
        in_all("[QUOTE]one\ntwo[/QUOTE]three"),
        [
            "> one\n> two\nthree",
            "> one\n> two\nthree",
            "> one\n> two\nthree",
            "<blockquote>one\ntwo</blockquote>three",
            "> one\n\n> two\n\nthree",
        ]
    );
    assert_eq!(in_dialect("[CODE]a < b[/CODE]", Dialect::Telegram), "<pre>a &lt; b</pre>");
    assert_eq!(in_dialect("[CODE]a `b`[/CODE]", Dialect::Discord), "```\na `\u{200b}b`\u{200b}\n```");
}

#[test]
fn names_stay_and_buttons_and_colours_go() {
    for (text, shown) in [
        ("[USER=7]Ada[/USER], hello", "Ada, hello"),
        ("[USER=7 REPLACE][/USER]hello", "hello"),
        ("[CHAT=5]Room[/CHAT] [SEND=/help]help[/SEND] [COLOR=#f00]red[/COLOR]", "Room help red"),
        ("a[BR]b", "a\nb"),
        ("file: [ATTACH=17] [DISK=9]", "file:  "),
    ] {
        assert_eq!(in_dialect(text, Dialect::Telegram), shown, "{text}");
    }
}

#[test]
fn an_address_in_the_text_becomes_a_link() {
    assert_eq!(
        in_all("see https://a.example/snake_case, please"),
        [
            "see <https://a.example/snake_case|https://a.example/snake_case>, please",
            "see <https://a.example/snake_case>, please",
            "see <https://a.example/snake_case>, please",
            "see <a href=\"https://a.example/snake_case\">https://a.example/snake_case</a>, please",
            "see [https://a.example/snake\\_case](https://a.example/snake_case), please",
        ]
    );
}

#[test]
fn broken_tags_do_no_harm() {
    for (text, expected) in [
        ("[B]never closed", "<b>never closed</b>"),
        ("never opened[/B]", "never opened[/B]"),
        ("[B]a [I]b[/B] c[/I]", "<b>a <i>b</i></b> c[/I]"),
        ("[B][B][B]a[/B][/B][/B]", "<b>a</b>"),
        (
            "[URL=https://a.example][URL=https://b.example]x[/URL][/URL]",
            "<a href=\"https://a.example/\">x</a>",
        ),
        ("[QUOTE]a[QUOTE]b[/QUOTE]c[/QUOTE]", "<blockquote>abc</blockquote>"),
        ("[CODE][B]no[/B][/CODE]", "<pre>[B]no[/B]</pre>"),
        ("[CODE]never closed", "[CODE]never closed"),
        ("[B=1]x[/B] [X]y[/X] [ [] [/] [=]", "[B=1]x[/B] [X]y[/X] [ [] [/] [=]"),
        ("[B] [/B]", " "),
        ("[B]\n[/B]", "\n"),
    ] {
        assert_eq!(in_dialect(text, Dialect::Telegram), expected, "{text}");
    }
    let deep = format!("{}x{}", "[B][I]".repeat(5000), "[/I][/B]".repeat(5000));
    for dialect in DIALECTS {
        assert!(in_dialect(&deep, dialect).contains('x'), "{dialect:?}");
    }
}

#[test]
fn a_text_cannot_be_markup_of_the_messenger() {
    assert_eq!(
        in_all("*b* _i_ ~s~ `c` [x](https://a.example) <b>"),
        [
            "\u{200b}*\u{200b}b\u{200b}*\u{200b} \u{200b}_\u{200b}i\u{200b}_\u{200b} \u{200b}~\u{200b}s\u{200b}~\
             \u{200b} \u{200b}`\u{200b}c\u{200b}`\u{200b} [x](<https://a.example/|https://a.example>) &lt;b&gt;",
            "\\*b\\* \\_i\\_ \\~s\\~ \\`c\\` \\[x\\]\\(<https://a.example/>\\) <b>",
            "\\*b\\* \\_i\\_ \\~s\\~ \\`c\\` \\[x\\]\\(<https://a.example/>\\) \\<b\\>",
            "*b* _i_ ~s~ `c` [x](<a href=\"https://a.example/\">https://a.example</a>) &lt;b&gt;",
            "\\*b\\* \\_i\\_ \\~s\\~ \\`c\\` \\[x\\]\\([https://a.example](https://a.example/)\\) ‹b›",
        ]
    );
    for (text, expected) in
        [("# head", "\\# head"), ("- item", "\\- item"), ("1. item", "1\\. item"), ("> q", "\\> q")]
    {
        assert_eq!(in_dialect(text, Dialect::Mattermost), expected);
    }
    assert_eq!(in_dialect("a\n# head", Dialect::Discord), "a\n\\# head");
}

#[test]
fn nobody_is_called_by_a_text() {
    for text in
        ["@everyone @here @channel @all", "<!channel> <!here|x> <@U123> <#C1> <@&5>", "[B]@everyone[/B]"]
    {
        for (dialect, shown) in DIALECTS.into_iter().zip(in_all(text)) {
            for call in ["@everyone", "@here", "@channel", "@all", "<!", "<@", "<#"] {
                let is_escaped = dialect == Dialect::Mattermost && call.starts_with('<');
                assert!(is_escaped || !shown.replace("\\<", "").contains(call), "{dialect:?}: {shown}");
            }
        }
    }
}

#[test]
fn a_link_leads_to_the_web_only() {
    for address in [
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        " javascript:alert(1)",
        "java\tscript:alert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "vbscript:x",
        "//a.example",
        "/company/personal/user/7/",
        "https://",
        "https://user:pass@a.example/",
    ] {
        for (dialect, shown) in DIALECTS.into_iter().zip(in_all(&format!("[URL={address}]click[/URL]"))) {
            assert_eq!(shown, "click", "{dialect:?}: {address}");
        }
    }
    for (address, expected) in [
        ("https://a.example/)](https://b.example", "https://a.example/%29%5D%28https://b.example"),
        ("https://a.example/|x>", "https://a.example/%7Cx%3E"),
        ("https://a.example/\"onclick=", "https://a.example/%22onclick="),
        ("mailto:ada@a.example", "mailto:ada@a.example"),
    ] {
        assert_eq!(safe_address(address).as_deref(), Some(expected), "{address}");
    }
}

proptest! {
    #[test]
    fn no_message_breaks_the_html_or_outgrows_the_limit(
        texts in prop::collection::vec(prop::sample::select(vec![
            "[B]", "[/B]", "[I]", "[/I]", "[URL=https://a.example/?q=\"<>]", "[URL]", "[/URL]", "[QUOTE]", "[/QUOTE]",
            "[CODE]", "[/CODE]", "[USER=7]", "[/USER]", "text", "\n", " ", "<b>", "&amp;", "😀", "https://b.example ",
            "@all", "]", "[", "*", "_",
        ]), 0..40),
        max in 1_usize..60,
    ) {
        let parts = parse(&texts.concat());
        let whole = render(&parts, Dialect::Telegram, usize::MAX, |markup, _| markup.len());
        prop_assert!(is_telegram_html(&whole), "{}", whole);
        let utf16 = |_: &str, shown: &str| shown.encode_utf16().count();
        let cut = render(&parts, Dialect::Telegram, max, utf16);
        prop_assert!(is_telegram_html(&cut), "{}", cut);
        for dialect in DIALECTS {
            let cut = render(&parts, dialect, max, |markup, _| markup.chars().count());
            prop_assert!(cut.chars().count() <= max, "{:?}: {}", dialect, cut);
        }
    }
}

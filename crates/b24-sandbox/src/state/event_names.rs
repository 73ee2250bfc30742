//! The events that an application can bind, by scope. `ONIMV2*` are not among them, because they can only be
//! polled (PORTAL.md 2.1).

const NAMES: [(&str, &[&str]); 5] = [
    ("", &["ONAPPINSTALL", "ONAPPUNINSTALL", "ONAPPUPDATE", "ONAPPPAYMENT", "ONAPPTEST"]),
    ("crm", &["ONCRMLEADADD", "ONCRMLEADUPDATE", "ONCRMDEALADD", "ONCRMDEALUPDATE", "ONCRMDEALDELETE"]),
    (
        "imbot",
        &[
            "ONIMBOTMESSAGEADD",
            "ONIMBOTMESSAGEUPDATE",
            "ONIMBOTMESSAGEDELETE",
            "ONIMBOTJOINCHAT",
            "ONIMBOTDELETE",
            "ONIMCOMMANDADD",
            "ONIMBOTV2MESSAGEADD",
            "ONIMBOTV2MESSAGEUPDATE",
            "ONIMBOTV2MESSAGEDELETE",
            "ONIMBOTV2JOINCHAT",
            "ONIMBOTV2DELETE",
            "ONIMBOTV2CONTEXTGET",
            "ONIMBOTV2COMMANDADD",
            "ONIMBOTV2REACTIONCHANGE",
        ],
    ),
    ("task", &["ONTASKADD", "ONTASKUPDATE", "ONTASKDELETE"]),
    ("user", &["ONUSERADD"]),
];

/// All names.
pub(crate) fn all() -> impl Iterator<Item = &'static str> {
    NAMES.iter().flat_map(|(_, names)| names.iter().copied())
}

/// The names of `scope`; an empty text stands for the basic scope.
pub(crate) fn of(scope: &str) -> impl Iterator<Item = &'static str> {
    let found = NAMES.iter().find(|(known, _)| *known == scope);
    found.map_or(&[][..], |(_, names)| names).iter().copied()
}

/// True if an application with `scopes` can bind `event`, given in upper case.
pub(crate) fn is_bindable(event: &str, scopes: &[String]) -> bool {
    let mut scopes = std::iter::once("").chain(scopes.iter().map(String::as_str));
    scopes.any(|scope| of(scope).any(|name| name == event))
}

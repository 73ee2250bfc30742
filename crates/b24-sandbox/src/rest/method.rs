//! The methods of the sandbox (PORTAL.md 1.4, 2.1).

/// Generates the enum of all methods from one list: variant, documented spelling, and the scope that it
/// requires in addition to the basic one.
macro_rules! methods {
    ($($variant:ident $name:literal $scope:expr;)*) => {
        /// One REST method.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        pub(crate) enum Method {
            $(#[doc = $name] $variant,)*
        }

        impl Method {
            const ALL: &[Self] = &[$(Self::$variant),*];

            /// The documented spelling of its name.
            pub(crate) fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// The scope that it requires in addition to the basic one.
            pub(crate) fn scope(self) -> Option<&'static str> {
                match self {
                    $(Self::$variant => $scope,)*
                }
            }
        }
    };
}

methods! {
    Subscribe "im.v2.Event.subscribe" Some("im");
    Get "im.v2.Event.get" Some("im");
    Unsubscribe "im.v2.Event.unsubscribe" Some("im");
    Profile "profile" None;
    Scope "scope" None;
    Availability "method.get" None;
    ServerTime "server.time" None;
    AppInfo "app.info" None;
    Events "events" None;
    EventBind "event.bind" None;
    EventGet "event.get" None;
    EventUnbind "event.unbind" None;
    OfflineGet "event.offline.get" None;
    OfflineList "event.offline.list" None;
    OfflineClear "event.offline.clear" None;
    OfflineError "event.offline.error" None;
    Batch "batch" None;
    BotRegister "imbot.v2.Bot.register" Some("imbot");
    BotList "imbot.v2.Bot.list" Some("imbot");
    BotGet "imbot.v2.Bot.get" Some("imbot");
    BotUnregister "imbot.v2.Bot.unregister" Some("imbot");
    BotEvents "imbot.v2.Event.get" Some("imbot");
    RevisionGet "imbot.v2.Revision.get" Some("imbot");
    BotUnregisterV1 "imbot.unregister" Some("imbot");
    BotListV1 "imbot.bot.list" Some("imbot");
}

impl Method {
    /// The method called `name`, in any letter case.
    pub(crate) fn find(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|method| method.name().eq_ignore_ascii_case(name))
    }
}

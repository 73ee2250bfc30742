//! The target of a request: a method or the token endpoint.

use crate::rest::method::Method;

/// The target of a request. The fault script selects requests by it, and the stats count by it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Target {
    /// A method.
    Method(Method),
    /// The token endpoint.
    Token,
}

impl Target {
    /// The target called `name`, in any letter case.
    pub(crate) fn find(name: &str) -> Option<Self> {
        let token = Self::Token;
        if name.eq_ignore_ascii_case(token.name()) {
            Some(token)
        } else {
            Method::find(name).map(Self::Method)
        }
    }

    /// The documented spelling of its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Method(method) => method.name(),
            Self::Token => "oauth/token",
        }
    }
}

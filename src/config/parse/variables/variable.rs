//! Names of our environment variables.

/// The origin that `config` reports for every value of this layer.
pub(crate) const ORIGIN: &str = "the environment";

/// The prefix of all variables of the relay.
pub(crate) const PREFIX: &str = "B24RELAY_";

/// The name of the variable that sets `key`.
pub(crate) fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.to_uppercase().replace('"', "").replace('.', "__"))
}

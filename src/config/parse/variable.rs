//! Names of our environment variables.

/// The origin that `config` gives to every value of this layer.
pub(crate) const ORIGIN: &str = "the environment";

/// What the name of every variable of ours begins with.
pub(crate) const PREFIX: &str = "B24RELAY_";

/// The variable that sets `key`.
pub(crate) fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.to_uppercase().replace('"', "").replace('.', "__"))
}

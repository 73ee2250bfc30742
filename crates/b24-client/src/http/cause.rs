//! Finds an error by its type in the chain of causes.

use std::error::Error;
use std::io;

/// The first error of type `T` in the chain that begins with `error`. An [`io::Error`] does not list the
/// error that it wraps as its source, so it is unwrapped here.
pub fn cause<'e, T: Error + 'static>(error: &'e (dyn Error + 'static)) -> Option<&'e T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_io_error_wraps_is_found_however_deep() {
        let inner = rustls::Error::DecryptError;
        let error = io::Error::other(io::Error::other(inner.clone()));
        assert_eq!(cause::<rustls::Error>(&error), Some(&inner));
        assert!(cause::<std::fmt::Error>(&error).is_none());
    }
}

//! What opens a registry.

use std::fmt;

/// Who somebody is to a registry. It is no part of any record, and is not written anywhere.
#[derive(Clone, PartialEq, Eq)]
pub enum Login {
    /// A name and a password.
    Password {
        /// Who it is.
        user: String,
        /// The proof of it.
        password: String,
    },
    /// A token that the registry's own authority changes for another one.
    Identity(String),
    /// A token that the registry takes as it is.
    Bearer(String),
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_printed() {
        let login = Login::Password { user: "u".into(), password: "secret".into() };
        assert!(!format!("{login:?}").contains("secret"));
    }
}

//! Who may reach a container.

use super::text::as_json_word;

/// Who may reach a container through an interface that unionize makes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AllowFrom {
    /// Everybody who can.
    #[default]
    Any,
    /// The client whose lease the container is for, and nobody else.
    Lease,
}

as_json_word!(AllowFrom "any or lease" { Any "any", Lease "lease", });

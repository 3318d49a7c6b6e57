//! What a change has to come behind: a container that comes, behind those that it depends on; one
//! that goes, behind those that depend on it.

use crate::record::{Action, Change, ContainerId};
use crate::stage::changes::Order;

/// The order that a change asks for when `action` is what is done. `listed` are those that stand in
/// no order at all, as bare containers do, where other changes come as somebody has put them.
pub(super) fn order(change: &Change, action: Action, listed: bool) -> Order {
    let wanted = || change.container.depends_on.clone();
    match action {
        Action::Add | Action::Start | Action::Unpause => {
            Order { after: wanted(), ..Order::default() }
        }
        // What runs is not to fail because another one does.
        Action::Keep => Order { after: wanted(), is_soft: true, ..Order::default() },
        Action::Replace | Action::Restart => {
            let old = change.current.iter().flat_map(|current| &current.depends_on);
            let before = old.filter(|id| !change.container.depends_on.contains(id));
            let before: Vec<ContainerId> = before.cloned().collect();
            Order { after: wanted(), before, ..Order::default() }
        }
        Action::Remove | Action::Stop | Action::Kill | Action::Pause => {
            Order { before: wanted(), goes: true, is_patient: listed, ..Order::default() }
        }
    }
}

//! What the ledger forgets.

use jiff::Timestamp;

use super::{Ledger, failure, time};
use crate::error::Result;

/// Rows that are deleted in one transaction: no writer or reader has to wait for long.
const AT_ONCE: u32 = 1000;

impl Ledger {
    /// Deletes bindings that ended before this moment, some at a time; how many they were. Those that
    /// hold are kept, however old. The file gives the room back.
    pub fn forget(&mut self, before: Timestamp) -> Result<u64> {
        let mut forgotten = 0;
        loop {
            let sql = "DELETE FROM bindings WHERE id IN
                       (SELECT id FROM bindings WHERE bound_until < ?1 LIMIT ?2)";
            let deleted = self.db.execute(sql, (time(before), AT_ONCE));
            match deleted.map_err(|e| failure("forget", &e))? {
                0 => return Ok(forgotten),
                count => forgotten += count as u64,
            }
        }
    }
}

//! What the ledger forgets. What is deleted is overwritten, and the file gives the room back.

use std::time::Duration;

use jiff::Timestamp;

use super::{Ledger, PATIENCE, failure, time};
use crate::error::Result;

/// Rows that are deleted in one transaction, and pages that are given back in one: nobody who reads
/// or writes meanwhile has to wait for long.
const AT_ONCE: u32 = 1000;

/// How long readers are waited for, so that the log beside the file can be emptied as well.
const BRIEFLY: Duration = Duration::from_millis(100);

/// The modes of `auto_vacuum`; a ledger of the first form was begun without.
const KEEPS_ROOM: i64 = 0;

impl Ledger {
    /// Deletes bindings that ended before this moment, some at a time; how many they were. Those that
    /// hold are kept, however old.
    pub fn forget(&mut self, before: Timestamp) -> Result<u64> {
        let mut forgotten = 0;
        loop {
            let count = self.forget_some(before).map_err(|e| failure("forget", &e))?;
            forgotten += count;
            if count < u64::from(AT_ONCE) {
                break;
            }
        }
        if forgotten > 0 {
            self.give_back().map_err(|e| failure("give back room", &e))?;
        }
        Ok(forgotten)
    }

    fn forget_some(&self, before: Timestamp) -> rusqlite::Result<u64> {
        let sql = "DELETE FROM bindings WHERE id IN
                   (SELECT id FROM bindings WHERE bound_until < ?1 LIMIT ?2)";
        let mut delete = self.db.prepare_cached(sql)?;
        delete.execute((time(before), AT_ONCE)).map(|count| count as u64)
    }

    fn give_back(&self) -> rusqlite::Result<()> {
        let pragma = |name| self.db.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        if pragma("auto_vacuum")? == KEEPS_ROOM {
            self.db.pragma_update(None, "auto_vacuum", "incremental")?;
            self.db.execute_batch("VACUUM")?;
        }
        let mut free = pragma("freelist_count")?;
        while free > 0 {
            let mut some = self.db.prepare(&format!("PRAGMA incremental_vacuum({AT_ONCE})"))?;
            let mut steps = some.query([])?;
            while steps.next()?.is_some() {}
            match pragma("freelist_count")? {
                fewer if fewer < free => free = fewer,
                _ => break,
            }
        }
        // The log has the rows, too, until it is written anew. Whoever reads now holds that up.
        self.db.busy_timeout(BRIEFLY)?;
        let emptied = self.db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        self.db.busy_timeout(PATIENCE)?;
        emptied
    }
}

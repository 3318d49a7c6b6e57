//! The ledger: an SQLite file of who had which container, from when to when.
//!
//! Each change is one transaction that is on the disk before it is reported as done. The file says of
//! itself that it is a ledger (`application_id`) and of which form (`user_version`); a file that is
//! something else is left as it is. Readers may have it open at any time.

mod ask;
mod forget;

use std::fmt::Display;
use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::str::FromStr;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rusqlite::{Connection, ErrorCode, OptionalExtension, Row, TransactionBehavior, params};

use crate::error::{Doing, Error, Kind, Result, Within};
use crate::record::{Binding, Bound, ContainerId, Duid, Entry, HostRef, LeaseRef, Owner};

/// What the file says that it is: `lpLG`.
const APPLICATION_ID: i64 = 0x6c70_4c47;

/// Statements that lead from each form to the next. What has been released is never changed.
const FORMS: &[&str] = &[include_str!("ledger/form-1.sql"), include_str!("ledger/form-2.sql")];

/// How long another writer may hold the file.
const PATIENCE: Duration = Duration::from_secs(10);

/// An open ledger.
#[derive(Debug)]
pub struct Ledger {
    db: Connection,
}

impl Ledger {
    /// Opens the ledger, or begins one if there is none; its directory is made, too, if only that is
    /// missing.
    ///
    /// # Errors
    /// `BadInput` when the file is no ledger, or one of a later version of the suite.
    pub fn open(path: &Path) -> Result<Ledger> {
        let open = || -> Result<Ledger> {
            make_file(path)?;
            let mut db = Connection::open(path).map_err(|e| failure("open", &e))?;
            db.busy_timeout(PATIENCE).map_err(|e| failure("open", &e))?;
            is_ledger(&db)?;
            let many_at_once = || -> rusqlite::Result<()> {
                // This one has to be said before there is anything in the file.
                db.pragma_update(None, "auto_vacuum", "incremental")?;
                db.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
                db.pragma_update_and_check(None, "secure_delete", "on", |_| Ok(()))?;
                db.pragma_update(None, "synchronous", "full")
            };
            // Readers and a writer at once; where the file system cannot, SQLite keeps its older way.
            // It does not wait by itself while another program does the same to a new file.
            let end = Instant::now() + PATIENCE;
            while let Err(why) = many_at_once().map_err(|e| failure("open", &e)) {
                if why.kind() != Kind::TimedOut || Instant::now() > end {
                    return Err(why);
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            bring_up_to_date(&mut db)?;
            Ok(Ledger { db })
        };
        open().within(format_args!("ledger {}", path.display()))
    }

    /// Enters that a container is bound from `entry.binding.since` on. A binding of the container that
    /// says the same goes on; one that says something else ends there. If another program has made that
    /// one since then, the new one begins with it, for a container is bound once at a time.
    pub fn bind(&mut self, entry: &Entry) -> Result<Bound> {
        let mut entry = entry.clone();
        let tx = self.db.transaction_with_behavior(TransactionBehavior::Immediate);
        let tx = tx.map_err(|e| failure("write", &e))?;
        let mut instead_of = None;
        if let Some(before) = open_entry(&tx, &entry.owner, &entry.binding.container)? {
            if before.says_the_same(&entry) {
                return Ok(Bound { since: before.binding.since, instead_of: None });
            }
            entry.binding.since = entry.binding.since.max(before.binding.since);
            instead_of = Some(close(&tx, before, entry.binding.since)?);
        }
        insert(&tx, &entry).and_then(|()| tx.commit()).map_err(|e| failure("write", &e))?;
        Ok(Bound { since: entry.binding.since, instead_of })
    }

    /// Enters that a container is bound no more from `until` on; the closed binding, if it was bound.
    pub fn unbind(
        &mut self,
        owner: &Owner,
        container: &ContainerId,
        until: Timestamp,
    ) -> Result<Option<Binding>> {
        let tx = self.db.transaction_with_behavior(TransactionBehavior::Immediate);
        let tx = tx.map_err(|e| failure("write", &e))?;
        let Some(before) = open_entry(&tx, owner, container)? else { return Ok(None) };
        let closed = close(&tx, before, until)?;
        tx.commit().map_err(|e| failure("write", &e))?;
        Ok(Some(closed))
    }

    /// The binding of a container that holds, if it is bound.
    pub fn binding(&self, owner: &Owner, container: &ContainerId) -> Result<Option<Binding>> {
        Ok(open_entry(&self.db, owner, container)?.map(|entry| entry.binding))
    }

    /// The containers that are bound under this DUID.
    pub fn bound_under(&self, duid: &Duid) -> Result<Vec<(Owner, ContainerId)>> {
        let sql = "SELECT owner, container_name FROM bindings
                   WHERE bound_until IS NULL AND container_duid = ?1";
        let mut query = self.db.prepare_cached(sql).map_err(|e| failure("read", &e))?;
        let rows = query.query_map([duid.to_string()], place);
        rows.and_then(Iterator::collect).map_err(|e| failure("read", &e))
    }

    /// The containers that are bound; of one owner, or of all.
    pub fn bound(&self, owner: Option<&Owner>) -> Result<Vec<(Owner, ContainerId)>> {
        let sql = "SELECT owner, container_name FROM bindings
                   WHERE bound_until IS NULL AND owner = coalesce(?1, owner)
                   ORDER BY owner, container_name";
        let mut query = self.db.prepare_cached(sql).map_err(|e| failure("read", &e))?;
        let rows = query.query_map([owner.map(Owner::as_str)], place);
        rows.and_then(Iterator::collect).map_err(|e| failure("read", &e))
    }
}

/// Makes sure of a file, empty for the time being, that only its owner and group can read: it tells of
/// people's devices. SQLite gives the files beside it the same rights.
fn make_file(path: &Path) -> Result<()> {
    let parent = path.parent().filter(|parent| *parent != Path::new(""));
    if let Some(parent) = parent.filter(|parent| !parent.exists()) {
        std::fs::create_dir(parent).doing(format_args!("make directory {}", parent.display()))?;
    }
    let mut how = File::options();
    how.read(true).write(true).create(true).truncate(false).mode(0o640);
    how.open(path).doing("open").map(drop)
}

/// Refuses a file that others have made; a new and empty one will do.
fn is_ledger(db: &Connection) -> Result<()> {
    let read = || -> rusqlite::Result<(i64, i64)> {
        // Both at one moment: another program may be beginning this ledger right now.
        let moment = db.unchecked_transaction()?;
        let id = moment.pragma_query_value(None, "application_id", |row| row.get(0))?;
        let sql = "SELECT count(*) FROM sqlite_schema";
        Ok((id, moment.query_row(sql, [], |row| row.get(0))?))
    };
    match read().map_err(|e| failure("open", &e))? {
        (APPLICATION_ID, _) | (0, 0) => Ok(()),
        _ => Err(Error::new(Kind::BadInput, "open").why("the file is another program's database")),
    }
}

fn bring_up_to_date(db: &mut Connection) -> Result<()> {
    let newest = FORMS.len() as i64;
    let mut bring = || -> rusqlite::Result<i64> {
        let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let form = form_of(&tx)?;
        if (0..newest).contains(&form) {
            for step in &FORMS[form as usize..] {
                tx.execute_batch(step)?;
            }
            tx.pragma_update(None, "application_id", APPLICATION_ID)?;
            tx.pragma_update(None, "user_version", newest)?;
            tx.commit()?;
        }
        Ok(form)
    };
    match bring().map_err(|e| failure("open", &e))? {
        form if !(0..=newest).contains(&form) => Err(newer(form)),
        _ => Ok(()),
    }
}

/// Which form the file says that it has; 0 is a ledger that has not been begun.
fn form_of(db: &Connection) -> rusqlite::Result<i64> {
    db.pragma_query_value(None, "user_version", |row| row.get(0))
}

fn newer(form: i64) -> Error {
    let why = format!("its form is {form}, known is up to {}", FORMS.len());
    let error = Error::new(Kind::BadInput, "open").why(why);
    error.remedy("use the newer version of leasepipe that wrote it")
}

fn open_entry(db: &Connection, owner: &Owner, container: &ContainerId) -> Result<Option<Entry>> {
    let sql = "SELECT * FROM bindings
               WHERE owner = ?1 AND container_name = ?2 AND bound_until IS NULL";
    let read = || {
        let mut query = db.prepare_cached(sql)?;
        query.query_row([owner.as_str(), container.as_str()], entry).optional()
    };
    read().map_err(|e| failure("read", &e))
}

/// Ends a binding; never before it began, whatever the clock says.
fn close(db: &Connection, entry: Entry, until: Timestamp) -> Result<Binding> {
    let Entry { owner, mut binding, .. } = entry;
    let until = until.max(binding.since);
    let sql = "UPDATE bindings SET bound_until = ?3
               WHERE owner = ?1 AND container_name = ?2 AND bound_until IS NULL";
    let values = params![owner.as_str(), binding.container.as_str(), time(until)];
    db.prepare_cached(sql)
        .and_then(|mut update| update.execute(values))
        .map_err(|e| failure("write", &e))?;
    binding.until = Some(until);
    Ok(binding)
}

fn insert(db: &Connection, entry: &Entry) -> rusqlite::Result<()> {
    let sql = "INSERT INTO bindings (
                   owner, client_key, client_address, client_prefix_len, client_duid, client_iaid,
                   client_hostname, container_name, container_address, container_duid,
                   container_mac, container_docker_id, container_host, bound_since)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";
    let Binding { lease, container, address, duid, mac, host, since, .. } = &entry.binding;
    db.prepare_cached(sql)?.execute(params![
        entry.owner.as_str(),
        lease.key.as_str(),
        lease.address.to_string(),
        lease.prefix_len,
        text(&lease.duid),
        lease.iaid,
        text(&lease.hostname),
        container.as_str(),
        address.to_string(),
        text(duid),
        text(mac),
        entry.docker_id,
        host.as_ref().map(|host| &host.id),
        time(*since),
    ])?;
    Ok(())
}

fn place(row: &Row) -> rusqlite::Result<(Owner, ContainerId)> {
    Ok((required(row, "owner")?, required(row, "container_name")?))
}

fn entry(row: &Row) -> rusqlite::Result<Entry> {
    let owner: Owner = required(row, "owner")?;
    let lease = LeaseRef {
        key: required(row, "client_key")?,
        address: required(row, "client_address")?,
        prefix_len: row.get("client_prefix_len")?,
        duid: optional(row, "client_duid")?,
        iaid: row.get("client_iaid")?,
        hostname: optional(row, "client_hostname")?,
        rest: Default::default(),
    };
    let host = |id| HostRef { id, url: None, tls: None, rest: Default::default() };
    let binding = Binding {
        lease,
        container: required(row, "container_name")?,
        address: required(row, "container_address")?,
        duid: optional(row, "container_duid")?,
        mac: optional(row, "container_mac")?,
        host: row.get::<_, Option<String>>("container_host")?.map(host),
        owner: Some(owner.clone()),
        since: required(row, "bound_since")?,
        until: optional(row, "bound_until")?,
        rest: Default::default(),
    };
    Ok(Entry { owner, binding, docker_id: row.get("container_docker_id")? })
}

/// The form of every time in the ledger.
fn time(at: Timestamp) -> String {
    format!("{at:.3}")
}

fn text<T: Display>(value: &Option<T>) -> Option<String> {
    value.as_ref().map(T::to_string)
}

fn required<T: FromStr<Err: Display>>(row: &Row, column: &str) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    text.parse().map_err(|why: T::Err| {
        let why = Error::new(Kind::BadInput, format_args!("column {column}: {why}"));
        rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, why.into())
    })
}

fn optional<T: FromStr<Err: Display>>(row: &Row, column: &str) -> rusqlite::Result<Option<T>> {
    match row.get_ref(column)? {
        rusqlite::types::ValueRef::Null => Ok(None),
        _ => required(row, column).map(Some),
    }
}

fn failure(what: &str, why: &rusqlite::Error) -> Error {
    let kind = match why.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Kind::TimedOut,
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => Kind::NotPermitted,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Kind::BadInput,
        None => Kind::BadInput,
        Some(_) => Kind::Io,
    };
    Error::new(kind, what).why(why)
}

#[cfg(test)]
mod tests;

//! What the ledger answers. It is opened so that asking can change nothing.

use std::fs::File;
use std::net::IpAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use ipnet::IpNet;
use rusqlite::{Connection, OpenFlags, ToSql};

use super::{FORMS, Ledger, PATIENCE, entry, failure, form_of, is_ledger, newer, time};
use crate::error::{Doing, Error, Kind, Result, Within};
use crate::record::{Binding, Question};

impl Ledger {
    /// Opens the ledger to ask it, which changes nothing and needs no right to write. One of an
    /// earlier form answers as well. Others may write it meanwhile.
    ///
    /// # Errors
    /// `NotFound` when there is no ledger, `BadInput` when the file is none, or of a later version.
    pub fn open_to_ask(path: &Path) -> Result<Ledger> {
        let open = || -> Result<Ledger> {
            let whole = path.canonicalize().doing("open")?;
            // What the system has against it, which SQLite does not say.
            File::open(&whole).doing("open")?;
            let db = match connect(&whole, "mode=ro") {
                // SQLite makes files beside a ledger that nobody has open. Where it may not, the
                // ledger is read as it lies there.
                Err(_) if !is_in_use(&whole) => connect(&whole, "immutable=1"),
                other => other,
            };
            let db = db.map_err(|e| failure("open", &e))?;
            is_ledger(&db)?;
            match form_of(&db).map_err(|e| failure("open", &e))? {
                0 => Err(Error::new(Kind::NotFound, "open").why("it has not been begun")),
                form if form > FORMS.len() as i64 => Err(newer(form)),
                _ => Ok(Ledger { db }),
            }
        };
        open().within(format_args!("ledger {}", path.display()))
    }

    /// Gives each binding that fits the question to `each`, in the order in which they began.
    ///
    /// # Errors
    /// When the ledger cannot be read, or `each` fails.
    pub fn ask(
        &self,
        question: &Question,
        each: &mut dyn FnMut(Binding) -> Result<()>,
    ) -> Result<()> {
        let narrowed = narrowed(question);
        let tests: Vec<&str> = narrowed.iter().map(|(_, _, test)| *test).collect();
        let all = if tests.is_empty() { "true".to_owned() } else { tests.join(" AND ") };
        let sql = format!("SELECT * FROM bindings WHERE {all} ORDER BY bound_since, id");
        let values = narrowed.iter().filter(|(name, _, _)| !name.is_empty());
        let values: Vec<(&str, &dyn ToSql)> =
            values.map(|(name, value, _)| (*name, value as &dyn ToSql)).collect();
        let mut query = self.db.prepare(&sql).map_err(|e| failure("read", &e))?;
        let rows = query.query_map(&*values, entry).map_err(|e| failure("read", &e))?;
        for row in rows {
            let binding = row.map_err(|e| failure("read", &e))?.binding;
            if question.fits(&binding) {
                each(binding)?;
            }
        }
        Ok(())
    }
}

/// What the database can tell of the question by its indexes, which may let through a little more
/// than fits: the name of a value, the value, and the test.
fn narrowed(question: &Question) -> Vec<(&'static str, String, &'static str)> {
    let Question { address, key, container, owner, at, since, until, open } = question;
    let tests = [
        (
            ":nets",
            address.as_ref().map(networks),
            "(container_address = :nets ->> 0
              OR client_address IN (SELECT value FROM json_each(:nets)))",
        ),
        (":key", key.as_ref().map(ToString::to_string), "client_key = :key"),
        (":container", container.as_ref().map(ToString::to_string), "container_name = :container"),
        (":owner", owner.as_ref().map(ToString::to_string), "owner = :owner"),
        (":at", at.map(time), "bound_since <= :at AND (bound_until IS NULL OR bound_until >= :at)"),
        (":since", since.map(time), "(bound_until IS NULL OR bound_until >= :since)"),
        (":until", until.map(time), "bound_since <= :until"),
        ("", open.then(String::new), "bound_until IS NULL"),
    ];
    let given = |(name, value, test): (_, Option<String>, _)| Some((name, value?, test));
    tests.into_iter().filter_map(given).collect()
}

/// The address, and the first of every prefix that it can be in, as a JSON array of texts.
fn networks(address: &IpAddr) -> String {
    let whole = IpNet::from(*address).max_prefix_len();
    let lens = (0..whole).rev().filter_map(|len| IpNet::new(*address, len).ok());
    let firsts = lens.map(|net| net.network());
    let texts: Vec<String> =
        std::iter::once(*address).chain(firsts).map(|first| format!("\"{first}\"")).collect();
    format!("[{}]", texts.join(","))
}

/// A connection that cannot write, once it has read something.
fn connect(path: &Path, how: &str) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    let db = Connection::open_with_flags(format!("file:{}?{how}", escaped(path)), flags)?;
    db.busy_timeout(PATIENCE)?;
    db.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    Ok(db)
}

/// Whether a file lies beside the ledger that holds what is not in it yet.
fn is_in_use(path: &Path) -> bool {
    let mut beside = path.as_os_str().to_owned();
    beside.push("-wal");
    Path::new(&beside).symlink_metadata().is_ok()
}

/// The path as a part of a URI.
fn escaped(path: &Path) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/-_.".contains(byte);
    let letter = |byte: &u8| match plain(byte) {
        true => char::from(*byte).to_string(),
        false => format!("%{byte:02x}"),
    };
    path.as_os_str().as_bytes().iter().map(letter).collect()
}

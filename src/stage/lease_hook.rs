//! lease-hook: what a DHCP server tells of one lease, put into the spool.
//!
//! A server must not suffer from its script. So nothing is waited for without end, and what goes
//! wrong with an event is told and otherwise passed over. Only for `init` does the server need an
//! answer, and has to know when there is none.

use std::ffi::OsString;
use std::path::PathBuf;

use jiff::Timestamp;

use crate::adapter::sources::spool::event::Event;
use crate::adapter::sources::spool::order::Order;
use crate::adapter::sources::spool::writer::{Spool, Taken};
use crate::adapter::sources::spool::{dnsmasq, entry, kea};
use crate::error::{Error, Kind, Result};
use crate::pipe::{Report, Writer};

/// How the program was called.
#[derive(Clone, Debug)]
pub struct Call {
    /// The spool's directory.
    pub spool: PathBuf,
    /// What happened, and what belongs to it.
    pub words: Vec<OsString>,
}

impl Call {
    /// What happened; nothing for words of no known kind.
    fn action(&self) -> &str {
        self.words.first().and_then(|word| word.to_str()).unwrap_or_default()
    }
}

/// Does what one call of a server asks for.
///
/// # Errors
/// `Usage` when dnsmasq's words are not all there, which they are when it calls. For `init`, when the
/// spool cannot be read; for an event never.
pub fn run(call: &Call, report: &Report) -> Result<()> {
    let mut remarks = Vec::new();
    let env = |name: &str| std::env::var_os(name);
    let action = call.action();
    match action {
        option if option.starts_with('-') => {
            let why = "it is neither an option nor an action";
            return Err(Error::new(Kind::Usage, format_args!("\"{option}\"")).why(why));
        }
        "init" => return init(call, report),
        "add" | "old" | "del" => {
            let words = dnsmasq::words(action, &call.words[1..]).ok_or_else(|| {
                let why = "a DUID or hardware address and an address belong to it";
                Error::new(Kind::Usage, format_args!("action \"{action}\"")).why(why)
            })?;
            let event = dnsmasq::event(&words, &env, Timestamp::now(), &mut remarks);
            let events = event.map_err(|wrong| remarks.push(format!("{wrong}; event ignored")));
            take(call, &events.into_iter().collect::<Vec<_>>(), report);
            remember_server(call, report);
        }
        point => {
            if let Some(events) = kea::events(point, &env, &mut remarks) {
                take(call, &events, report);
            }
        }
    }
    for remark in remarks {
        report.note(&Error::new(Kind::BadInput, remark).at(action));
    }
    Ok(())
}

/// Puts the events into the spool; what cannot be is told.
fn take(call: &Call, events: &[Event], report: &Report) {
    if events.is_empty() {
        return;
    }
    let action = call.action();
    let spool = match Spool::open(&call.spool) {
        Ok(spool) => spool,
        Err(why) => {
            let why = why.remedy("what was told is lost").at(action);
            return report.note(&why);
        }
    };
    let order = Order::of_this_process();
    for event in events {
        let place = entry::file_name(event.place());
        match spool.take(event, &order) {
            Ok(Taken::Kept | Taken::Late) => (),
            Ok(Taken::Unlocked) => {
                let what = "the spool was locked for too long, and written all the same";
                report.note(&Error::new(Kind::TimedOut, what).at(place).at(action));
            }
            Err(why) => report.note(&why.remedy("what was told is lost").at(action)),
        }
    }
}

/// dnsmasq keeps its own DUID in its lease file, so it has to be given back with the leases.
fn remember_server(call: &Call, report: &Report) {
    let Some(duid) = dnsmasq::server_duid(&|name| std::env::var_os(name)) else { return };
    let remembered = Spool::open(&call.spool).and_then(|spool| spool.remember_server(&duid));
    if let Err(why) = remembered {
        report.note(&why);
    }
}

/// Writes every lease in the form of dnsmasq's lease file. From then on what dnsmasq knows is what
/// the spool holds.
fn init(call: &Call, report: &Report) -> Result<()> {
    let spool = Spool::open(&call.spool)?;
    let (entries, wrong) = spool.entries()?;
    for why in wrong {
        report.note(&why.remedy("dnsmasq is told nothing of it"));
    }
    let mut output = Writer::stdout()?;
    for line in dnsmasq::lease_file(entries, spool.server_duid().as_ref()) {
        output.line(&line)?;
    }
    output.flush()?;
    spool.mark_complete()
}

//! Questions to what keeps bindings, as the command line asks them.

use std::net::IpAddr;

use super::{Moment, Show};
use crate::record::{ContainerId, Key, Owner, Question};

/// What is asked, and how the answer is written.
#[derive(clap::Subcommand, Clone, Debug)]
pub enum Asked<K: clap::Args> {
    /// An address → bindings: whose it is
    ///
    /// The address is a client's, one in a client's delegated prefix, or a container's.
    Who {
        /// The address
        #[arg(value_name = "ADDRESS")]
        address: IpAddr,
        /// When.
        #[command(flatten)]
        when: When,
        /// From where and how.
        #[command(flatten)]
        answer: Answer<K>,
    },
    /// A client → bindings: what it has
    ///
    /// The client is named by its key, or by the name of a container of its own.
    What {
        /// The client's key, or the name of one of its containers
        #[arg(value_name = "KEY")]
        client: ContainerId,
        /// When.
        #[command(flatten)]
        when: When,
        /// From where and how.
        #[command(flatten)]
        answer: Answer<K>,
    },
    /// All that holds now → bindings
    List {
        /// Only this owner's
        #[arg(long, value_name = "NAME")]
        owner: Option<Owner>,
        /// From where and how.
        #[command(flatten)]
        answer: Answer<K>,
    },
    /// All that is kept → bindings, those that have ended too, in the order in which they began
    History {
        /// Which.
        #[command(flatten)]
        past: Past,
        /// From where and how.
        #[command(flatten)]
        answer: Answer<K>,
    },
}

/// A moment that is asked for.
#[derive(clap::Args, Clone, Debug)]
pub struct When {
    /// At this time; now, without it
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    at: Option<Moment>,
}

/// Which of all bindings are told.
#[derive(clap::Args, Clone, Debug)]
pub struct Past {
    /// Only what held at this time or later
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    since: Option<Moment>,
    /// Only what began before this time
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    until: Option<Moment>,
    /// Only this client's
    #[arg(long, value_name = "KEY")]
    key: Option<Key>,
    /// Only those of the container of this name
    #[arg(long, value_name = "NAME")]
    container: Option<ContainerId>,
    /// Only those with this address on either side
    #[arg(long, value_name = "ADDRESS")]
    address: Option<IpAddr>,
    /// Only this owner's
    #[arg(long, value_name = "NAME")]
    owner: Option<Owner>,
}

/// Where the answer comes from and how it is written.
#[derive(clap::Args, Clone, Debug)]
pub struct Answer<K: clap::Args> {
    /// Where bindings are kept.
    #[command(flatten)]
    pub kept: K,
    /// How they are written.
    #[command(flatten)]
    pub show: Show,
}

impl<K: clap::Args> Asked<K> {
    /// The question; the client, if one is asked for that is yet to be found; and the answer's place.
    pub fn parts(self) -> (Question, Option<ContainerId>, Answer<K>) {
        let all = Question::default();
        match self {
            Asked::Who { address, when, answer } => {
                (Question { address: Some(address), ..when.question() }, None, answer)
            }
            Asked::What { client, when, answer } => (when.question(), Some(client), answer),
            Asked::List { owner, answer } => (Question { owner, open: true, ..all }, None, answer),
            Asked::History { past, answer } => (past.question(), None, answer),
        }
    }
}

impl When {
    fn question(self) -> Question {
        let at = self.at.map(|Moment(at)| at);
        Question { at, open: at.is_none(), ..Question::default() }
    }
}

impl Past {
    fn question(self) -> Question {
        let Past { since, until, key, container, address, owner } = self;
        let [since, until] = [since, until].map(|moment| moment.map(|Moment(at)| at));
        Question { address, key, container, owner, since, until, ..Question::default() }
    }
}

//! One module for each outside system. An adapter translates and does not decide; it knows no
//! other adapter, and whatever is asynchronous in it ends inside it.

pub mod attachments;
pub mod clock;
pub mod credentials;
pub mod dhcp4;
pub mod dhcp6;
pub mod directory;
pub mod dnsmasq;
pub mod docker;
#[cfg(feature = "etcd")]
pub mod etcd;
pub mod files;
pub mod hostname;
pub mod hosts_file;
pub mod kea;
pub mod ledger;
pub mod ndp;
pub mod netlink;
pub mod netns;
pub mod nftables;
pub mod ovs;
pub mod resolv;
pub mod signals;
pub mod sources;
pub mod sysctl;
pub mod sysfs;
pub mod textfile;

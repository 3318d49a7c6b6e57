//! The first line of a lease file: which column is where. Versions differ in what they have.

use crate::adapter::sources::quoted;

/// More columns than any version has; a file with more is not one of Kea's.
pub const MOST: usize = 64;

/// Where the columns are that matter here. All others are passed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Columns {
    /// How many there are.
    pub count: usize,
    /// The address or prefix.
    pub address: usize,
    /// Seconds from when the lease was given until it ends.
    pub valid_lifetime: usize,
    /// When it ends.
    pub expire: usize,
    /// Columns that one protocol has and the other has not.
    pub family: Family,
    /// The client's name.
    pub hostname: Option<usize>,
    /// The client's hardware address.
    pub hwaddr: Option<usize>,
    /// What kind of hardware address that is.
    pub hwtype: Option<usize>,
    /// What became of the lease.
    pub state: Option<usize>,
    /// JSON that hooks and operators put there.
    pub user_context: Option<usize>,
}

/// Columns that one protocol has and the other has not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Family {
    /// DHCPv6.
    V6 {
        /// The client's DUID.
        duid: usize,
        /// What is leased: an address, a temporary address or a prefix.
        lease_type: usize,
        /// The number of the identity association.
        iaid: usize,
        /// Length of a prefix in bits.
        prefix_len: usize,
    },
    /// DHCPv4.
    V4 {
        /// The client identifier.
        client_id: usize,
        /// The client's hardware address.
        hwaddr: usize,
    },
}

impl Columns {
    /// Reads the first line of a file; or says what is wrong with it.
    pub fn read(line: &[u8]) -> Result<Columns, String> {
        let names: Vec<&[u8]> = line.split(|byte| *byte == b',').take(MOST + 1).collect();
        if names.len() > MOST {
            return Err(format!("more than {MOST} columns"));
        }
        let find = |name: &str| names.iter().position(|found| *found == name.as_bytes());
        let is_v4 = find("duid").is_none() && find("client_id").is_some();
        let mut missing = Vec::new();
        let mut need = |name: &'static str| {
            find(name).unwrap_or_else(|| {
                missing.push(name);
                0
            })
        };
        let columns = Columns {
            count: names.len(),
            address: need("address"),
            family: match is_v4 {
                true => Family::V4 { client_id: need("client_id"), hwaddr: need("hwaddr") },
                false => Family::V6 {
                    duid: need("duid"),
                    lease_type: need("lease_type"),
                    iaid: need("iaid"),
                    prefix_len: need("prefix_len"),
                },
            },
            valid_lifetime: need("valid_lifetime"),
            expire: need("expire"),
            hostname: find("hostname"),
            hwaddr: find("hwaddr"),
            hwtype: find("hwtype"),
            state: find("state"),
            user_context: find("user_context"),
        };
        match missing[..] {
            [] => Ok(columns),
            _ if columns.address == 0 && names[0] != b"address" => {
                Err(format!("{} does not name the columns of a lease file", quoted(line)))
            }
            _ => Err(format!("it lacks the columns {}", missing.join(", "))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_known_by_name() {
        let columns =
            Columns::read(b"iaid,x,address,duid,expire,lease_type,prefix_len,valid_lifetime");
        let columns = columns.unwrap();
        let family = Family::V6 { duid: 3, lease_type: 5, iaid: 0, prefix_len: 6 };
        assert_eq!((columns.count, columns.address, &columns.family), (8, 2, &family));
        assert_eq!((columns.state, columns.hostname), (None, None));
        let columns =
            Columns::read(b"address,hwaddr,client_id,valid_lifetime,expire,state").unwrap();
        assert_eq!(columns.family, Family::V4 { client_id: 2, hwaddr: 1 });
    }

    #[test]
    fn missing_columns_are_named() {
        let why = Columns::read(b"address,duid,expire,lease_type,iaid").unwrap_err();
        assert_eq!(why, "it lacks the columns prefix_len, valid_lifetime");
        let why = Columns::read(b"address,client_id,valid_lifetime,expire").unwrap_err();
        assert_eq!(why, "it lacks the columns hwaddr");
        for line in [&b""[..], b"\0\0\0", b"0 1 fd00::1 * 00:03:00:01", b"# comment"] {
            let why = Columns::read(line).unwrap_err();
            assert!(why.ends_with("does not name the columns of a lease file"), "{why}");
        }
        assert!(Columns::read(&b"address,".repeat(100)).is_err());
    }
}

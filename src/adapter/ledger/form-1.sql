-- Who had which container, from when to when. Times are RFC 3339 in UTC with three decimals, so that
-- their order as text is their order in time. Addresses are in the form of RFC 5952.
CREATE TABLE bindings (
    id                  INTEGER PRIMARY KEY,
    owner               TEXT NOT NULL,
    client_key          TEXT NOT NULL,
    client_address      TEXT NOT NULL,
    client_prefix_len   INTEGER,
    client_duid         TEXT,
    client_iaid         INTEGER,
    client_hostname     TEXT,
    container_name      TEXT NOT NULL,
    container_address   TEXT NOT NULL,
    container_duid      TEXT,
    container_mac       TEXT,
    container_docker_id TEXT,
    container_host      TEXT,
    bound_since         TEXT NOT NULL,
    bound_until         TEXT,
    CHECK (bound_until IS NULL OR bound_until >= bound_since)
) STRICT;

-- A container is bound once at a time.
CREATE UNIQUE INDEX bindings_open ON bindings (owner, container_name) WHERE bound_until IS NULL;
CREATE INDEX bindings_by_client_address ON bindings (client_address, bound_since);
CREATE INDEX bindings_by_container_address ON bindings (container_address, bound_since);

-- Who has which container now.
CREATE VIEW current_bindings AS
    SELECT owner, client_address, client_hostname, container_name, container_address, container_host,
           bound_since
    FROM bindings WHERE bound_until IS NULL;

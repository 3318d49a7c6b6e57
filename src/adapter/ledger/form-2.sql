-- What questions are answered by: what a client or a container has had, what was when, what holds now
-- and under which DUID, and what has ended long enough ago to be deleted.
CREATE INDEX bindings_by_client ON bindings (client_key, bound_since);
CREATE INDEX bindings_by_container ON bindings (container_name, bound_since);
CREATE INDEX bindings_by_beginning ON bindings (bound_since, id);
CREATE INDEX bindings_now ON bindings (bound_since, id) WHERE bound_until IS NULL;
CREATE INDEX bindings_under_duid ON bindings (container_duid) WHERE bound_until IS NULL;
CREATE INDEX bindings_ended ON bindings (bound_until) WHERE bound_until IS NOT NULL;

-- Who has which container now.
DROP VIEW current_bindings;
CREATE VIEW current_bindings AS
    SELECT owner, client_address, client_prefix_len, client_hostname, container_name,
           container_address, container_host, bound_since, client_key
    FROM bindings WHERE bound_until IS NULL
    ORDER BY owner, client_hostname, container_name;

-- Everything that is kept, in the order of time, and how long it held.
CREATE VIEW history AS
    SELECT bound_since, bound_until, seconds,
           printf('%dd %02d:%02d:%02d', seconds / 86400, seconds / 3600 % 24, seconds / 60 % 60,
                  seconds % 60) AS held_for,
           owner, client_key, client_address, client_prefix_len, client_hostname, client_duid,
           container_name, container_address, container_host
    FROM (SELECT *, strftime('%s', coalesce(bound_until, 'now')) - strftime('%s', bound_since)
                    AS seconds
          FROM bindings)
    ORDER BY bound_since, id;

-- Each client that anything is kept of, as its latest binding knows it.
CREATE VIEW clients AS
    SELECT latest.client_key, latest.client_hostname, latest.client_duid, latest.client_address,
           latest.client_prefix_len, seen.first_since, seen.last_until, seen.bindings_now,
           seen.bindings_ever
    FROM (SELECT client_key, max(id) AS latest_id, min(bound_since) AS first_since,
                 max(bound_until) AS last_until, sum(bound_until IS NULL) AS bindings_now,
                 count(*) AS bindings_ever
          FROM bindings GROUP BY client_key) AS seen
    JOIN bindings AS latest ON latest.id = seen.latest_id
    ORDER BY seen.first_since;

-- What each table, view and column means.
CREATE VIEW about (name, meaning) AS VALUES
    ('bindings', 'One row for each pair of a client''s lease and the container that stood for it, from when to when. This is the only table; all else is a view of it.'),
    ('bindings.id', 'The number of the row, in the order in which rows were entered.'),
    ('bindings.owner', 'The pipe that the container belongs to; leasepipe where none was named.'),
    ('bindings.client_key', 'Who the client is, across renewals, restarts and changes of address: a hash of its DUID and IAID.'),
    ('bindings.client_address', 'The address that the client leased, or the first of the prefix that was delegated to it.'),
    ('bindings.client_prefix_len', 'The length of that prefix in bits; NULL for an address.'),
    ('bindings.client_duid', 'The DHCP unique identifier that the client asked with.'),
    ('bindings.client_iaid', 'The number of the client''s identity association.'),
    ('bindings.client_hostname', 'The name that the client gave itself. Nobody has checked it.'),
    ('bindings.container_name', 'The container''s name in Docker.'),
    ('bindings.container_address', 'The address that the container had.'),
    ('bindings.container_duid', 'The DHCP unique identifier under which the container leased it; NULL when it was not leased.'),
    ('bindings.container_mac', 'The MAC address of the container''s interface.'),
    ('bindings.container_docker_id', 'The engine''s own id of the container. One that is made anew has another, and another row.'),
    ('bindings.container_host', 'The Docker host that it ran on.'),
    ('bindings.bound_since', 'When the pair began, in UTC. All times are in one form, so that their order as text is their order in time.'),
    ('bindings.bound_until', 'When it ended, in UTC; NULL while it holds.'),
    ('current_bindings', 'The bindings that hold now. Its columns are those of bindings.'),
    ('history', 'All bindings that are kept, in the order of time. What ended longer ago than lease-bind --retain says is deleted.'),
    ('history.seconds', 'How long the binding held, or has held up to now.'),
    ('history.held_for', 'The same in days, hours, minutes and seconds.'),
    ('clients', 'One row for each client that a binding is kept of, as its latest binding knows it.'),
    ('clients.first_since', 'When the earliest of its bindings began.'),
    ('clients.last_until', 'When the last of those that have ended did so; NULL when none has.'),
    ('clients.bindings_now', 'How many of its bindings hold now.'),
    ('clients.bindings_ever', 'How many of its bindings are kept, ended or not.'),
    ('about', 'These sentences.'),
    ('about.name', 'A table or view, or TABLE.COLUMN.'),
    ('about.meaning', 'What it means.');

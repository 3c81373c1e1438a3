-- Records, memory and history of one Wharf instance. Times are RFC 3339 texts; digests and blob ids are hexadecimal.

-- "WHAR": how Wharf knows its own database from another program's.
PRAGMA application_id = 1464353106;

-- Environments and items as they were last applied.
CREATE TABLE records (
    kind    TEXT NOT NULL CHECK (kind IN ('environment', 'content')),
    name    TEXT NOT NULL,
    uid     TEXT NOT NULL UNIQUE,
    version INTEGER NOT NULL,
    owner   TEXT NOT NULL,
    -- SHA-256 of `form` as it was applied. It differs from that of `form` after an edit by hand.
    applied TEXT NOT NULL,
    path    TEXT NOT NULL,
    blob    TEXT NOT NULL,
    -- Canonical JSON.
    form    TEXT NOT NULL,
    written TEXT NOT NULL,
    PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;

-- How steps went.
CREATE TABLE outcomes (
    step    TEXT NOT NULL PRIMARY KEY,
    outcome TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Forms that were applied to an item, the newest at position 0.
CREATE TABLE revisions (
    item     TEXT NOT NULL,
    position INTEGER NOT NULL,
    form     TEXT NOT NULL,
    PRIMARY KEY (item, position)
) STRICT, WITHOUT ROWID;

-- Items that a person suspended, or that are to be selected afresh.
CREATE TABLE marks (
    mark TEXT NOT NULL CHECK (mark IN ('suspended', 'reselect')),
    item TEXT NOT NULL,
    PRIMARY KEY (mark, item)
) STRICT, WITHOUT ROWID;

-- Sets of things that may go although they are over a budget.
CREATE TABLE approvals (
    number INTEGER PRIMARY KEY,
    things TEXT NOT NULL UNIQUE
) STRICT;

-- `all_suspended`, `source`, `commit`, and `records_made`, which identities are made from; JSON values.
CREATE TABLE facts (
    fact  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Applied plans. AUTOINCREMENT: the number of a removed entry is never given again, so the gap shows.
CREATE TABLE history (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    time   TEXT NOT NULL,
    entry  TEXT NOT NULL,
    chain  TEXT NOT NULL
) STRICT;

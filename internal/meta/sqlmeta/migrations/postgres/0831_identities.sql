-- +goose Up
CREATE TABLE identities (
    identity_id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    account     TEXT COLLATE "C" NOT NULL,
    kind        TEXT COLLATE "C" NOT NULL CHECK (kind IN ('user', 'group', 'role', 'policy')),
    name        TEXT COLLATE "C" NOT NULL,
    arn         TEXT COLLATE "C" NOT NULL,
    document    BYTEA            NOT NULL
);

-- +goose Up
CREATE TABLE identities (
    identity_id TEXT  NOT NULL PRIMARY KEY,
    account     TEXT  NOT NULL,
    kind        TEXT  NOT NULL CHECK (kind IN ('user', 'group', 'role', 'policy')),
    name        TEXT  NOT NULL,
    arn         TEXT  NOT NULL,
    document    BYTEA NOT NULL
);

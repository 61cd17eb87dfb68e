-- +goose Up
CREATE TABLE archives (
    archive_id  TEXT   NOT NULL PRIMARY KEY,
    vault_id    TEXT   NOT NULL,
    body_id     TEXT   NOT NULL,
    size        BIGINT NOT NULL CHECK (size >= 0),
    created_ms  BIGINT NOT NULL,
    deleted_ms  BIGINT,
    tree_hash   BYTEA  NOT NULL CHECK (length(tree_hash) = 32),
    description TEXT   NOT NULL
);

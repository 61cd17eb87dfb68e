-- +goose Up
CREATE TABLE uploads (
    upload_id   TEXT   NOT NULL PRIMARY KEY,
    vault_id    TEXT   NOT NULL,
    body_id     TEXT   NOT NULL,
    part_size   BIGINT NOT NULL CHECK (part_size >= 0),
    state       TEXT   NOT NULL CHECK (state IN ('open', 'completed', 'aborted')),
    created_ms  BIGINT NOT NULL,
    active_ms   BIGINT NOT NULL,
    description TEXT   NOT NULL,
    archive_id  TEXT   NOT NULL,
    size        BIGINT NOT NULL CHECK (size >= 0),
    tree_hash   BYTEA  CHECK (length(tree_hash) = 32)
);

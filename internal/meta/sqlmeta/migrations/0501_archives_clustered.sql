-- Archives lie in the order an inventory reads them, and an upload writes two
-- trees instead of three.
-- +goose Up
CREATE TABLE archives_clustered (
    vault_id    TEXT   NOT NULL,
    created_ms  BIGINT NOT NULL,
    archive_id  TEXT   NOT NULL,
    body_id     TEXT   NOT NULL,
    size        BIGINT NOT NULL CHECK (size >= 0),
    deleted_ms  BIGINT,
    tree_hash   BYTEA  NOT NULL CHECK (length(tree_hash) = 32),
    description TEXT   NOT NULL,
    PRIMARY KEY (vault_id, created_ms, archive_id)
) WITHOUT ROWID;

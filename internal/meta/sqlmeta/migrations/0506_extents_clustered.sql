-- +goose Up
CREATE TABLE extents_clustered (
    body_id    TEXT   NOT NULL,
    first_byte BIGINT NOT NULL CHECK (first_byte >= 0),
    size       BIGINT NOT NULL CHECK (size >= 0),
    blob_id    BYTEA  NOT NULL CHECK (length(blob_id) = 16),
    ref        TEXT   NOT NULL,
    tree_hash  BYTEA  NOT NULL CHECK (length(tree_hash) = 32),
    PRIMARY KEY (body_id, first_byte)
) WITHOUT ROWID;

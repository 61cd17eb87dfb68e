-- +goose Up
CREATE TABLE extents (
    body_id     TEXT COLLATE "C" NOT NULL,
    first_byte  BIGINT           NOT NULL CHECK (first_byte >= 0),
    size        BIGINT           NOT NULL CHECK (size >= 0),
    blob_id     BYTEA            NOT NULL CHECK (length(blob_id) = 16),
    ref         TEXT COLLATE "C" NOT NULL,
    tree_hash   BYTEA            NOT NULL CHECK (length(tree_hash) = 32),
    verified_ms BIGINT,
    fault       TEXT COLLATE "C",
    PRIMARY KEY (body_id, first_byte)
);

-- +goose Up
CREATE TABLE garbage (
    blob_id  BYTEA            NOT NULL PRIMARY KEY CHECK (length(blob_id) = 16),
    ref      TEXT COLLATE "C" NOT NULL,
    size     BIGINT           NOT NULL CHECK (size >= 0),
    since_ms BIGINT           NOT NULL
);

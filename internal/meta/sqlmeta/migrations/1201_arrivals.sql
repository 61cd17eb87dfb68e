-- +goose Up
CREATE TABLE arrivals (
    blob_id BYTEA NOT NULL PRIMARY KEY CHECK (length(blob_id) = 16),
    ref     TEXT  NOT NULL,
    size    BIGINT NOT NULL CHECK (size >= 0)
);

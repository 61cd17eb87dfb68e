-- +goose Up
CREATE TABLE blob_keys (
    key_id     TEXT   NOT NULL PRIMARY KEY,
    created_ms BIGINT NOT NULL,
    wrapped_by TEXT   NOT NULL,
    wrapped    BYTEA  NOT NULL
);

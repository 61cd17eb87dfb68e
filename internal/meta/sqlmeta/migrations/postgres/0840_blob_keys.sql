-- +goose Up
CREATE TABLE blob_keys (
    key_id     TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    created_ms BIGINT           NOT NULL,
    wrapped_by TEXT COLLATE "C" NOT NULL,
    wrapped    BYTEA            NOT NULL
);

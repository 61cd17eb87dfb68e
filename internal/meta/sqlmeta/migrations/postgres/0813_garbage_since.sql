-- +goose Up
CREATE INDEX garbage_since ON garbage (since_ms, blob_id);

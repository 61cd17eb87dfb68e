-- +goose Up
CREATE INDEX blob_keys_created ON blob_keys (created_ms, key_id);

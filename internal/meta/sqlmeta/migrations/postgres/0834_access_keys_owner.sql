-- +goose Up
CREATE INDEX access_keys_owner ON access_keys (account, owner, created_ms, key_id);

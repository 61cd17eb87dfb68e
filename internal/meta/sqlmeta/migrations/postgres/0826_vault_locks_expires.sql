-- +goose Up
CREATE INDEX vault_locks_expires ON vault_locks (expires_ms, vault_id) WHERE expires_ms IS NOT NULL;

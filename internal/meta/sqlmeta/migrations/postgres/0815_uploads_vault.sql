-- +goose Up
CREATE INDEX uploads_vault ON uploads (vault_id, state, created_ms, upload_id);

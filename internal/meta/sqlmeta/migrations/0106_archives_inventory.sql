-- +goose Up
CREATE INDEX archives_inventory ON archives (vault_id, created_ms, archive_id);

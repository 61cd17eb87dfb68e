-- +goose Up
CREATE TABLE dead_vaults (
    vault_id TEXT NOT NULL PRIMARY KEY
);

-- +goose Up
CREATE TABLE dead_vaults (
    vault_id TEXT COLLATE "C" NOT NULL PRIMARY KEY
);

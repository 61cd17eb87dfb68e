-- +goose Up
CREATE TABLE vault_tags (
    vault_id  TEXT NOT NULL,
    tag_key   TEXT NOT NULL,
    tag_value TEXT NOT NULL,
    PRIMARY KEY (vault_id, tag_key)
);

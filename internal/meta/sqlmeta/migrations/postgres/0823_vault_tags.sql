-- +goose Up
CREATE TABLE vault_tags (
    vault_id  TEXT COLLATE "C" NOT NULL,
    tag_key   TEXT COLLATE "C" NOT NULL,
    tag_value TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (vault_id, tag_key)
);

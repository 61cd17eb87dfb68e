-- +goose Up
CREATE TABLE vault_notifications (
    vault_id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    topic    TEXT COLLATE "C" NOT NULL,
    events   TEXT COLLATE "C" NOT NULL
);

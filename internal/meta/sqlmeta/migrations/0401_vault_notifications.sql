-- +goose Up
CREATE TABLE vault_notifications (
    vault_id TEXT NOT NULL PRIMARY KEY,
    topic    TEXT NOT NULL,
    events   TEXT NOT NULL
);

-- +goose Up
CREATE TABLE access_policies (
    vault_id   TEXT NOT NULL PRIMARY KEY,
    policy     TEXT NOT NULL,
    principals TEXT NOT NULL
);

-- +goose Up
CREATE TABLE accounts (
    account    TEXT   NOT NULL PRIMARY KEY,
    created_ms BIGINT NOT NULL,
    revision   BIGINT NOT NULL CHECK (revision >= 0)
);

-- +goose Up
CREATE TABLE accounts (
    account    TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    created_ms BIGINT           NOT NULL,
    revision   BIGINT           NOT NULL CHECK (revision >= 0)
);

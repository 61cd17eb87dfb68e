-- +goose Up
CREATE TABLE access_keys (
    key_id       TEXT   NOT NULL PRIMARY KEY,
    account      TEXT   NOT NULL,
    owner        TEXT   NOT NULL,
    active       BIGINT NOT NULL CHECK (active IN (0, 1)),
    created_ms   BIGINT NOT NULL,
    sealed       BYTEA  NOT NULL,
    used_ms      BIGINT,
    used_service TEXT   NOT NULL,
    used_region  TEXT   NOT NULL
);

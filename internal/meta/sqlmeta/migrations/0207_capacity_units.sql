-- +goose Up
CREATE TABLE capacity_units (
    unit_id    TEXT   NOT NULL PRIMARY KEY,
    account    TEXT   NOT NULL,
    region     TEXT   NOT NULL,
    start_ms   BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL
);

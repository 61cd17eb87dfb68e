-- +goose Up
CREATE TABLE leases (
    lease_name TEXT   NOT NULL PRIMARY KEY,
    owner      TEXT   NOT NULL CHECK (owner <> ''),
    number     BIGINT NOT NULL,
    until_ms   BIGINT
);

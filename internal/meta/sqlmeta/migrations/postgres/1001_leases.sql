-- +goose Up
CREATE TABLE leases (
    lease_name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    owner      TEXT COLLATE "C" NOT NULL CHECK (owner <> ''),
    number     BIGINT           NOT NULL,
    until_ms   BIGINT
);

-- +goose Up
CREATE TABLE capacity_units (
    unit_id    TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    account    TEXT COLLATE "C" NOT NULL,
    region     TEXT COLLATE "C" NOT NULL,
    start_ms   BIGINT           NOT NULL,
    expires_ms BIGINT           NOT NULL
);

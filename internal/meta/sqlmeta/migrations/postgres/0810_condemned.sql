-- +goose Up
CREATE TABLE condemned (
    body_id  TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    since_ms BIGINT           NOT NULL
);

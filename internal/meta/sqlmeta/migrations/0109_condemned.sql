-- +goose Up
CREATE TABLE condemned (
    body_id  TEXT NOT NULL PRIMARY KEY,
    since_ms BIGINT NOT NULL
);

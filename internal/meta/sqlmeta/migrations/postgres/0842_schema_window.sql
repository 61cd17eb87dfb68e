-- +goose Up
CREATE TABLE schema_window (
    window_id   BIGINT           NOT NULL PRIMARY KEY,
    oldest_step BIGINT           NOT NULL,
    database_id TEXT COLLATE "C" NOT NULL
);

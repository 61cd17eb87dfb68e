-- +goose Up
CREATE TABLE agreed (
    agreed_name  TEXT NOT NULL PRIMARY KEY,
    agreed_value TEXT NOT NULL
);

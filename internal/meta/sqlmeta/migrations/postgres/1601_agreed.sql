-- +goose Up
CREATE TABLE agreed (
    agreed_name  TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    agreed_value TEXT COLLATE "C" NOT NULL
);

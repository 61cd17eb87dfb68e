-- +goose Up
CREATE TABLE access_policies (
    vault_id   TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    policy     TEXT COLLATE "C" NOT NULL,
    principals TEXT COLLATE "C" NOT NULL
);

-- +goose Up
CREATE TABLE access_keys (
    key_id       TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    account      TEXT COLLATE "C" NOT NULL,
    owner        TEXT COLLATE "C" NOT NULL,
    active       BIGINT           NOT NULL CHECK (active IN (0, 1)),
    created_ms   BIGINT           NOT NULL,
    sealed       BYTEA            NOT NULL,
    used_ms      BIGINT,
    used_service TEXT COLLATE "C" NOT NULL,
    used_region  TEXT COLLATE "C" NOT NULL
);

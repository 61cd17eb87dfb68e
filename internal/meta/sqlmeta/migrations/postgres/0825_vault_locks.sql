-- +goose Up
CREATE TABLE vault_locks (
    vault_id   TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    policy     TEXT COLLATE "C" NOT NULL,
    principals TEXT COLLATE "C" NOT NULL,
    state      TEXT COLLATE "C" NOT NULL CHECK (state IN ('InProgress', 'Locked')),
    proof      BYTEA            NOT NULL CHECK (length(proof) = 32),
    created_ms BIGINT           NOT NULL,
    expires_ms BIGINT,
    CHECK ((state = 'InProgress') = (expires_ms IS NOT NULL))
);

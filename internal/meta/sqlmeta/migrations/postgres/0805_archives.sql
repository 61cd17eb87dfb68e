-- +goose Up
CREATE TABLE archives (
    vault_id    TEXT COLLATE "C" NOT NULL,
    created_ms  BIGINT           NOT NULL,
    archive_id  TEXT COLLATE "C" NOT NULL,
    body_id     TEXT COLLATE "C" NOT NULL,
    size        BIGINT           NOT NULL CHECK (size >= 0),
    deleted_ms  BIGINT,
    tree_hash   BYTEA            NOT NULL CHECK (length(tree_hash) = 32),
    description TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (vault_id, created_ms, archive_id)
);

-- +goose Up
CREATE TABLE uploads (
    upload_id   TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    vault_id    TEXT COLLATE "C" NOT NULL,
    body_id     TEXT COLLATE "C" NOT NULL,
    part_size   BIGINT           NOT NULL CHECK (part_size >= 0),
    state       TEXT COLLATE "C" NOT NULL CHECK (state IN ('open', 'completed', 'aborted')),
    created_ms  BIGINT           NOT NULL,
    active_ms   BIGINT           NOT NULL,
    description TEXT COLLATE "C" NOT NULL,
    archive_id  TEXT COLLATE "C" NOT NULL,
    size        BIGINT           NOT NULL CHECK (size >= 0),
    tree_hash   BYTEA            CHECK (length(tree_hash) = 32)
);

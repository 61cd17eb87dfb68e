-- +goose Up
CREATE TABLE scrub (
    scrub_id        BIGINT NOT NULL PRIMARY KEY,
    started_ms      BIGINT,
    cursor_blob     BYTEA  NOT NULL CHECK (length(cursor_blob) = 16),
    blobs           BIGINT NOT NULL,
    bytes           BIGINT NOT NULL,
    faulty          BIGINT NOT NULL,
    repaired        BIGINT NOT NULL,
    last_started_ms BIGINT,
    finished_ms     BIGINT,
    last_blobs      BIGINT NOT NULL,
    last_bytes      BIGINT NOT NULL,
    last_faulty     BIGINT NOT NULL,
    last_repaired   BIGINT NOT NULL
);

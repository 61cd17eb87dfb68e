-- +goose Up
CREATE TABLE outbox (
    message_id  TEXT   NOT NULL PRIMARY KEY,
    topic       TEXT   NOT NULL,
    source      TEXT   NOT NULL,
    event       TEXT   NOT NULL,
    job_id      TEXT   NOT NULL,
    body        TEXT   NOT NULL,
    state       TEXT   NOT NULL CHECK (state IN ('pending', 'unrouted', 'dead')),
    created_ms  BIGINT NOT NULL,
    next_ms     BIGINT,
    lease_owner TEXT   NOT NULL,
    attempts    BIGINT NOT NULL CHECK (attempts >= 0),
    tried_ms    BIGINT,
    error       TEXT   NOT NULL,
    CHECK ((state = 'pending') = (next_ms IS NOT NULL))
);

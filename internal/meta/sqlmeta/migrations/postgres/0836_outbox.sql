-- +goose Up
CREATE TABLE outbox (
    message_id  TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    topic       TEXT COLLATE "C" NOT NULL,
    source      TEXT COLLATE "C" NOT NULL,
    event       TEXT COLLATE "C" NOT NULL,
    job_id      TEXT COLLATE "C" NOT NULL,
    body        TEXT COLLATE "C" NOT NULL,
    state       TEXT COLLATE "C" NOT NULL CHECK (state IN ('pending', 'unrouted', 'dead')),
    created_ms  BIGINT           NOT NULL,
    next_ms     BIGINT,
    lease_owner TEXT COLLATE "C" NOT NULL,
    attempts    BIGINT           NOT NULL CHECK (attempts >= 0),
    tried_ms    BIGINT,
    error       TEXT COLLATE "C" NOT NULL,
    CHECK ((state = 'pending') = (next_ms IS NOT NULL))
);

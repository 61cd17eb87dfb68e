-- +goose Up
CREATE INDEX outbox_next ON outbox (next_ms, message_id) WHERE next_ms IS NOT NULL;

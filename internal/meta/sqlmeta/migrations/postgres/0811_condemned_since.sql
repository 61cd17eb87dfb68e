-- +goose Up
CREATE INDEX condemned_since ON condemned (since_ms, body_id);

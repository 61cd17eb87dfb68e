-- +goose Up
CREATE INDEX jobs_body ON jobs (body_id, state);

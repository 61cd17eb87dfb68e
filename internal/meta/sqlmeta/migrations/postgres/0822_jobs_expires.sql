-- +goose Up
CREATE INDEX jobs_expires ON jobs (expires_ms, job_id) WHERE expires_ms IS NOT NULL;

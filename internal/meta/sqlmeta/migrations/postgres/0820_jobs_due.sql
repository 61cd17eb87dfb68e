-- +goose Up
CREATE INDEX jobs_due ON jobs (state, due_ms, job_id);

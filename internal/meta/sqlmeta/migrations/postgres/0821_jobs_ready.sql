-- +goose Up
CREATE INDEX jobs_ready ON jobs (ready_ms) WHERE ready_ms IS NOT NULL;

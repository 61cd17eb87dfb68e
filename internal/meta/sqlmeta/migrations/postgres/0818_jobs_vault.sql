-- +goose Up
CREATE INDEX jobs_vault ON jobs (vault_id, created_ms, job_id);

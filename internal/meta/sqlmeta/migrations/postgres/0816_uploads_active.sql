-- +goose Up
CREATE INDEX uploads_active ON uploads (state, active_ms, upload_id);

-- +goose Up
ALTER TABLE jobs ADD COLUMN held_ms BIGINT;
